"""A network that computes what its int8 file does, up to a step of a quantized value."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mnext_tf.compression import twin_layers
from mnext_tf.compression.twin_layers import Range, TwinLayers
from mnext_tf.models.config import ModelConfig


def make_twin(network, ranges: Mapping[str, Sequence[Range]]):
    """The fake-quantized twin of a network that `ModelConfig.create` built, with its weights, batch norms folded.

    `ranges` are those of the outputs of each layer in an int8 file.
    """
    config: ModelConfig = network.mnext_config
    twin = config._build(TwinLayers(ranges))
    for layer in joined_layers(twin):
        layer.fixed = (0,)
    assign_weights(twin, {layer.name: folded(network, layer.name) for layer in kernels(twin)})
    return twin


def assign_weights(twin, weights: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> None:
    """Kernel and bias by layer, float, in the steps that the largest weight of each channel needs."""
    for layer in kernels(twin):
        kernel, bias = weights[layer.name]
        layer.kernel.assign(kernel)
        layer.bias.assign(bias)
        layer.scale.assign(layer.largest())


def kernels(twin) -> list:
    """Its layers with a kernel, in order of computation."""
    return [layer for layer in twin.layers if isinstance(layer, twin_layers.Kernel)]


def quantized_layers(twin) -> list:
    """Those that round, in order of computation."""
    return [layer for layer in twin.layers if isinstance(layer, twin_layers.Quantized)]


def folded(network, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Kernel and bias of a layer together with the batch norm behind it."""
    layer = network.get_layer(name)
    kernel, *bias = (w.numpy() for w in layer.weights)
    names = {other.name for other in network.layers}
    if f"{name}_bn" not in names:
        return kernel, bias[0]
    norm = network.get_layer(f"{name}_bn")
    gamma, beta, mean, variance = (w.numpy().astype(np.float64) for w in norm.weights)
    factor = gamma / np.sqrt(variance + norm.epsilon)
    shaped = factor[:, None] if "depthwise" in type(layer).__name__.lower() else factor
    own = bias[0] if bias else 0.0
    return (kernel * shaped).astype(np.float32), (beta + (own - mean) * factor).astype(np.float32)


def joined_layers(twin) -> list:
    """The layers whose outputs a detector joins: in a file these have one range in common, which is left as it is."""
    walk = {layer.name: (layer, inputs) for layer, inputs in layers_with_inputs(twin)}
    found, todo = [], [name for layer, names in walk.values() if _joins(layer) for name in names]
    while todo:
        layer, inputs = walk[todo.pop()]
        if isinstance(layer, twin_layers.Kernel):
            found.append(layer)
        elif _joins(layer) or type(layer).__name__ == "Reshape":
            todo += inputs
    return found


def _joins(layer) -> bool:
    return type(layer).__name__ == "Concatenate"


def layers_with_inputs(twin) -> Iterator[tuple]:
    """(layer, names of the layers that it takes), in order of computation; the first is the input."""
    for layer in twin.layers:
        yield layer, [t._keras_history.operation.name for t in layer._inbound_nodes[0].input_tensors]


@contextlib.contextmanager
def unrounded(twin) -> Iterator[None]:
    """Inside, the twin computes like the float network."""
    layers = quantized_layers(twin)
    for layer in layers:
        layer.quantized = False
    try:
        yield
    finally:
        for layer in layers:
            layer.quantized = True
