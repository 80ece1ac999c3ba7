"""Predictors, in any of their forms, on the same labeled images: accuracy by class, predictions, a comparison."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.errors import ConfigError, DataError
from mnext_tf.evaluation import metrics
from mnext_tf.evaluation.predictions import folder_name
from mnext_tf.files import atomic_folder, read_json, write_csv, write_json
from mnext_tf.inference.image_stream import Images, preprocessed
from mnext_tf.inference.predictor import Predictor
from mnext_tf.provenance import now, versions
from mnext_tf.tasks.classification import wilson_interval

_log = logging.getLogger(__name__)

TOP = 5

RESULT = "evaluation.json"


@dataclass(frozen=True)
class Evaluated:
    """The predictions of one network: `top` (n, k) classes of each image, best first, and their probabilities."""

    network: Predictor
    top: np.ndarray
    probabilities: np.ndarray


def check_same_classes(networks: Sequence[Predictor]) -> None:
    """Raise ConfigError where networks that are to be compared have other tasks or classes."""
    first = networks[0]
    if any(other.task.name != first.task.name for other in networks):
        raise ConfigError("Classifiers and detectors have nothing to compare. Evaluate them one by one.")
    for other in networks[1:]:
        if other.labels != first.labels:
            pairs = zip(first.labels, other.labels, strict=False)
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), 0)
            raise ConfigError(
                f"{first.name} has {len(first.labels)} classes and {other.name} has {len(other.labels)}; "
                f"class {at} is {first.labels[at]!r} in one and {other.labels[at]!r} in the other. "
                "Evaluate them one by one."
            )


def check_output_folder(out: Path) -> None:
    """Raise ConfigError where writing the results to `out` would replace anything but results."""
    out = Path(out)
    if out.is_file():
        raise ConfigError(f"{out} is a file; the results are a folder. Choose another --out.")
    if others := _not_ours(out):
        raise ConfigError(f"{out} holds something other than an evaluation ({others[0]}). Choose another --out.")


def _not_ours(out: Path) -> list[str]:
    """What in a folder is no result of an evaluation."""
    found = sorted(p.name for p in out.iterdir()) if out.is_dir() else []
    try:
        folders = [row["folder"] for row in read_json(out / RESULT)["networks"]]
    except (OSError, ValueError, KeyError, TypeError):
        return found
    return [name for name in found if name not in (RESULT, "comparison.csv", "skipped.csv", *folders)]


def run_networks(
    networks: Sequence[Predictor], images: Images, *, batch_size: int = 64
) -> tuple[list[Evaluated], list[str], np.ndarray]:
    """([predictions of each network], file names, labels) of all images; damaged ones are in `images.skipped`."""
    top = [[] for _ in networks]
    probabilities = [[] for _ in networks]
    names, labels = [], []
    for batch in preprocessed(images, [n.preprocess for n in networks], batch_size):
        names += batch.names
        labels += batch.labels
        for i, network in enumerate(networks):
            shares = network.predict(batch.pixels[network.preprocess])
            if not np.isfinite(shares).all():
                raise DataError(
                    f"{network.name} returns outputs that are not numbers, for one of {batch.names[:3]} ..."
                )
            classes = metrics.top_classes(shares, TOP)
            top[i].append(classes)
            probabilities[i].append(np.take_along_axis(shares, classes, 1))
    evaluated = [
        Evaluated(n, np.concatenate(t), np.concatenate(p)) for n, t, p in zip(networks, top, probabilities, strict=True)
    ]
    return evaluated, names, np.array(labels)


def evaluate(networks: Sequence[Predictor], images: Images, out: Path) -> dict:
    """Evaluate `networks` on `images` and write into the folder `out`, whole or not at all.

    comparison.csv (a row for each network), evaluation.json, skipped.csv where images were damaged, and for each
    network a folder with predictions.csv, per_class.csv and confusion.png.

    Returns the content of evaluation.json. Raises DataError where no image can be read or none has a label, ConfigError
    where the networks have other classes or `out` holds something else.
    """
    check_output_folder(out)
    check_same_classes(networks)
    if not images.labelled:
        raise DataError(
            f"The images of {images.name} have no labels, so there is no accuracy to measure. Name labeled ones with "
            "--data_dir; python -m pipelines.predict classifies these."
        )
    evaluated, names, labels = run_networks(networks, images)
    if images.skipped:
        first = "; ".join(f"{name} ({reason})" for name, reason in images.skipped[:3])
        _log.info(
            f"{images.name}: {len(images.skipped)} damaged images left out: {first}. All are in {out}/skipped.csv."
        )
    rows = [_row(e, _reference(e, evaluated), labels) for e in evaluated]
    for i, row in enumerate(rows):  # names may differ in characters that folders do not have
        if row["folder"] in [r["folder"] for r in rows[:i]]:
            row["folder"] += f"-{i + 1}"
    result = {
        "images": len(names),
        "skipped": len(images.skipped),
        "data": images.name,
        "classes": len(networks[0].labels),
        "classes_with_images": len(np.unique(labels)),
        "created": now(),
        "versions": versions(),
        "networks": rows,
    }
    with atomic_folder(out) as folder:
        for e, row in zip(evaluated, rows, strict=True):
            (folder / row["folder"]).mkdir()
            row["mistakes"] = _write(folder / row["folder"], e, names, labels, images.name)
        table = [{k: v for k, v in row.items() if k not in ("preprocess", "mistakes")} for row in rows]
        write_csv(folder / "comparison.csv", table)
        write_json(folder / RESULT, result)
        if images.skipped:
            write_csv(folder / "skipped.csv", [{"file": n, "reason": r} for n, r in images.skipped])
    return result


def format_table(result: dict) -> str:
    """A table for the console: a line for each network."""
    width = max(len(row["network"]) for row in result["networks"])
    lines = [f"{'network':{width}}  {'top-1':>8}{'95 % interval':>18}{'top-5':>9}{'correct':>12}{'as Keras':>10}"]
    for row in result["networks"]:
        between = f"{row['top1_low']:.2%} - {row['top1_high']:.2%}"
        correct = f"{row['correct']}/{result['images']}"
        lines.append(
            f"{row['network']:{width}}  {row['top1']:>8.2%}{between:>18}{row['top5']:>9.2%}{correct:>12}"
            f"{'-' if row['same_top1_as_keras'] is None else format(row['same_top1_as_keras'], '.2%'):>10}"
        )
    return "\n".join(lines)


def _reference(e: Evaluated, evaluated: Sequence[Evaluated]) -> Evaluated | None:
    """The Keras network of the run that a form belongs to, where it was evaluated too: others are unlike networks."""
    run = e.network.run
    return next((o for o in evaluated if run and o.network.run == run and o.network.format == "keras"), None)


def _row(e: Evaluated, keras: Evaluated | None, labels: np.ndarray) -> dict:
    top1 = metrics.accuracy(e.top, labels, 1)
    low, high = wilson_interval(top1, len(labels))
    return {
        "network": e.network.name,
        "format": e.network.format,
        "top1": top1,
        "top1_low": low,
        "top1_high": high,
        "top5": metrics.accuracy(e.top, labels, TOP),
        "correct": int((e.top[:, 0] == labels).sum()),
        "same_top1_as_keras": None if keras is None else float((e.top[:, 0] == keras.top[:, 0]).mean()),
        "file": str(e.network.path),
        "sha256": e.network.sha256,
        "folder": folder_name(e.network),
        "preprocess": e.network.preprocess.to_dict(),
    }


def _write(folder: Path, e: Evaluated, names: list[str], labels: np.ndarray, data: str) -> list[dict]:
    from mnext_tf.evaluation import plots

    classes = e.network.labels
    write_csv(
        folder / "predictions.csv",
        [
            {"file": name, "label": int(label), "label_name": classes[label], "correct": int(label == top[0])}
            | {
                key: value
                for k, (c, p) in enumerate(zip(top, probabilities, strict=True), start=1)
                for key, value in ((f"top{k}", classes[c]), (f"probability{k}", round(float(p), 6)))
            }
            for name, label, top, probabilities in zip(names, labels, e.top, e.probabilities, strict=True)
        ],
    )
    matrix = metrics.confusion_matrix(e.top[:, 0], labels, len(classes))
    write_csv(folder / "per_class.csv", metrics.per_class(matrix, classes))
    mistakes = metrics.confusions(matrix, classes)
    title = f"{e.network.name}: top-1 {metrics.accuracy(e.top, labels, 1):.2%} of {len(labels)} images of {data}"
    plots.confusion(folder / "confusion.png", matrix, classes, mistakes, title)
    return mistakes
