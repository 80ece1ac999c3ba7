"""Rivals from `keras.applications`, untrained, to be timed beside our networks: keras:MobileNetV3Large."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import io
import logging
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.files import atomic_folder, read_json, sha256, write_json
from mnext_tf.models import check_model_arguments
from mnext_tf.naming import KERAS, network_name, stage_name
from mnext_tf.provenance import versions
from mnext_tf.quiet import quiet_stderr

_log = logging.getLogger(__name__)

PRECISIONS = ("float32", "int8")
CALIBRATION_IMAGES = 4

# Written out, because asking Keras takes seconds that a wrong flag should not; a test compares them.
CLASSES = (
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    *(f"DenseNet{layers}" for layers in (121, 169, 201)),
    *(f"EfficientNetB{i}" for i in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("InceptionResNetV2", "InceptionV3"),
    *("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"),
    *("NASNetLarge", "NASNetMobile"),
    *(f"ResNet{layers}{version}" for layers in (50, 101, 152) for version in ("", "V2")),
    *("VGG16", "VGG19", "Xception"),
)
WITH_WIDTH = ("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small")  # which take `alpha`
_SMALLEST = {"InceptionResNetV2": 75, "InceptionV3": 75, "Xception": 71}  # input sizes; 32 for the others

_OLD_NAMES = {"keras_mobilenet_v2": f"{KERAS}MobileNetV2"}  # of releases up to 0.3


def full_name(model: str) -> str:
    """Of a network that an earlier release named otherwise; others keep theirs."""
    return _OLD_NAMES.get(model, model)


def check_keras_network(model: str, width: float, input_size: int, precisions: Sequence[str]) -> None:
    """ConfigError unless keras.applications has the network, with that width and for that size, and it can be exported
    in those precisions."""
    name = model.removeprefix(KERAS)
    if name not in CLASSES:
        lower = {c.lower(): c for c in CLASSES}
        near = [lower[n] for n in difflib.get_close_matches(name.lower(), lower, n=4)]
        hint = f"Did you mean {' or '.join(KERAS + n for n in near)}?" if near else f"It has {', '.join(CLASSES)}."
        raise ConfigError(f"keras.applications has no network {name!r} (model {model}). {hint}")
    if name in WITH_WIDTH:
        check_model_arguments("mobilenet_v2", width=width)
    elif width != 1:
        raise ConfigError(
            f"{model} has no width multiplier, so width must be 1.0; received {width:g}. Only "
            f"{', '.join(KERAS + n for n in WITH_WIDTH)} have one. Leave it out, or time it with --width=1.0."
        )
    smallest = _SMALLEST.get(name, 32)
    if input_size < smallest:
        raise ConfigError(f"{model} takes an input_size of {smallest} or more; received {input_size}.")
    for precision in precisions:
        if precision not in PRECISIONS:
            raise ConfigError(
                f"{model} can be timed as {' and '.join(PRECISIONS)}; received {precision}. Leave it out, or give "
                f"--quantize={','.join(PRECISIONS)}."
            )


def export_keras_network(
    model: str, folder: Path, precision: str, *, width: float, input_size: int, force: bool = False
) -> Path:
    """An untrained network of keras.applications through the stock converter as `.tflite`, float32 or int8.

    Input (1, input_size, input_size, 3), not normalized inside where Keras leaves the choice; output 1000 logits.
    The file is for timing alone: an int8 file has ranges of random pixels in random weights, which mean nothing for
    its accuracy; its latency does not depend on them. Skipped when `folder` holds such a file of these versions.

    Raises ExportError where the converter refuses it.
    """
    stage = folder / stage_name(precision)
    file = stage / f"{network_name(model, width, 1.0, input_size)}_{precision}.tflite"
    manifest = stage / "manifest.json"
    relevant = {k: v for k, v in versions().items() if k in ("mnext_tf", "tensorflow", "keras")}
    made_of = {
        "model": model,
        "width": width,
        "input_size": input_size,
        "precision": precision,
        "calibration_images": CALIBRATION_IMAGES if precision == "int8" else None,
        "versions": relevant,
    }
    if not force and file.is_file() and manifest.is_file():
        found = read_json(manifest)
        if found["made_of"] == made_of and found["sha256"] == sha256(file):
            _log.debug(f"{model}: unchanged, kept {stage}")
            return file

    _log.info(f"{model} {width:g}: converting to {precision} with the stock converter")
    content = _convert(model, precision, width, input_size)
    with atomic_folder(stage) as temporary:
        (temporary / file.name).write_bytes(content)
        write_json(temporary / manifest.name, {"made_of": made_of, "sha256": sha256(temporary / file.name)})
    return file


def _convert(model: str, precision: str, width: float, input_size: int) -> bytes:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(_build(model, width, input_size))
    if precision == "int8":
        shape = (CALIBRATION_IMAGES, 1, input_size, input_size, 3)
        pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.float32)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image] for image in pixels)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    try:
        with warnings.catch_warnings(), quiet_stderr(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # notes about the converter's own workings
            return converter.convert()
    except Exception as e:  # ConverterError derives from nothing narrower
        raise ExportError(f"TensorFlow's converter refused {model} as {precision}: {str(e)[:2000]}") from e


def _build(model: str, width: float, input_size: int):
    import tensorflow as tf

    name = model.removeprefix(KERAS)
    make = getattr(tf.keras.applications, name)
    options = {"input_shape": (input_size, input_size, 3), "weights": None, "classifier_activation": None}
    if name in WITH_WIDTH:
        options["alpha"] = width
    if "include_preprocessing" in inspect.signature(make).parameters:
        options["include_preprocessing"] = False
    tf.keras.utils.set_random_seed(0)
    # For one image, not for a batch of any size: MobileNetV3 would compute its shapes at each inference.
    image = tf.keras.Input(batch_shape=(1, *options["input_shape"]), name="image")
    return tf.keras.Model(image, make(**options)(image))
