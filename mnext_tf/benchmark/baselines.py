"""Baselines: networks of others, timed in the same benchmark as ours."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from pathlib import Path

from mnext_tf.errors import ConfigError
from mnext_tf.files import atomic_folder, read_json, sha256, write_json
from mnext_tf.provenance import versions

_log = logging.getLogger(__name__)

BASELINES = ("keras_mobilenet_v2",)


def check_baseline(name: str, precision: str, input_size: int) -> None:
    """ConfigError unless the baseline exists in that precision and for that size."""
    if input_size < 32:
        raise ConfigError(f"{name} takes an input_size of 32 or more; received {input_size}.")
    if precision != "float32":
        raise ConfigError(
            f"{name} can be timed as float32 only; received {precision}. It has no training data here, and an int8 "
            "file calibrated on noise would mean nothing. Leave it out, or give --quantize=float32."
        )


def export_keras_mobilenet_v2(folder: Path, *, width: float, input_size: int, force: bool = False) -> Path:
    """`keras.applications.MobileNetV2`, untrained, through the stock converter as a float32 `.tflite`.

    Input (1, input_size, input_size, 3), not normalized inside; output 1000 logits.
    Skipped when `folder` holds such a file of these versions.
    """
    file, manifest = folder / "keras_mobilenet_v2.tflite", folder / "manifest.json"
    relevant = {k: v for k, v in versions().items() if k in ("tensorflow", "keras")}
    made_of = {"width": width, "input_size": input_size, "versions": relevant}
    if not force and file.is_file() and manifest.is_file():
        found = read_json(manifest)
        if found["made_of"] == made_of and found["sha256"] == sha256(file):
            _log.debug(f"keras_mobilenet_v2: unchanged, kept {folder}")
            return file

    _log.info("keras_mobilenet_v2: converting with the stock converter")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import tensorflow as tf

    model = tf.keras.applications.MobileNetV2(
        (input_size, input_size, 3), alpha=width, weights=None, classifier_activation=None
    )
    with contextlib.redirect_stdout(io.StringIO()):  # Keras prints every weight's signature
        content = tf.lite.TFLiteConverter.from_keras_model(model).convert()
    with atomic_folder(folder) as temporary:
        (temporary / file.name).write_bytes(content)
        write_json(temporary / manifest.name, {"made_of": made_of, "sha256": sha256(temporary / file.name)})
    return file
