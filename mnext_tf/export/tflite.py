"""Frozen graph to TFLite: float32, float16 or dynamic-range weights, or full integer."""

from __future__ import annotations

import os
import queue
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import tensorflow as tf

from mnext_tf.errors import ConfigError, ExportError, one_of
from mnext_tf.export.frozen import load_frozen
from mnext_tf.export.kinds import IO_TYPES, QUANTIZE
from mnext_tf.export.metadata import Metadata, read_metadata


def convert(
    frozen: Path, quantize: str, *, io_type: str = "int8", calibration: Sequence[np.ndarray] = (), progress: bool = True
) -> bytes:
    """The TFLite file of a frozen graph, batch 1, signature `serving_default`: image -> logits.

    Args:
      quantize: one of `QUANTIZE`.
      io_type: type of input and output of a full-integer file, one of `IO_TYPES`.
      calibration: for int8, real images, float32 (size, size, 3) in [0, 255], none twice.

    Raises:
      ConfigError: unknown kind, or int8 without images. ExportError: the converter refused the graph.
    """
    one_of("quantize", quantize, QUANTIZE)
    one_of("io_type", io_type, IO_TYPES)
    logits = load_frozen(frozen, batch_size=1)
    image = tf.TensorSpec(logits.inputs[0].shape, tf.float32, name="image")
    servable = tf.Module()  # gives the file a signature, image -> logits
    servable.serve = tf.function(lambda image: {"logits": logits(image)}, input_signature=[image], autograph=False)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([servable.serve.get_concrete_function()], servable)
    if quantize != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantize == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if quantize == "int8":
        if len(calibration) == 0:
            raise ConfigError("int8 needs calibration images; received none.")
        converter.representative_dataset = lambda: _feed(spanning(calibration), progress)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(io_type)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # notes about the converter's own workings
            return converter.convert()
    except Exception as e:  # ConverterError derives from nothing narrower
        raise ExportError(f"TensorFlow's converter refused {frozen} as {quantize}: {str(e)[:2000]}") from e


def spanning(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The images; two corner pixels of the first are made black and white if no image has such.

    The input's range then is [0, 255] whatever the photographs: scale 1, so that an app feeds an
    int8 file `pixel - 128` and a uint8 file the pixel itself.
    """
    images = list(images)
    if min(i.min() for i in images) > 0 or max(i.max() for i in images) < 255:
        images[0] = images[0].copy()
        images[0][0, 0], images[0][-1, -1] = 0, 255
    return images


def _feed(images: Sequence[np.ndarray], progress: bool) -> Iterator[list[np.ndarray]]:
    from tqdm import tqdm

    bar = tqdm(images, desc="calibrating", unit="img", disable=None if progress else True)
    for image in bar:
        yield [image[None]]


def describe_ends(path: Path) -> dict:
    """Type, scale and zero point of input and output, for whoever feeds the file."""
    from mnext_tf.export.operators import open_interpreter

    interpreter = open_interpreter(path)
    described = {}
    for key, detail in (("input", interpreter.get_input_details()[0]), ("output", interpreter.get_output_details()[0])):
        scale, zero_point = detail["quantization"]
        described[key] = {
            "dtype": detail["dtype"].__name__,
            "shape": [int(n) for n in detail["shape"]],
            "scale": float(scale),
            "zero_point": int(zero_point),
        }
    return described


class TFLiteNetwork:
    """A TFLite file as a function from float images, RGB in [0, 255], to its float outputs.

    A normalisation that the file's metadata asks for is computed, and quantized inputs and outputs are
    converted; runs through XNNPACK. Every core has an interpreter of its own and takes an image at a time, which is
    faster than many cores on one image. `gives` is logits or probabilities, `metadata` what the file says of itself.
    """

    def __init__(self, path: Path, workers: int = os.cpu_count() or 1):
        from mnext_tf.export.operators import open_interpreter, operators

        self._interpreters = queue.SimpleQueue()
        for _ in range(workers):
            interpreter = open_interpreter(path)
            self._interpreters.put(interpreter)
        self._pool = ThreadPoolExecutor(workers)
        self.metadata = read_metadata(path)
        about = self.metadata or Metadata()
        self._normalize = None if about.feeds_pixels else about.normalize
        self._input, self._output = _ends(path, interpreter, about)
        self.gives = "probabilities" if operators(interpreter)[-1].kind == "SOFTMAX" else "logits"
        self.input_size, self.num_classes = int(self._input["shape"][1]), int(self._output["shape"][-1])

    def __call__(self, images) -> np.ndarray:
        return np.stack(list(self._pool.map(self._one, np.asarray(images))))

    def _one(self, image: np.ndarray) -> np.ndarray:
        interpreter = self._interpreters.get()
        try:
            values = self._normalize(image) if self._normalize else image
            interpreter.set_tensor(self._input["index"], quantize_array(values, self._input)[None])
            interpreter.invoke()
            return dequantize_array(interpreter.get_tensor(self._output["index"])[0], self._output)
        finally:
            self._interpreters.put(interpreter)


def _ends(path: Path, interpreter, about: Metadata) -> tuple[dict, dict]:
    """Input and output of a classifier of pixels. Raises ExportError for a file of another kind."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    shapes = [tuple(map(int, end["shape"])) for end in (*inputs, *outputs)]
    if len(shapes) != 2 or len(shapes[0]) != 4 or shapes[0] != (1, *(shapes[0][1],) * 2, 3) or len(shapes[1]) != 2:
        raise ExportError(
            f"{path} has inputs and outputs of shape {', '.join(map(str, shapes))}; a classifier of ours takes one "
            "image (1, size, size, 3) and gives (1, classes)."
        )
    dtype, (scale, zero_point) = inputs[0]["dtype"], inputs[0]["quantization"]
    if np.issubdtype(dtype, np.integer) and scale:
        low, high = ((limit - zero_point) * scale for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        black, white = (np.ravel(about.normalize(np.full(3, float(pixel)))) for pixel in (0, 255))
        if max(abs(black - low).max(), abs(white - high).max()) > 0.03 * (high - low):
            raise ExportError(
                f"{path} takes values from {low:.3g} to {high:.3g}, not pixels from {black.min():.3g} to "
                f"{white.max():.3g}: it wants another normalisation than its metadata says, and would be fed wrongly."
            )
    return inputs[0], outputs[0]


def quantize_array(values: np.ndarray, detail: dict) -> np.ndarray:
    """Float values as the tensor of `detail` holds them."""
    dtype = detail["dtype"]
    if not np.issubdtype(dtype, np.integer):
        return values.astype(dtype)
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(dtype)
    return np.clip(np.round(values / scale) + zero_point, limits.min, limits.max).astype(dtype)


def dequantize_array(values: np.ndarray, detail: dict) -> np.ndarray:
    """The float values of a tensor's content."""
    if not np.issubdtype(values.dtype, np.integer):
        return values.astype(np.float32)
    scale, zero_point = detail["quantization"]
    return ((values.astype(np.float32) - zero_point) * scale).astype(np.float32)
