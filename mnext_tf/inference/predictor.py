"""A network in any of its forms as one thing: images in, logits out, with its preprocessing and class names."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mnext_tf.data import imagenet
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.files import read_json, sha256
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import is_current
from mnext_tf.runs.weights import load_network
from mnext_tf.tflite.metadata import Metadata

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Network:
    """`logits` takes float images (n, size, size, 3), RGB in [0, 255], and gives (n, classes).

    name: for tables and folders. path: the file or folder that it was read from. sha256: of the bytes of that
    file; of the weights for Keras.
    """

    name: str
    format: str
    path: Path
    sha256: str
    preprocess: Preprocess
    class_names: tuple[str, ...]
    logits: Callable[[np.ndarray], np.ndarray]


def open_keras(run: Run) -> Network:
    """The network of a run as it was trained or imported."""

    return _network(
        f"{run.name} keras",
        "keras",
        run.weights,
        keras_function(load_network(run)),
        run.config.preprocess,
        run.config.class_names,
    )


def open_network(
    format: str,
    path: Path,
    *,
    name: str | None = None,
    preprocess: dict | None = None,
    class_names: tuple[str, ...] | None = None,
) -> Network:
    """A SavedModel's folder, a frozen graph or a TFLite file, with what lies beside it.

    preprocess.json and labels.txt come with every export of ours, and inside every .tflite file. For a file that
    lost them the file's own input size, the usual centre crop and, for 1,000 or 1,001 classes, ImageNet's names are
    taken, and `log` says so. Fields of a Preprocess in `preprocess`, and `class_names`, replace either.

    `name` is for tables; without it the path. Raises ConfigError where there is no such file, ExportError
    where it is damaged or of another kind.
    """
    path = Path(path)
    if not path.exists():
        raise ConfigError(f"{path} does not exist. python -m pipelines.export_tflite and its like make such files.")
    if (format == "saved_model") != path.is_dir():
        raise ConfigError(f"{path} is {'a folder' if path.is_dir() else 'a file'}; {_WANTED[format]}")
    function, size, classes = _open(format, path)
    folder = path if path.is_dir() else path.parent
    about = getattr(function, "metadata", None) or Metadata()
    given, kept = preprocess or {}, _read_preprocess(folder / "preprocess.json", path, about.preprocess)
    preprocess = kept or Preprocess(input_size=size, interpolation="bilinear")
    if not (given or kept):
        _log.info(
            f"{path} has no preprocess.json in it or beside it: the short side is resized to {preprocess.resize_size}, "
            f"bilinear, and the centre {size} pixels are fed as {_fed(about)}. --crop_fraction and --interpolation say "
            "otherwise; values that metadata does not give cannot be known."
        )
    preprocess = replace(preprocess, **given)
    if preprocess.input_size != size:
        raise ConfigError(f"{path} takes {size} pixels, its preprocessing gives {preprocess.input_size}.")
    if class_names is None:
        class_names = _read_labels([folder / "labels.txt", folder / "assets" / "labels.txt"]) or about.labels or None
    if class_names is None:
        class_names = imagenet.names_for(classes) or tuple(f"class {i}" for i in range(classes))
        _log.info(
            f"{path} has no labels.txt in it or beside it: its classes are called {', '.join(class_names[:2])} ..."
        )
    if len(class_names) != classes:
        raise ConfigError(f"{path} has {classes} classes, {len(class_names)} class names were given or lie beside it.")
    return _network(name or str(path), format, path, function, preprocess, class_names)


_WANTED = {
    "saved_model": "a SavedModel is a folder with saved_model.pb.",
    "frozen": "a frozen graph is one file, such as frozen/frozen.pb.",
    "tflite": "a TFLite file ends in .tflite.",
}


def open_exports(run: Run) -> list[Network]:
    """Everything that a run has exported, in the order of making; named as `open_keras` names it.

    Raises ExportError where an export is not of the weights that the run holds now.
    """

    found = exports_of(run)
    if stale := [stage for stage, _ in found if not is_current(run, stage)]:
        raise ExportError(
            f"{', '.join(stale)} in {run.folder} was not made from what the run holds now, or was changed since. "
            "Export again: python -m pipelines.export_tflite and its like."
        )
    form = lambda stage: "tflite" if stage.startswith("tflite") else stage
    return [open_network(form(stage), path, name=f"{run.name} {stage}") for stage, path in found]


def read_labels(path: Path) -> tuple[str, ...]:
    """One class name a line, in order of the logits. Raises ConfigError where the file cannot be read."""
    try:
        return tuple(Path(path).read_text(encoding="utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} is no list of class names, one a line ({e}).") from e


def _open(format: str, path: Path):
    """(function, input size, number of classes)."""
    import tensorflow as tf

    if format == "tflite":
        from mnext_tf.inference.tflite import TFLiteNetwork

        network = TFLiteNetwork(path)
        return network, network.input_size, network.num_classes
    from mnext_tf.inference.frozen import load_frozen
    from mnext_tf.inference.saved_model import load_saved_model

    try:
        function = (load_saved_model if format == "saved_model" else load_frozen)(path)
        shape = (1, *function.input_shape[1:])
        return function, shape[1], function(tf.zeros(shape)).shape[-1]
    except (OSError, KeyError, ValueError, tf.errors.OpError) as e:
        raise ExportError(f"{path} cannot be read as {format} of ours ({str(e)[:300]}). {_WANTED[format]}") from e


def _fed(about: Metadata) -> str:
    if about.feeds_pixels:
        return "RGB in [0, 255]"
    return f"(RGB - {', '.join(f'{m:g}' for m in about.mean)}) / {', '.join(f'{s:g}' for s in about.std)}"


def _read_preprocess(beside: Path, network: Path, inside: dict | None) -> Preprocess | None:
    """What lies beside a network, or else was found inside it."""
    if beside.is_file():
        where, mend = str(beside), ", or delete it to take the usual centre crop"
    elif inside:
        where, mend = f"preprocess.json inside {network}", ""
    else:
        return None
    try:
        return Preprocess.from_dict(read_json(beside) if beside.is_file() else inside)
    except (json.JSONDecodeError, TypeError, AttributeError, ConfigError) as e:
        raise ConfigError(f"{where} is damaged ({e}). Export again{mend}.") from e


def _read_labels(paths: list[Path]) -> tuple[str, ...] | None:
    return next((read_labels(path) for path in paths if path.is_file()), None)


def _network(name, format, path, function, preprocess, class_names) -> Network:
    import tensorflow as tf

    def logits(images: np.ndarray) -> np.ndarray:
        return np.asarray(function(images if format == "tflite" else tf.convert_to_tensor(images, tf.float32)))

    return Network(name, format, path, sha256(path), preprocess, class_names, logits)


def exports_of(run: Run) -> list[tuple[str, Path]]:
    """(stage, its SavedModel, graph or file) of everything that a run has exported, in the order of making."""
    found = [("saved_model", run.stage("saved_model"))] if run.manifest("saved_model") else []
    if run.manifest("frozen"):
        found.append(("frozen", run.stage("frozen") / "frozen.pb"))
    for manifest in sorted(run.folder.glob("tflite_*/manifest.json")):
        stage = manifest.parent.name
        found.append((stage, manifest.parent / run.manifest(stage)["result"]["file"]))
    return found


def keras_function(model):
    """The network as Keras computes it, compiled."""
    import tensorflow as tf

    return tf.function(lambda images: model(images, training=False), autograph=False, reduce_retracing=True)


def run_network(network, images: np.ndarray) -> np.ndarray:
    """Logits of all images, in batches of 64."""
    return np.concatenate([np.asarray(network(_tensor(images[i : i + 64]))) for i in range(0, len(images), 64)])


def _tensor(images: np.ndarray):
    import tensorflow as tf

    return tf.convert_to_tensor(images, tf.float32)
