"""The weights, biases, and ranges of an int8 network, one layer after another, on unlabeled images.

Every layer of the twin gets the inputs that the rounding before it left, and is fitted to the outputs of the float
network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from mnext_tf.compression import twin_layers
from mnext_tf.compression.least_squares import Moments, fit
from mnext_tf.compression.twin import layers_with_inputs

_POSITIONS = 200_000  # that a layer is fitted on, at most
_BATCH = 20
_KEPT_BACK = 5  # one batch in this many chooses how freely a layer is fitted


def reconstruct(
    twin,
    images: np.ndarray,
    *,
    shares: Mapping[str, tuple[float, float]] | None = None,
    seed: int = 0,
    progress: Callable = lambda layers: layers,
) -> list[dict]:
    """Fit all layers of `twin`, which has float weights, in place; rows of layer, ridge, damping, and error.

    images: float32 (n, size, size, 3). Inputs and outputs of one layer are in memory at once. shares: see
    `choose_shares`. progress: wraps the list of layers.
    """
    walk = list(layers_with_inputs(twin))
    uses = {layer.name: 0 for layer, _ in walk}
    for _, inputs in walk:
        for name in inputs:
            uses[name] += 1
    rng, rows = np.random.default_rng(seed), []
    count = max(_KEPT_BACK, -(-len(images) // _BATCH))
    batches = [tf.constant(part) for part in np.array_split(images, min(count, len(images)))]
    exact, rounded = {walk[0][0].name: batches}, {walk[0][0].name: batches}
    for layer, inputs in progress(walk[1:]):
        for name in inputs:
            uses[name] -= 1
        used_up = [name for name in set(inputs) if not uses[name]]
        exact[layer.name] = list(_outputs(layer, [exact[name] for name in inputs], quantized=False))
        for name in used_up:
            del exact[name]
        xs = [rounded[name] for name in inputs]
        if isinstance(layer, twin_layers.Kernel):
            rows.append(_fit_kernel(layer, xs[0], exact[layer.name], rng))
        _fit_range(layer, xs, (shares or {}).get(layer.name, (1.0, 1.0)))
        rounded[layer.name] = list(_outputs(layer, xs, quantized=True))
        for name in used_up:
            del rounded[name]
    return rows


def _outputs(layer, inputs: list[list], quantized: bool) -> Iterator:
    """Of one batch after the other."""
    layer.quantized = quantized
    for x in zip(*inputs, strict=True):
        yield layer(x[0] if len(x) == 1 else list(x), training=False)
    layer.quantized = True


def _fit_kernel(layer, inputs: list, wanted: list, rng: np.random.Generator) -> dict:
    positions = sum(int(np.prod(y.shape[:-1])) for y in wanted)
    share = min(1.0, _POSITIONS / positions)

    def pairs(which):
        for x, y in which:
            if share == 1:
                yield layer.as_matrices(x), layer.outputs_as_matrices(y)
                continue
            each = int(np.prod(y.shape[1:-1]))
            chosen = np.sort(rng.choice(len(y) * each, max(1, int(len(y) * each * share)), replace=False))
            parts = []
            for i in range(len(y)):  # all positions of a depthwise layer's batch are gigabytes
                kept = chosen[chosen // each == i] - i * each
                matrices = layer.as_matrices(x[i : i + 1]), layer.outputs_as_matrices(y[i : i + 1])
                parts.append([tf.gather(matrix, kept) for matrix in matrices])
            yield tuple(tf.concat(column, 0) for column in zip(*parts, strict=True))

    both = list(zip(inputs, wanted, strict=True))
    kept_back = both[::_KEPT_BACK] if len(both) > 1 else both
    fitted = [pair for i, pair in enumerate(both) if i % _KEPT_BACK] or both
    found = fit(layer.matrices(), Moments.of(pairs(fitted)), Moments.of(pairs(kept_back)))
    layer.assign_matrices(found.weights, found.steps, found.bias)
    return {"layer": layer.name, "ridge": found.ridge, "damping": found.damping, "error": found.error}


def _fit_range(layer, inputs: list[list], shares: tuple[float, float]) -> None:
    """From a share of the least output to one of the largest. Several ranges of a layer are left as they are."""
    if len(getattr(layer, "low", ())) != 1 or 0 in layer.fixed:
        return
    values = _outputs(layer, inputs, quantized=False)  # with a kernel that is rounded already
    reach = np.array([(float(tf.reduce_min(y)), float(tf.reduce_max(y))) for y in values])
    low, high = shares[0] * reach[:, 0].min(), shares[1] * reach[:, 1].max()
    layer.low[0].assign(min(low, 0.0))
    layer.high[0].assign(max(high, 1e-6, low + 1e-6))
