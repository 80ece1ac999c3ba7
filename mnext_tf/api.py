"""What `import mnext_tf` offers: one function for each command, with paths, strings, and runs taken everywhere.

TensorFlow is imported when a function needs it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from mnext_tf.boxes import DetectionSettings
from mnext_tf.errors import ConfigError
from mnext_tf.inference.predictor import Predictor, open_predictor
from mnext_tf.runs.run import Run, open_run
from mnext_tf.tasks.tolerance import Tolerance

RunLike = Run | str | Path


def load(run_or_file: RunLike, *, labels: Sequence[str] | None = None) -> Predictor:
    """A network in any form, ready to predict: a run, a SavedModel, a frozen graph, or a TFLite file.

    `predict` of a classifier gives probabilities, of a detector a `Detections` for each image. Raises ConfigError where
    there is no such file, ExportError where it is damaged or neither an image classifier nor a detector of ours.
    """
    return open_predictor(run_or_file, labels=labels)


def import_checkpoint(checkpoint: str | Path, *, out: str | Path | None = None, data_dir=None, **options: Any) -> Run:
    """A run of published weights; see `mnext_tf.checkpoints.import_checkpoint` for `options`.

    `data_dir` holds images, labeled or not, to verify and calibrate on; None takes crops of two embedded images.
    """
    from mnext_tf.checkpoints import default_folder, import_checkpoint
    from mnext_tf.data import open_dataset

    def dataset(class_names):
        return open_dataset(_data(data_dir) or "photographs", class_names=class_names)

    return import_checkpoint(checkpoint, out or default_folder(checkpoint), dataset=dataset, **options)


def train(
    data_dir: str | Path | None = None,
    *,
    model: str | None = None,
    recipe: str | None = None,
    task: str | None = None,
    init: RunLike | None = None,
    out: str | Path | None = None,
    progress: bool = True,
    **fields: Any,
) -> Run:
    """Train a network and return its run; see docs/recipes.md for `fields`, which replace those of the recipe.

    Args:
      data_dir: a folder in any layout of docs/data.md, "tfds:NAME", or None for the embedded digits, or scenes of a
        detector.
      model: one of `list_models()`; "mnext" unless `init` says otherwise.
      recipe: "photos", "small_images", "finetune", or another of docs/recipes.md; None chooses by data and `init`.
      task: "classification" or "detection"; None takes that of the recipe, of `init`, or of the data.
      init: a run to start from: its network and weights, with a new head where the classes differ.
      out: the run folder to make; None names a new one below runs/.

    Raises ConfigError for arguments that do not fit, DataError for data, TrainingError where the loss is not a number.
    """
    from mnext_tf.data import open_dataset
    from mnext_tf.training.loop import train
    from mnext_tf.training.start import plan_training, start_run

    source = None if init is None else _run(init)
    options = {k: fields.pop(k) for k in ("convention",) if k in fields}
    plan = plan_training(
        model, recipe, fields, options=options, has_data=data_dir is not None, source=source, task=task
    )
    dataset = open_dataset("scenes" if data_dir is None and plan.recipe.detection else _data(data_dir))
    plan = plan.for_data(dataset)
    run = start_run(
        None if out is None else Path(out), plan.model, plan.recipe, dataset, options=plan.options, source=source
    )
    train(run, dataset, progress=progress)
    return run


def export(
    model_or_run: Any,
    precision: str = "float32",
    *,
    path: str | Path | None = None,
    calibration: Any = None,
    labels: Sequence[str] | None = None,
    detection: DetectionSettings | None = None,
    max_accuracy_drop: float = Tolerance.max_accuracy_drop,
    min_agreement: float = Tolerance.min_agreement,
    **options: Any,
) -> Path:
    """A verified .tflite file of a run, or of a `tf.keras` model of ours; returns its path.

    Args:
      precision: "float32", "float16", "dynamic", "weight_int8", "int8", or "int16x8".
      path: where to put a copy of the file; needed for a model, which has no run folder of its own.
      calibration: images for int8 and int16x8: an array (n, size, size, 3) of RGB in [0, 255], or a data folder. A
        run calibrates on its own training images, or on those of the folder `calibration_data`.
      labels: class names of a model.
      max_accuracy_drop, min_agreement: see `Tolerance`.
      detection: how outputs of a model that `create_detector` built become boxes, a `DetectionSettings` of
        `mnext_tf.boxes`; None: as its priors were published, "voc" with softmax, "coco" with sigmoid.
      options: output ("logits", or for apps "probabilities", or a detector's "detections" or "anchors"); and those of
        `mnext_tf.export.stages.tflite`: io_type, calibration_count, calibration_data, effort, keep_float,
        auto_keep_float, sparse, author, license, force.

    Raises VerificationError where the file would not be the same network; nothing is written then.
    """
    from mnext_tf.export import export_tflite
    from mnext_tf.export.of_model import run_of_model

    options["tolerance"] = Tolerance(max_accuracy_drop, min_agreement)
    if isinstance(model_or_run, Run | str | Path):
        if any(given is not None for given in (labels, calibration, detection)):
            raise ConfigError(
                "labels, calibration, and detection are for a model. A run has its own class names and images; "
                "calibration_data names a folder with others."
            )
        made = export_tflite(_run(model_or_run), precision, **options)
        return made if path is None else _copy(made, path)
    if path is None:
        raise ConfigError("path is needed: a model has no run folder that its file could go into.")
    with tempfile.TemporaryDirectory() as scratch:
        given = {"labels": labels, "calibration": calibration, "detection": detection}
        run = run_of_model(model_or_run, Path(scratch) / "run", **given)
        return _copy(export_tflite(run, precision, **options), path)


def verify(
    run: RunLike,
    *,
    max_accuracy_drop: float = Tolerance.max_accuracy_drop,
    min_agreement: float = Tolerance.min_agreement,
    **options: Any,
) -> dict:
    """Compare all exports of a run with its Keras network; see `mnext_tf.evaluation.verify_run.verify_run`."""
    from mnext_tf.evaluation.verify_run import verify_run

    return verify_run(_run(run), Tolerance(max_accuracy_drop, min_agreement), **options)


def evaluate(
    networks: RunLike | Predictor | Iterable[RunLike | Predictor],
    data_dir: str | Path | None = None,
    *,
    split: str | None = None,
    metrics: str | None = None,
    out: str | Path | None = None,
) -> dict:
    """Accuracy, or average precision of detectors, of one or more networks on the same labeled images.

    Returns what evaluation.json holds.

    `data_dir` defaults to the validation images of the first run. `metrics` are the rules that count for detectors, of
    METRICS in `mnext_tf.evaluation.detection.evaluate`; None: those of the data. `out` keeps tables and plots in a
    folder.
    """
    from mnext_tf.evaluation.accuracy import check_same_classes, evaluate
    from mnext_tf.inference.image_stream import open_images

    given: list[Any] = [networks] if isinstance(networks, Run | str | Path | Predictor) else list(networks)
    with contextlib.ExitStack() as stack:
        opened = [n if isinstance(n, Predictor) else stack.enter_context(load(n)) for n in given]
        folder = next((n.run for n in opened if n.run), None)
        if folder is None and data_dir is None:
            raise ConfigError("data_dir is needed: files by themselves do not say which images they are for.")
        run = None if folder is None else open_run(folder)
        results = Path(out or stack.enter_context(tempfile.TemporaryDirectory())) / ("" if out else "evaluation")
        check_same_classes(opened)
        if opened[0].task.name == "detection":
            from mnext_tf.evaluation.detection.evaluate_networks import evaluate_detectors, truths_for

            truths = truths_for(opened, _data(data_dir), run=run, split=split)
            return evaluate_detectors(opened, truths, results, metrics=metrics)
        if metrics:
            raise ConfigError("metrics is for detectors; classifiers have top-1 and top-5. Leave it out.")
        images = open_images(_data(data_dir), opened[0].labels, run=run, split=split)
        return evaluate(opened, images, results)


def benchmark(files: Iterable[str | Path], *, threads: Sequence[int] = (1,), **options: Any) -> list[dict]:
    """Time .tflite files against each other on this host, in interleaved rounds; a row per file and thread count.

    `ratio` is the time over that of the first file. options: rounds, runs_per_round, warmup, seed, progress.
    """
    from mnext_tf.benchmark.suite import benchmark_files

    return benchmark_files([Path(file) for file in files], threads=tuple(threads), **options)


def _copy(file: Path, path: str | Path) -> Path:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy2(file, path))


def _run(run: RunLike) -> Run:
    return run if isinstance(run, Run) else open_run(Path(run))


def _data(data_dir: str | Path | None) -> str | Path | None:
    """A folder as a Path; names such as tfds:NAME stay text."""
    return data_dir if data_dir is None or str(data_dir).startswith("tfds:") else Path(data_dir)
