"""An account of a run's int8 file: what it loses against the float network, and in which layers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnext_tf.errors import ConfigError, one_of
from mnext_tf.files import write_csv, write_json
from mnext_tf.naming import IO_TYPES, command_line, precision_of, stage_name
from mnext_tf.provenance import now, versions
from mnext_tf.runs.run import Run

STAGES = tuple(stage_name("int8", io_type) for io_type in IO_TYPES)
FILES = ("quantization.csv", "quantization.json", "quantization.png")
_BATCH = 64


def quantization_report(
    run: Run,
    stage: str = STAGES[0],
    *,
    data_dir: Path | None = None,
    images: int = 100,
    max_images: int | None = None,
    out: Path | None = None,
) -> dict:
    """Write FILES about the int8 file of `stage` into `out` (None: RUN/quantization_report), and return the JSON's.

    The file is compared as a whole on `max_images` validation images (None: as many as at the export), or on the
    images of `data_dir`, with or without labels; layer by layer on `images` of them, evenly spaced.

    Returns:
      {run, stage, file, effort, data, skipped, whole: numbers of `compare_logits`, layer_images, layers_sqnr_db: of
      the logits if the noises of all layers added up, layers: [fields of `LayerAccount`, ...], created, versions}

    Raises ConfigError for a detector, where the run has no such file, or where no account by layer is known of the
    network.
    """
    if run.config.task == "detection":
        raise ConfigError(
            f"{run.folder} is a detector, and this report is on classifiers. Its files are compared by "
            f"`{command_line('evaluate', {'run': run.folder, 'exports': True})}`."
        )
    path, out = find_file(run, stage), Path(out or run.folder / "quantization_report")
    if images < 1 or (max_images is not None and max_images < 1):
        raise ConfigError(f"images and max_images must be at least 1; received {images} and {max_images}.")
    if out.is_file():
        raise ConfigError(f"{out} is a file; the results are a folder. Choose another --out.")
    from mnext_tf.evaluation.int8_layers import account_of_layers
    from mnext_tf.evaluation.int8_whole import compare_logits
    from mnext_tf.report.quantization_plot import plot_layers
    from mnext_tf.runs.weights import load_network

    data = _Data(run, data_dir, max_images)
    found, expected, labels, chosen = _run_both(run, path, data, images)
    whole = compare_logits(found, expected, labels)
    layers = account_of_layers(load_network(run), path, chosen, whole["sqnr_db"], _progress)
    total = sum(row.noise for row in layers)
    report = {
        "run": run.folder,
        "stage": stage,
        "file": path.name,
        "effort": run.manifest(stage).settings.get("effort", "fast"),
        "data": data.name,
        "skipped": data.skipped,
        "whole": whole,
        "layer_images": len(chosen),
        "layers_sqnr_db": float(-10 * np.log10(max(total, 1e-30))),
        "layers": [dataclasses.asdict(row) for row in layers],
        "created": now(),
        "versions": versions(),
    }
    out.mkdir(parents=True, exist_ok=True)
    table, record, plot = (out / name for name in FILES)
    write_csv(table, report["layers"])
    write_json(record, report)
    plot_layers(plot, layers, f"{run.name}, {path.name}", whole["sqnr_db"])
    return report


def find_file(run: Run, stage: str) -> Path:
    """The int8 file of a stage. ConfigError, with the command that makes it, where there is none."""
    one_of("stage", stage, STAGES)
    manifest = run.manifest(stage)
    path = run.stage(stage) / manifest.result["file"] if manifest else None
    if path is not None and path.is_file():
        return path
    variant = precision_of(stage)[1]
    flags = {"run": run.folder, "quantize": "int8"} | ({"io_type": variant} if variant else {})
    others = [name for name in STAGES if name != stage and run.manifest(name)]
    hint = f" It has {', '.join(others)}: choose it with --stage." if others else ""
    flags |= {"weights": run.variant} if run.variant else {}
    raise ConfigError(
        f"{run.folder} has no {stage}{' any more' if manifest else ''}. Make it with "
        f"`{command_line('export_tflite', flags)}`.{hint}"
    )


class _Data:
    """The images: `count` at most, evenly spaced, as `batches` of (pixels, labels or None)."""

    def __init__(self, run: Run, data_dir: Path | None, max_images: int | None):
        self.run, self.images = run, None
        if data_dir is None:
            config = run.config.dataset
            self.name = f"{config.name}, validation"
            self.count = min(config.num_validation, max_images or run.config.verify_images)
            return
        from mnext_tf.inference.image_stream import images_in_folder

        images = images_in_folder(Path(data_dir), run.config.class_names)
        kept = _evenly(images.count, max_images or images.count)
        items = lambda: (item for i, item in enumerate(images.items()) if i in kept)
        self.images = dataclasses.replace(images, count=len(kept), items=items)
        self.name, self.count = images.name, len(kept)

    @property
    def skipped(self) -> int:
        """Damaged images, after a pass."""
        return len(self.images.skipped) if self.images else 0

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
        if self.images is None:
            from mnext_tf.runs.dataset import validation_batches

            yield from validation_batches(self.run, max_images=self.count, batch_size=_BATCH)
            return
        from mnext_tf.inference.image_stream import preprocessed

        preprocess = self.run.config.preprocess
        for batch in preprocessed(self.images, [preprocess], _BATCH, progress=False):
            yield batch.pixels[preprocess], np.array(batch.labels) if self.images.labelled else None


def _evenly(count: int, most: int) -> set[int]:
    """`most` of the numbers below `count`, or all."""
    return set(np.linspace(0, count - 1, min(most, count)).round().astype(int).tolist())


def _run_both(run: Run, path: Path, data: _Data, images: int):
    """(the file's logits, the float network's, labels or None, `images` of the images)."""
    from tqdm import tqdm

    from mnext_tf.inference.predictor import open_predictor

    wanted = _evenly(data.count, images)
    found, expected, labels, chosen, at = [], [], [], [], 0
    bar = tqdm(total=data.count, desc="whole file", unit="img", disable=None, leave=False)
    with bar, open_predictor(path, format="tflite") as file, open_predictor(run) as keras:
        for pixels, of_batch in data.batches():
            found.append(file.logits(pixels))
            expected.append(keras.logits(pixels))
            labels.append(of_batch)
            chosen += [pixels[i] for i in range(len(pixels)) if at + i in wanted]
            at += len(pixels)
            bar.update(len(pixels))
    known = None if labels[0] is None else np.concatenate(labels)
    return np.concatenate(found), np.concatenate(expected), known, np.stack(chosen)


def _progress(items, what: str):
    from tqdm import tqdm

    return tqdm(items, desc=what, unit="step", disable=None, leave=False)


def format_report(report: dict, most: int = 15) -> str:
    """For the console: the file as a whole, then its worst layers."""
    worst = sorted(report["layers"], key=lambda row: -row["noise_share"])[:most]
    width = max(len("layer"), *(len(row["layer"]) for row in worst))
    lines = [
        *_whole(report["whole"]),
        "",
        f"{len(worst)} of {len(report['layers'])} layers, by their share of the logits' noise "
        f"({report['layer_images']} images; all noises add up to {report['layers_sqnr_db']:.1f} dB)",
        f"{'layer':{width}}  {'operator':18}{'noise':>8}{'SQNR without':>14}{'own SQNR':>10}{'clipped':>9}  range",
    ]
    for row in worst:
        without = "-" if row["sqnr_db_without"] is None else f"{row['sqnr_db_without']:.1f} dB"
        lines.append(
            f"{row['layer']:{width}}  {row['operator']:18}{row['noise_share']:>8.1%}{without:>14}"
            f"{row['sqnr_db']:>7.1f} dB{row['clipped_share']:>9.2%}  {row['range_low']:.3g} to {row['range_high']:.3g}"
        )
    return "\n".join(lines)


def _whole(found: dict) -> list[str]:
    between = lambda name, form: " to ".join(form.format(end) for end in found[f"{name}_interval"])
    lines = [
        f"same top-1         {found['top1_agreement']:.2%} (95 % interval {between('top1_agreement', '{:.2%}')})",
        f"SQNR of the logits {found['sqnr_db']:.1f} dB ({between('sqnr_db', '{:.1f}')})",
        f"confidence         {found['confidence']:.1%}, float {found['float_confidence']:.1%} "
        f"({100 * found['confidence_change']:+.1f} points)",
        f"cross-entropy      {found['cross_entropy']:.3f} nats with the float probabilities, at best "
        f"{found['entropy']:.3f}",
    ]
    if "accuracy" in found:
        lines += [
            f"accuracy           {found['accuracy']:.2%} ({between('accuracy', '{:.2%}')}), float "
            f"{found['float_accuracy']:.2%} ({between('float_accuracy', '{:.2%}')})",
            f"drop               {found['accuracy_drop']:+.2f} points ({between('accuracy_drop', '{:+.2f}')}): "
            f"{found['lost']} images lost, {found['gained']} gained, McNemar's p {found['mcnemar_p']:.2g}",
        ]
    return lines
