"""Channels of linear tensors scaled to one range, and back in the layers that take them (Nagel et al., 1906.04721).

Between layers without activation in between this changes no output, and an int8 tensor has one step for all of its
channels: those with small values gain most.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from mnext_tf.compression import twin_layers
from mnext_tf.compression.twin import kernels, layers_with_inputs, unrounded

_MOST = 64.0  # factor of a channel

_PASSES = (
    twin_layers.BatchNormalization, twin_layers.Add, twin_layers.GlobalAveragePooling2D,
    tf.keras.layers.Dropout, tf.keras.layers.ZeroPadding2D,
)  # fmt: skip


def linear_groups(layers) -> list[tuple[list, list, list]]:
    """(layers that make, layers that take, names of all that give) tensors whose channels can be scaled together.

    layers: (layer, names of its inputs), in order of computation.
    """
    parent: dict[str, str] = {}

    def find(name):
        while parent[name] != name:
            name = parent[name]
        return name

    for layer, inputs in layers:
        parent[layer.name] = layer.name
        if isinstance(layer, _PASSES):
            for name in inputs:
                parent[find(name)] = find(layer.name)
    groups: dict[str, tuple[list, list, list]] = {}
    entry = lambda name: groups.setdefault(find(name), ([], [], []))
    for layer, inputs in layers:
        if isinstance(layer, _PASSES):
            entry(layer.name)
            continue
        made, _, other = entry(layer.name)
        (made if isinstance(layer, twin_layers.Kernel) else other).append(layer)
        for name in inputs:
            (entry(name)[1] if _takes(layer) else entry(name)[2]).append(layer)
    members = lambda root: [name for name in parent if find(name) == root]
    return [
        (made, taken, members(root)) for root, (made, taken, other) in groups.items() if made and taken and not other
    ]


def _takes(layer) -> bool:
    return isinstance(layer, twin_layers.Kernel) and getattr(layer, "groups", 1) == 1


def equalize(twin, largest: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scale the channels of every linear tensor; the factors, by layer.

    They are the root of what would make the channels equal, because the steps of the kernels that take them grow as
    those of the tensors shrink. `largest`: see `largest_outputs`.
    """
    factors = {}
    for made, taken, members in linear_groups(list(layers_with_inputs(twin))):
        reach = np.max([largest[layer.name] for layer in made], axis=0)
        factor = np.minimum(np.sqrt(reach.max() / np.maximum(reach, 1e-9)), _MOST).astype(np.float32)
        for layer in made:
            layer.scale_outputs(factor)
        for layer in taken:
            layer.scale_inputs(1 / factor)
        factors |= dict.fromkeys(members, factor)
    return factors


def scale_channels(twin, factors: Mapping[str, np.ndarray]) -> None:
    """Scale the channels of a twin by `factors` that `equalize` returned for another of the same network."""
    for layer, inputs in layers_with_inputs(twin):
        if not isinstance(layer, twin_layers.Kernel):
            continue
        if layer.name in factors:
            layer.scale_outputs(factors[layer.name])
        if inputs[0] in factors:
            layer.scale_inputs(1 / factors[inputs[0]])


def largest_outputs(twin, images: np.ndarray, batch: int = 16) -> dict[str, np.ndarray]:
    """The largest absolute value of each output channel of the layers with a kernel, computed without rounding."""
    names = [layer.name for layer in kernels(twin)]
    model = tf.keras.Model(twin.input, [twin.get_layer(name).output for name in names])
    largest: dict[str, np.ndarray] = {}
    with unrounded(twin):
        for i in range(0, len(images), batch):
            for name, y in zip(names, model(images[i : i + batch], training=False), strict=True):
                found = np.abs(y.numpy()).reshape(-1, y.shape[-1]).max(0)
                largest[name] = np.maximum(largest.get(name, found), found)
    return largest
