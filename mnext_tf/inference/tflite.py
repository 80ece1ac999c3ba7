"""Runs a TFLite file through LiteRT."""

from __future__ import annotations

import logging
import os
import queue
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mnext_tf.errors import ExportError
from mnext_tf.tflite.detector import order_outputs
from mnext_tf.tflite.metadata import Metadata, read_metadata

_log = logging.getLogger(__name__)


def describe_ends(path: Path) -> dict:
    """Type, shape, scale, and zero point of input and output, for whoever feeds the file.

    {"input", "output"}, and of a file with several outputs {"outputs": {name: ...}}; "output" is the first of these.
    """
    from mnext_tf.tflite.operators import open_interpreter

    interpreter = open_interpreter(path)
    named = {name: _describe_end(end) for name, end in named_outputs(interpreter)}
    described = {"input": _describe_end(interpreter.get_input_details()[0]), "output": next(iter(named.values()))}
    return described | ({"outputs": named} if len(named) > 1 else {})


def _describe_end(detail: dict) -> dict:
    scale, zero_point = detail["quantization"]
    return {
        "dtype": detail["dtype"].__name__,
        "shape": [int(n) for n in detail["shape"]],
        "scale": float(scale),
        "zero_point": int(zero_point),
    }


class TFLiteNetwork:
    """A TFLite file as a function from float images, RGB in [0, 255], to its float outputs.

    A normalization that the file's metadata asks for is computed, and quantized inputs and outputs are
    converted; runs through XNNPACK. Every core has an interpreter of its own and takes an image at a time, which is
    faster than many cores on one image. `output` is logits or probabilities, as its last operator
    says; `metadata` is what the file says of itself. A detector's class logits and box regression are packed: joined on
    the last axis, in this order.
    """

    def __init__(self, path: Path, workers: int = os.cpu_count() or 1):
        from mnext_tf.tflite.operators import last_operator, open_interpreter, operators, output_kind

        self._interpreters = queue.SimpleQueue()
        for _ in range(workers):
            interpreter = open_interpreter(path)
            self._interpreters.put(interpreter)
        self._pool = ThreadPoolExecutor(workers)
        self.metadata = read_metadata(path)
        about = self.metadata or Metadata()
        self._normalize = None if about.feeds_pixels else about.normalize
        self._input = _image_input(path, interpreter, about)
        self.outputs, self.num_classes = self._find_outputs(path, interpreter)
        ops = operators(interpreter)
        self.output = output_kind(ops)
        if last_operator(ops) == "LOGISTIC" and not about.detector:
            _log.warning(
                f"{path} ends in a sigmoid, as networks do that give an image several labels: its scores are shown as "
                "they are and do not add up to 1; accuracy counts the largest alone."
            )
        self.input_size = int(self._input["shape"][1])

    def __call__(self, images) -> np.ndarray:
        return np.stack(list(self._pool.map(self._one, np.asarray(images))))

    def close(self) -> None:
        """Release the threads and the interpreters."""
        self._pool.shutdown()
        self._interpreters = queue.SimpleQueue()

    def _one(self, image: np.ndarray) -> np.ndarray:
        interpreter = self._interpreters.get()
        try:
            values = self._normalize(image) if self._normalize else image
            interpreter.set_tensor(self._input["index"], quantize_array(values, self._input)[None])
            interpreter.invoke()
            return self._joined([dequantize_array(interpreter.get_tensor(o["index"])[0], o) for o in self.outputs])
        finally:
            self._interpreters.put(interpreter)

    def _find_outputs(self, path: Path, interpreter) -> tuple[list[dict], int]:
        """(the outputs that a call returns, how many classes). Raises ExportError for a file of another kind."""
        outputs = interpreter.get_output_details()
        if len(outputs) == 1 and len(outputs[0]["shape"]) == 2:
            return outputs, int(outputs[0]["shape"][-1])
        if len(outputs) == 2:
            named = named_outputs(interpreter)
            logits, boxes = (outputs[i] for i in order_outputs([(name, end["shape"]) for name, end in named], path))
            return [logits, boxes], int(logits["shape"][-1]) - 1
        raise ExportError(
            f"{path} has outputs of shape {_shapes(outputs)}; a classifier of ours gives (1, classes), a detector "
            "class logits and a box regression."
        )

    def _joined(self, outputs: list[np.ndarray]):
        """What a call returns of an image, from `_outputs` of it."""
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)


def named_outputs(interpreter) -> list[tuple[str, dict]]:
    """(name, details) of a file's outputs in their order; the names are the signature's where it has one."""
    signatures = [*interpreter._get_full_signature_list().values()]
    names = {index: name for name, index in signatures[0]["outputs"].items()} if signatures else {}
    return [(names.get(end["index"], end["name"]), end) for end in interpreter.get_output_details()]


def _image_input(path: Path, interpreter, about: Metadata) -> dict:
    """The input of a network of pixels. Raises ExportError for a file of another kind."""
    inputs = interpreter.get_input_details()
    shape = tuple(map(int, inputs[0]["shape"]))
    if len(inputs) != 1 or len(shape) != 4 or shape != (1, shape[1], shape[1], 3):
        raise ExportError(
            f"{path} has inputs of shape {_shapes(inputs)}; a network of ours takes one image (1, size, size, 3)."
        )
    dtype, (scale, zero_point) = inputs[0]["dtype"], inputs[0]["quantization"]
    if np.issubdtype(dtype, np.integer) and scale:
        low, high = ((limit - zero_point) * scale for limit in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        black, white = (np.ravel(about.normalize(np.full(3, float(pixel)))) for pixel in (0, 255))
        if max(abs(black - low).max(), abs(white - high).max()) > 0.03 * (high - low):
            raise ExportError(
                f"{path} takes values from {low:.3g} to {high:.3g}, not pixels from {black.min():.3g} to "
                f"{white.max():.3g}: it wants another normalization than its metadata says, and would be fed wrongly."
            )
    return inputs[0]


def _shapes(ends: list[dict]) -> str:
    return ", ".join(str(tuple(map(int, end["shape"]))) for end in ends)


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
