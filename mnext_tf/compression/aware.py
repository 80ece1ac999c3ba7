"""Quantization-aware training: what is trained is the twin of an int8 file, from a trained network of the same classes.

Batch norms are folded from the start, so the steps of the weights are those of the file. A finished run has the usual
weights, in whole steps, which every other stage reads as before; the ranges lie with them in the same file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.compression.effects import observe_ranges
from mnext_tf.compression.twin import assign_weights, folded, kernels, layers_with_inputs, make_twin, quantized_layers
from mnext_tf.compression.twin_layers import (
    Activation,
    BatchNormalization,
    Kernel,
    PixelNormalization,
    Quantized,
    ReLU,
    TwinLayers,
)
from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.models import save_weights
from mnext_tf.models.config import ModelConfig

CALIBRATION_IMAGES = 200
_SIGMOID = (0.0, 255 / 256)  # the range that TFLite prescribes
_GROUP = "quantization"  # in the file of the weights


def aware_network(config: ModelConfig):
    """A twin to train; `start` gives it weights and ranges. ConfigError for a network that no twin is known of."""
    if config.identity_tensor_multiplier != 1:
        raise ConfigError(
            "Quantization-aware training does not know networks of an identity_tensor_multiplier other than 1. "
            "Use export_tflite --quantize=int8."
        )
    count = rounded_outputs(config._build(TwinLayers({})))
    twin = config._build(TwinLayers({name: [(0.0, 1.0)] * n for name, n in count.items()}))
    for layer in kernels(twin):
        layer.follow = True
    return twin


def rounded_outputs(twin) -> dict[str, int]:
    """How many operators of each layer round their outputs in an int8 file. Those that TFLite fuses round once."""
    takers = defaultdict(list)
    for layer, inputs in layers_with_inputs(twin):
        for name in inputs:
            takers[name].append(layer)
    count = {}
    for layer in twin.layers:
        fuses = isinstance(layer, Kernel | BatchNormalization)
        if not isinstance(layer, Quantized) or (fuses and _fused(takers[layer.name])):
            continue
        swish = isinstance(layer, Activation) and layer.activation != "sigmoid"
        count[layer.name] = 2 if swish or isinstance(layer, PixelNormalization) else 1
    return count


def _fused(takers: Sequence) -> bool:
    return len(takers) == 1 and isinstance(takers[0], BatchNormalization | ReLU)


def start(twin, network, images: Sequence[np.ndarray]) -> None:
    """Give a twin the weights of `network`, and the ranges of its outputs on `images`."""
    assign_weights(twin, {layer.name: folded(network, layer.name) for layer in kernels(twin)})
    for layer in quantized_layers(twin):
        prescribed = _of_pixels(layer) if isinstance(layer, PixelNormalization) else (_SIGMOID,)
        for which in layer.fixed:
            layer.low[which].assign(prescribed[which][0])
            layer.high[which].assign(prescribed[which][1])
    observe_ranges(twin, images)


def _of_pixels(layer: PixelNormalization) -> tuple[tuple[float, float], ...]:
    """What the two operators of the normalization give for 0 and 255, over all channels."""
    mean, std = layer.mean, layer.std
    return (0.0, float((255 / std).max())), (float((-mean / std).min()), float(((255 - mean) / std).max()))


def save(twin, network, path: Path) -> None:
    """Write the weights of `twin`, as those of the plain `network`, with the ranges."""
    import h5py

    names = {layer.name for layer in network.layers}
    for layer in kernels(twin):
        kernel, bias = layer.rounded_kernel().numpy(), layer.bias.numpy()
        if f"{layer.name}_bn" not in names:
            network.get_layer(layer.name).set_weights([kernel, bias])
            continue
        network.get_layer(layer.name).set_weights([kernel])
        norm, ones = network.get_layer(f"{layer.name}_bn"), np.ones_like(bias)
        norm.set_weights([ones, bias, 0 * ones, (1 - norm.epsilon) * ones])
    save_weights(network, path)
    with h5py.File(path, "a") as file:
        for layer in quantized_layers(twin):
            group = file.create_group(f"{_GROUP}/{layer.name}")
            group["ranges"] = np.array(list(zip(layer.low, layer.high, strict=True)), np.float32).reshape(-1, 2)
            if isinstance(layer, Kernel):
                group["scale"] = layer.largest().numpy()


def load_twin(network, path: Path):
    """The twin that `save` wrote to `path`, of the plain network that was loaded from there."""
    import h5py

    try:
        with h5py.File(path) as file:
            stored = {name: {key: value[()] for key, value in group.items()} for name, group in file[_GROUP].items()}
        twin = make_twin(network, {name: [tuple(map(float, r)) for r in s["ranges"]] for name, s in stored.items()})
        for layer in kernels(twin):
            layer.scale.assign(stored[layer.name]["scale"])
    except (OSError, KeyError, ValueError) as e:
        raise CheckpointError(f"{path} holds no ranges of a quantization-aware training: {e}") from e
    return twin
