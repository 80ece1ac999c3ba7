"""What each layer of an int8 file loses: by itself, and of the logits."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from mnext_tf.compression.effects import Effects
from mnext_tf.compression.equalize import scale_channels
from mnext_tf.compression.int8_file import Int8File
from mnext_tf.compression.twin import kernels, make_twin, unrounded
from mnext_tf.errors import ConfigError
from mnext_tf.evaluation.equivalence import channel_factors
from mnext_tf.inference.tflite import dequantize_array, quantize_array
from mnext_tf.tflite.operators import open_interpreter, operators

_BATCH = 8  # images whose outputs of all layers are in memory at once: 0.25 GB of a MobileNetV2 at 224 pixels


@dataclass(frozen=True)
class LayerAccount:
    """An operator of the file that rounds its output, with its kernel if it has one, and what that costs.

    layer: its name; the file fuses batch norm and ReLU6 into the convolution and names all after the last. Where a
      layer is several operators (normalization, swish), the last of them counts.
    operator: its kind, as TFLite calls it.
    sqnr_db: of the layer's output in the file, where all before it round, too: the square of the float network's
      output over that of the difference, in dB, over all images.
    range_low, range_high: the least and the largest output that the file can hold.
    lowest, highest: output of the float network on the images.
    clipped_share: of the float network's output values, those that lie outside the range by more than half a step,
      0 to 1.
    weight_low, weight_high: the least and the largest weight in the file; None without a kernel.
    noise: squared error of the logits over their square, where this layer alone has the file's weights, bias, and
      rounding of the output, and all others are float. Fitted weights (effort good and best) make up for rounding
      before them, which is absent here: this may then be more than what the layer adds in the file.
    noise_share: that over the sum of all layers', 0 to 1; errors of different layers are taken to be independent.
    sqnr_db_without: an estimate of the SQNR of the file's logits that would be left if the layer were float: of the
      noise that was measured in the file, noise_share is taken away. None where nothing would be left. Sound where all
      noises add up to about what was measured.

    Channels that a file scales (channel_factors.npz) are scaled in the float network, too, and back by the next layer.
    """

    layer: str
    operator: str
    sqnr_db: float
    range_low: float
    range_high: float
    lowest: float
    highest: float
    clipped_share: float
    weight_low: float | None
    weight_high: float | None
    noise: float
    noise_share: float
    sqnr_db_without: float | None


def account_of_layers(
    network, path: Path, images: np.ndarray, sqnr_db: float, progress: Callable = lambda items, what: items
) -> list[LayerAccount]:
    """Every layer of an int8 file that has a range, in order of computation.

    Args:
      network: the Keras network that the file was made of. images: float32 (n, size, size, 3) in [0, 255].
      sqnr_db: of the file's logits. progress: wraps what is walked through, (items, what is done).

    Takes a pass over the images for each layer. Raises ConfigError for a file with operators that no twin is known of.
    """
    if network.mnext_config.identity_tensor_multiplier != 1:
        raise ConfigError(
            "Networks of an identity_tensor_multiplier other than 1 have operators whose rounding is not known by "
            "layer. python -m pipelines.verify compares their files as a whole."
        )
    file = Int8File(path.read_bytes(), [layer.name for layer in network.layers])
    twin = make_twin(network, file.ranges())
    scale_channels(twin, channel_factors(path))
    members = _members(twin, file)
    outputs = _compare_outputs(twin, file, path, images, progress)
    noises = _noises(twin, file, members, images, progress)
    total = max(sum(noises.values()), 1e-30)
    return [
        LayerAccount(
            layer=name,
            **outputs[name].fields(),
            **_weight_range(file, members[name]),
            noise=noises[name],
            noise_share=noises[name] / total,
            sqnr_db_without=sqnr_without(sqnr_db, noises[name] / total),
        )
        for name in file.layers
    ]


def sqnr_without(sqnr_db: float, share: float) -> float | None:
    """What is left of a noise, in dB, without a share of it."""
    return None if share > 1 - 1e-9 else sqnr_db - 10 * math.log10(1 - share)


def _members(twin, file: Int8File) -> dict[str, list]:
    """Layers of the twin that a layer of the file stands for: its kernel, and what rounds the output."""
    kernel_of = {id(file.with_kernel(kernel.name)): kernel for kernel in kernels(twin)}
    found = {name: {kernel_of.get(id(entry)), twin.get_layer(name)} for name, entry in file.layers.items()}
    return {name: [layer for layer in layers if layer is not None] for name, layers in found.items()}


def _noises(twin, file: Int8File, members: dict, images: np.ndarray, progress: Callable) -> dict[str, float]:
    effects, noises = Effects(twin, images), {}
    for name in progress(list(file.layers), "one layer at a time"):
        with _kernels_of_the_file(members[name], file):
            noises[name] = effects.noise(*members[name])
    return noises


@contextlib.contextmanager
def _kernels_of_the_file(layers: list, file: Int8File) -> Iterator[None]:
    """Inside, those of `layers` with a kernel have the file's."""
    before = [(layer, layer.get_weights()) for layer in layers if hasattr(layer, "scale")]
    for layer, _ in before:
        kernel, scale, bias = file.kernel(layer.name)
        layer.kernel.assign(kernel)
        layer.scale.assign(scale)
        layer.bias.assign(bias)
    try:
        yield
    finally:
        for layer, weights in before:
            layer.set_weights(weights)


