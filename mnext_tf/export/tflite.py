"""Frozen graph to TFLite: float32, weights of fewer bits, or full integer."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mnext_tf.compression.calibration import _feed, spanning
from mnext_tf.errors import ConfigError, ExportError, one_of
from mnext_tf.inference.graphs import load_frozen, named
from mnext_tf.naming import CALIBRATED, IO_TYPES, PRECISIONS
from mnext_tf.quiet import quiet_stderr
from mnext_tf.tflite.int8_weights import store_weights_as_int8

_OPERATORS = {
    "int8": tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
    "int16x8": tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8,
}


def convert(
    frozen: Path,
    precision: str,
    *,
    io_type: str = "int8",
    calibration: Sequence[np.ndarray] = (),
    sparse: bool = False,
    progress: bool = True,
) -> bytes:
    """The TFLite file of a frozen graph, batch 1, signature `serving_default`, such as image -> logits.

    Args:
      precision: one of `PRECISIONS`.
      io_type: type of input and output of an int8 file, one of `IO_TYPES`.
      calibration: for int8 and int16x8, real images, float32 (size, size, 3) in [0, 255], none twice.
      sparse: store the weights of layers with many zeros without these; for float32.

    Raises:
      ConfigError: unknown precision, or one of `CALIBRATED` without images.
      ExportError: the converter refused the graph.
    """
    one_of("precision", precision, PRECISIONS)
    one_of("io_type", io_type, IO_TYPES)
    network = load_frozen(frozen, batch_size=1)
    names, image = network.output_names, tf.TensorSpec(network.inputs[0].shape, tf.float32, name="image")
    servable = tf.Module()  # gives the file a signature, such as image -> logits
    servable.serve = tf.function(lambda image: named(network(image), names), input_signature=[image], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([servable.serve.get_concrete_function()], servable)
    if precision not in ("float32", "weight_int8"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if sparse:
        converter.optimizations = [tf.lite.Optimize.EXPERIMENTAL_SPARSITY]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision in CALIBRATED:
        if len(calibration) == 0:
            raise ConfigError(f"{precision} needs calibration images; received none.")
        converter.representative_dataset = lambda: _feed(spanning(calibration), progress)
        converter.target_spec.supported_ops = [_OPERATORS[precision]]
    if precision == "int8":
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(io_type)
    try:
        with warnings.catch_warnings(), quiet_stderr():
            warnings.simplefilter("ignore")  # notes about the converter's own workings
            content = converter.convert()
    except Exception as e:  # ConverterError derives from nothing narrower
        raise ExportError(f"TensorFlow's converter refused {frozen} as {precision}: {str(e)[:2000]}") from e
    return store_weights_as_int8(content) if precision == "weight_int8" else content
