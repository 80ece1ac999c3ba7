"""A network in any of its forms as one thing: images in, logits or probabilities out, with preprocessing and labels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnext_tf.boxes import BESIDE_CLASSES, Detections
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError, ExportError, one_of
from mnext_tf.files import sha256
from mnext_tf.inference import sidecars
from mnext_tf.inference.image_stream import Images, images_of_paths, preprocessed
from mnext_tf.runs.run import Run, open_run
from mnext_tf.runs.stages import is_current
from mnext_tf.runs.weights import load_network
from mnext_tf.tasks import Classification, Detection, detection_task, task_of
from mnext_tf.tasks.detection_comparison import SHOWN

FORMATS = {
    "saved_model": "a SavedModel is a folder with saved_model.pb.",
    "frozen": "a frozen graph is one file, such as frozen/frozen.pb.",
    "tflite": "a TFLite file ends in .tflite.",
}
_log = logging.getLogger(__name__)
_BATCH = 64
_FLOOR = 1e-30  # a probability of 0 as a logit


@dataclass(eq=False)
class Predictor:
    """An open network; close it, or use it in a `with` statement, to release interpreters and threads.

    name: for tables and folders. format: "keras" or one of FORMATS. path: the file or folder it was read from.
    sha256: of that; of the weights for Keras. output: "logits", "probabilities", or "detections", whatever the file
    gives; a detector's packed outputs count as logits.
    """

    name: str
    format: str
    path: Path
    sha256: str
    preprocess: Preprocess
    labels: tuple[str, ...]
    function: Callable[[np.ndarray], np.ndarray] = field(repr=False)
    output: str = "logits"
    task: Classification | Detection = field(default_factory=Classification)
    run: Path | None = None  # the folder of the run that it belongs to

    @property
    def input_size(self) -> int:
        """Side of the square input, in pixels."""
        return self.preprocess.input_size

    @property
    def num_classes(self) -> int:
        return len(self.labels)

    def outputs(self, images: np.ndarray) -> np.ndarray:
        """What the network gives for images (n, size, size, 3), RGB in [0, 255]: float32 (n, classes).

        Raises ConfigError for images of another shape or range.
        """
        images = check_images(images, self.input_size)
        batches = [self.function(images[i : i + _BATCH].astype(np.float32)) for i in range(0, len(images), _BATCH)]
        return (
            np.concatenate(batches) if batches else np.zeros((0, *self.task.output_shape(self.num_classes)), np.float32)
        )

    def compared(self, images: np.ndarray):
        """What a comparison of the task takes: `outputs`, or the detections of a file that gives nothing else."""
        return self.predict(images) if self.output == "detections" else self.outputs(images)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """(n, classes); the logarithms of the probabilities where the file ends in a softmax."""
        outputs = self.outputs(images)
        return np.log(np.maximum(outputs, _FLOOR)) if self.output == "probabilities" else outputs

    def predict(self, images: np.ndarray) -> np.ndarray | list[Detections]:
        """Probabilities (n, classes), float64; of a detector a list of `Detections`, one an image."""
        if self.output == "detections":
            images = check_images(images, self.input_size).astype(np.float32)
            return [found for i in range(0, len(images), _BATCH) for found in self.function(images[i : i + _BATCH])]
        return self.task.decode(self.outputs(images), self.output)

    def predict_files(
        self, paths: Iterable[str | Path] | str | Path, *, top: int | None = None, score: float = SHOWN
    ) -> list[dict]:
        """Predictions for image files, and for all images in folders, preprocessed as the network was evaluated.

        Returns rows {file, predictions: [{class, name, probability}, ...]}, the `top` most likely, 5 unless given; of a
        detector {file, detections: [{class, name, score, box}, ...]}, those of at least `score`, best first. Damaged
        images are skipped with a warning; DataError where none is sound.
        """
        paths = [paths] if isinstance(paths, str | Path) else paths
        images = images_of_paths([Path(p) for p in paths])
        rows = self.predict_images(images, top=top, score=score)
        for name, reason in images.skipped:
            _log.warning(f"{name}: skipped, {reason}")
        return rows

    def predict_images(
        self, images: Images, *, top: int | None = None, score: float = SHOWN, progress: bool = False
    ) -> list[dict]:
        """As `predict_files`; `images.skipped` lists what was skipped."""
        rows = []
        for batch in preprocessed(images, [self.preprocess], _BATCH, progress=progress):
            found = self.predict(batch.pixels[self.preprocess])
            if isinstance(found, list):
                found = [detections.above(score) for detections in found]
            found = self.task.describe(found, self.labels, top)
            rows += [{"file": name, **row} for name, row in zip(batch.names, found, strict=True)]
        return rows

    def close(self) -> None:
        close = getattr(self.function, "close", None)
        if close:
            close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


def open_predictor(
    source: Run | str | Path,
    *,
    format: str | None = None,
    name: str | None = None,
    preprocess: dict | None = None,
    labels: Sequence[str] | None = None,
    arm64: Path | None = None,
) -> Predictor:
    """Open a run's Keras network, a SavedModel, a frozen graph, or a TFLite file.

    preprocess.json and labels.txt come with every export of ours, and inside every .tflite file. Where both are
    missing, the file's own input size, the usual center crop (the whole image for a detector), and ImageNet's names
    for 1,000 or 1,001 classes are taken, and the log says so.

    Args:
      format: one of FORMATS; None detects it.
      name: for tables; None takes the run's name or the path.
      preprocess: fields of a `Preprocess` that replace the file's own. labels: replace its class names.
      arm64: a folder made by environments/arm64.sh: a TFLite file runs by a phone's kernels, under emulation.

    Raises ConfigError where there is no such file, ExportError where it is damaged or of another kind.
    """
    if not isinstance(source, Run) and format is None and (Path(source) / "config.json").is_file():
        source = open_run(Path(source))
    if isinstance(source, Run):
        return _open_keras(source, name)
    path = Path(source)
    if not path.exists():
        raise ConfigError(f"{path} does not exist. python -m pipelines.export_tflite and its like make such files.")
    format = format or _detect(path)
    one_of("format", format, FORMATS)
    if (format == "saved_model") != path.is_dir():
        raise ConfigError(f"{path} is {'a folder' if path.is_dir() else 'a file'}; {FORMATS[format]}")
    function, size, classes = _open(format, path, arm64)
    about = getattr(function, "metadata", None)
    decoding = sidecars.decoding_of(path, about)
    if classes is None:  # the last axis of a graph
        classes = function.columns - (BESIDE_CLASSES if decoding else 0)
    return Predictor(
        name=name or str(path),
        format=format,
        path=path,
        sha256=sha256(path),
        preprocess=sidecars.preprocess_of(path, size, about, preprocess, detector=decoding is not None),
        labels=sidecars.labels_of(path, classes, about, labels),
        function=function,
        output=getattr(function, "output", "logits"),
        task=detection_task(decoding.priors, decoding.input_size, decoding) if decoding else Classification(),
    )


def open_exports(run: Run) -> list[Predictor]:
    """Everything that a run has exported, in the order of making.

    Raises ExportError where an export is not of the weights that the run holds now.
    """
    found = exports_of(run)
    if stale := [stage for stage, _ in found if not is_current(run, stage)]:
        raise ExportError(
            f"{', '.join(stale)} in {run.folder} was not made from what the run holds now, or was changed since. "
            "Export again: python -m pipelines.export_tflite and its like."
        )
    opened = [open_predictor(path, format=format_of(stage), name=f"{run.name} {stage}") for stage, path in found]
    return [dataclasses.replace(network, run=run.folder) for network in opened]


def exports_of(run: Run) -> list[tuple[str, Path]]:
    """(stage, its SavedModel, graph, or file) of everything that a run has exported, in the order of making."""
    found = [("saved_model", run.stage("saved_model"))] if run.manifest("saved_model") else []
    if run.manifest("frozen"):
        found.append(("frozen", run.stage("frozen") / "frozen.pb"))
    for manifest in sorted(run.stage("").glob("tflite_*/manifest.json")):
        stage = manifest.parent.name
        found.append((stage, manifest.parent / run.manifest(stage).result["file"]))
    return found


def format_of(stage: str) -> str:
    """The format of what a stage makes."""
    return "tflite" if stage.startswith("tflite") else stage


def _open_keras(run: Run, name: str | None) -> Predictor:
    import tensorflow as tf

    from mnext_tf.inference.graphs import packed

    model = load_network(run)
    compiled = tf.function(lambda images: model(images, training=False), autograph=False, reduce_retracing=True)
    return Predictor(
        name=name or f"{run.name} keras",
        format="keras",
        path=run.weights,
        sha256=sha256(run.weights),
        preprocess=run.config.preprocess,
        labels=run.config.class_names,
        function=lambda images: packed(compiled(tf.convert_to_tensor(images, tf.float32))).numpy(),
        task=task_of(run.config),
        run=run.folder,
    )


def _detect(path: Path) -> str:
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            return "saved_model"
        raise ConfigError(f"{path} is neither a run folder (config.json) nor a SavedModel (saved_model.pb).")
    with open(path, "rb") as f:
        head = f.read(8)
    if path.suffix == ".tflite" or head[4:8] == b"TFL3":
        return "tflite"
    if path.suffix == ".pb":
        return "frozen"
    raise ConfigError(f"{path} is no network that is known here: a run folder, {'; '.join(FORMATS.values())}")


def _open(format: str, path: Path, arm64: Path | None):
    """(function from float images to outputs, input size, number of classes; None: `function.columns` tells it)."""
    if arm64 is not None and format != "tflite":
        raise ConfigError(f"ARM64 kernels compute TFLite files only; {path} is of the format {format}.")
    if format == "tflite":
        from mnext_tf.inference.arm64 import Arm64Network
        from mnext_tf.inference.tflite_detector import open_tflite

        network = open_tflite(path) if arm64 is None else Arm64Network(path, arm64)
        return network, network.input_size, network.num_classes
    import tensorflow as tf

    from mnext_tf.inference.graphs import load_frozen, load_saved_model, packed

    try:
        graph = (load_saved_model if format == "saved_model" else load_frozen)(path)
        shape = (1, *graph.input_shape[1:])
        columns = packed(graph(tf.zeros(shape))).shape[-1]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as e:
        raise ExportError(f"{path} cannot be read as {format} of ours ({str(e)[:300]}). {FORMATS[format]}") from e

    def function(images):
        return packed(graph(tf.convert_to_tensor(images, tf.float32))).numpy()

    function.columns = columns
    return function, shape[1], None


def check_images(images, size: int) -> np.ndarray:
    """Raise ConfigError unless `images` are numbers (n, size, size, 3) in [0, 255]; returns them as an array."""
    images = np.asarray(images)
    if images.ndim != 4 or images.shape[1:] != (size, size, 3) or images.dtype.kind not in "uif":
        raise ConfigError(
            f"images must be an array of numbers of shape (n, {size}, {size}, 3), RGB in [0, 255]; received "
            f"{images.dtype} {images.shape}."
        )
    if images.size and not (images.min() >= -1e-3 and images.max() <= 255.001):
        raise ConfigError(
            f"images must be RGB in [0, 255], as the network normalizes them itself; received values from "
            f"{images.min():g} to {images.max():g}."
        )
    return images
