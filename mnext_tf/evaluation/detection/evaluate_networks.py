"""Detectors, in any of their forms, on the same images with boxes: average precision, detections, and mistakes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.detection_pipeline import stored_truth
from mnext_tf.data.objects import Truth
from mnext_tf.data.opening import open_dataset
from mnext_tf.data.tfrecord import SPLITS
from mnext_tf.errors import DataError
from mnext_tf.evaluation.accuracy import RESULT, check_output_folder, check_same_classes
from mnext_tf.evaluation.detection import tables
from mnext_tf.evaluation.detection.evaluate import evaluate_detections
from mnext_tf.evaluation.detection.mistakes import contact_sheet, worst_images
from mnext_tf.evaluation.predictions import folder_name
from mnext_tf.files import atomic_folder, write_csv, write_json
from mnext_tf.inference.image_stream import Images, Item, preprocessed
from mnext_tf.inference.predictor import Predictor
from mnext_tf.provenance import now, versions
from mnext_tf.runs.dataset import run_dataset


@dataclass(frozen=True)
class Truths:
    """The images of a split, and what is in each; `images` numbers them in place of a label."""

    images: Images
    truths: list[Truth]
    metrics: str
    class_names: tuple[str, ...]


def open_truths(dataset: Dataset, *splits: str) -> Truths:
    """The images of a data set with their boxes: of the validation split, or of `splits`.

    Encoded images stay in their shards until they are needed.
    """
    splits = splits or ("validation",)
    truths = [truth for split in splits for _, _, truth in stored_truth(dataset, split)]

    def items():
        stored = itertools.chain.from_iterable(stored_truth(dataset, split) for split in splits)
        for number, (name, encoded, _) in enumerate(stored):
            yield Item(name, number, lambda encoded=encoded: encoded)

    images = Images(f"{dataset.name}, {' and '.join(splits)}", len(truths), True, items)
    return Truths(images, truths, dataset.metrics, dataset.class_names)


def truths_for(
    networks: Sequence[Predictor], source: str | Path | None, *, run=None, split: str | None = None, **options
) -> Truths:
    """The images that `source` names, with boxes of the networks' classes; None: those of `run`.

    `options` are those of `open_dataset`. Without `split` the validation images; all of a source without splits.
    """
    if source is None:
        return open_truths(run_dataset(run), split or "validation")
    dataset = open_dataset(source, class_names=networks[0].labels, **options)
    everything = split is None and not dataset.has_own_splits
    return open_truths(dataset, *(SPLITS if everything else (split or "validation",)))


def run_detectors(networks: Sequence[Predictor], data: Truths) -> tuple[list[list[Detections]], list[Truth]]:
    """([the detections of each network], what is in these images); damaged images are in `data.images.skipped`."""
    found, seen = [[] for _ in networks], []
    for batch in preprocessed(data.images, [n.preprocess for n in networks], 32):
        seen += [data.truths[number] for number in batch.labels]
        for detections, network in zip(found, networks, strict=True):
            detections += network.predict(batch.pixels[network.preprocess])
    return found, seen


def evaluate_detectors(networks: Sequence[Predictor], data: Truths, out: Path, *, metrics: str | None = None) -> dict:
    """Evaluate `networks` on `data` and write into the folder `out`, whole or not at all.

    comparison.csv (a row for each network), evaluation.json, truth.json (COCO's format), skipped.csv where images were
    damaged, and for each network a folder with per_class.csv, detections.csv and detections.json (COCO's results),
    precision_recall.png, and mistakes.png, the worst images.

    Args:
      metrics: the benchmark whose rules count, see `evaluate_detections`; None: that of the data's layout.

    Returns the content of evaluation.json. Raises DataError where the classes are not the networks', ConfigError where
    these differ or `out` holds something else.
    """
    check_output_folder(out)
    check_same_classes(networks)
    labels, metrics = networks[0].labels, metrics or data.metrics
    if labels != data.class_names:
        raise DataError(
            f"{data.images.name} has the classes {', '.join(data.class_names[:5])} ({len(data.class_names)}), the "
            f"network {', '.join(labels[:5])} ({len(labels)}). Give data of the same classes in the same order."
        )
    found, truths = run_detectors(networks, data)
    rows, results = [], []
    for network, detections in zip(networks, found, strict=True):
        results.append(evaluate_detections(truths, detections, labels, metrics))
        folder = folder_name(network)
        folder += f"-{len(rows) + 1}" if folder in [row["folder"] for row in rows] else ""
        about = {"file": str(network.path), "sha256": network.sha256, "folder": folder}
        counts = {k: results[-1][k] for k in ("objects", "detections")}
        rows.append({"network": network.name, "format": network.format, **results[-1]["summary"], **counts, **about})
    result = {
        "task": "detection",
        "metrics": metrics,
        "images": len(truths),
        "skipped": len(data.images.skipped),
        "data": data.images.name,
        "classes": len(labels),
        "created": now(),
        "versions": versions(),
        "networks": rows,
    }
    with atomic_folder(out) as folder:
        for network, row, measured, detections in zip(networks, rows, results, found, strict=True):
            _write(folder / row["folder"], network, measured, truths, detections, data)
        write_csv(folder / "comparison.csv", rows)
        write_json(folder / RESULT, result)
        write_json(folder / "truth.json", tables.coco_truth(truths, labels))
        if data.images.skipped:
            write_csv(folder / "skipped.csv", [{"file": n, "reason": r} for n, r in data.images.skipped])
    return result


def format_table(result: dict) -> str:
    """A table for the console: a line for each network, with the numbers of its benchmark."""
    shown = [k for k in result["networks"][0] if k.startswith("AP")][:6]
    width = max(len(row["network"]) for row in result["networks"])
    lines = [f"{'network':{width}}" + "".join(f"{name:>13}" for name in shown)]
    for row in result["networks"]:
        numbers = ("-" if row[name] is None else f"{row[name]:.2%}" for name in shown)
        lines.append(f"{row['network']:{width}}" + "".join(f"{number:>13}" for number in numbers))
    return "\n".join(lines)


def _write(
    folder: Path, network: Predictor, result: dict, truths: list[Truth], detections: list[Detections], data: Truths
) -> None:
    from mnext_tf.evaluation.detection.plots import precision_recall

    folder.mkdir()
    names, sizes = [t.name for t in truths], [(t.width, t.height) for t in truths]
    write_csv(folder / "per_class.csv", tables.class_rows(result))
    write_json(folder / "curves.json", result["curves"])
    tables.write_detections(folder / "detections.csv", tables.detection_rows(names, sizes, detections, network.labels))
    tables.write_coco_results(folder / "detections.json", tables.coco_results(names, sizes, detections, network.labels))
    title = f"{network.name} on {data.images.name}"
    precision_recall(folder / "precision_recall.png", result, title)
    worst = [w.image for w in worst_images(truths, detections)]
    contact_sheet(
        folder / "mistakes.png",
        _pixels(data, [truths[i] for i in worst]),
        [truths[i] for i in worst],
        [detections[i] for i in worst],
        network.labels,
        f"{title}: the images with the most mistakes",
    )


def _pixels(data: Truths, wanted: Sequence[Truth]) -> list[np.ndarray]:
    """The decoded images of these, uint8 (h, w, 3). Several may have one name."""
    from mnext_tf.data.preprocess import decode

    found = {}
    for item in data.images.items():
        truth = data.truths[item.label]
        if truth in wanted:
            found[truth] = decode(item.read()).numpy()
    return [found[truth] for truth in wanted]