def _weight_range(file: Int8File, layers: list) -> dict[str, float | None]:
    weights = [file.kernel(layer.name)[0] for layer in layers if hasattr(layer, "scale")]
    low, high = (float(weights[0].min()), float(weights[0].max())) if weights else (None, None)
    return {"weight_low": low, "weight_high": high}


class _Output:
    """Sums over images of a layer's output, exact and as the file has it."""

    def __init__(self, operator: str, detail: dict, low: float, high: float):
        self.operator, self.detail, self.low, self.high = operator, detail, low, high
        self.signal = self.error = 0.0
        self.outside = self.values = 0
        self.lowest, self.highest = math.inf, -math.inf

    def add(self, exact: np.ndarray, stored: np.ndarray) -> None:
        difference = dequantize_array(stored, self.detail).ravel() - exact.ravel()
        self.signal += float(np.square(exact, dtype=np.float64).sum())
        self.error += float(np.square(difference, dtype=np.float64).sum())
        half = (self.high - self.low) / 255 / 2
        self.outside += int(((exact < self.low - half) | (exact > self.high + half)).sum())
        self.values += exact.size
        self.lowest, self.highest = min(self.lowest, float(exact.min())), max(self.highest, float(exact.max()))

    def fields(self) -> dict:
        return {
            "operator": self.operator,
            "sqnr_db": 10 * math.log10(max(self.signal, 1e-30) / max(self.error, 1e-30)),
            "range_low": self.low,
            "range_high": self.high,
            "lowest": self.lowest,
            "highest": self.highest,
            "clipped_share": self.outside / self.values,
        }


def _compare_outputs(twin, file: Int8File, path: Path, images: np.ndarray, progress: Callable) -> dict[str, _Output]:
    interpreter = open_interpreter(path, delegate=False, keep_all=True, threads=2)
    details = {t["index"]: t for t in interpreter.get_tensor_details()}
    kinds = {op.outputs[0]: op.kind for op in operators(interpreter)}
    at = {id(tensor): i for i, tensor in enumerate(file.graph.tensors)}
    found = {}
    for name, ranges in file.ranges().items():
        index = at[id(file.layers[name].outputs[-1])]
        found[name] = _Output(kinds[index], details[index], *ranges[-1])
    feed = interpreter.get_input_details()[0]
    exact = tf.keras.Model(twin.input, [twin.get_layer(name).output for name in found])
    for i in progress(range(0, len(images), _BATCH), "layer by layer"):
        with unrounded(twin):
            expected = [y.numpy() for y in exact(images[i : i + _BATCH], training=False)]
        for k, image in enumerate(images[i : i + _BATCH]):
            interpreter.set_tensor(feed["index"], quantize_array(image, feed)[None])
            interpreter.invoke()
            for output, y in zip(found.values(), expected, strict=True):
                output.add(y[k], interpreter.get_tensor(output.detail["index"])[0])
    return found
