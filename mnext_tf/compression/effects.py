"""What the rounding of one layer alone changes at the logits, and ranges chosen by that."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from mnext_tf.compression.twin import quantized_layers, unrounded
from mnext_tf.compression.twin_layers import Quantized, ReLU

_BATCH = 20
_SHARES = (0.85, 0.7, 0.55)  # of the least and of the largest output that a range may end at


class Effects:
    """The logits of a twin on images (n, size, size, 3), with no rounding but that of one layer at a time."""

    def __init__(self, twin, images: np.ndarray):
        self.twin = twin
        self.batches = [tf.constant(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
        with unrounded(twin):
            self.exact = self._logits()
        self.signal = float(np.square(self.exact, dtype=np.float64).sum())

    def noise(self, *layers: Quantized) -> float:
        """Squared error of the logits over their square, where `layers` alone round their weights and outputs."""
        with unrounded(self.twin):
            for layer in layers:
                layer.quantized = True
            error = self._logits() - self.exact
        return float(np.square(error, dtype=np.float64).sum()) / max(self.signal, 1e-30)

    def _logits(self) -> np.ndarray:
        return np.concatenate([self.twin(batch, training=False) for batch in self.batches])


def observe_ranges(twin, images: Sequence[np.ndarray], batch: int = _BATCH) -> None:
    """Set every range that is not fixed to the least and the largest output, computed without rounding."""
    layers = quantized_layers(twin)
    for layer in layers:
        layer.observe, layer.observed = True, {}
    with unrounded(twin):
        for i in range(0, len(images), batch):
            twin(np.stack(images[i : i + batch]), training=False)
    for layer in layers:
        layer.observe = False
        for which, (low, high) in layer.observed.items():
            if which not in layer.fixed:
                layer.low[which].assign(low)
                layer.high[which].assign(max(high, low + 1e-6))


def choose_shares(
    twin, images: np.ndarray, progress: Callable = lambda layers: layers
) -> dict[str, tuple[float, float]]:
    """(share of the least, share of the largest output) that the range of a layer had best end at, by layer.

    Cutting off the few largest values makes all steps smaller. Which of both errors counts more is measured at the
    logits; a layer's own squared error says little of it. Outputs of ReLU6 fill their range, and are left out. Takes
    two to eight passes over the images for each layer. Changes the ranges of `twin`.
    """
    observe_ranges(twin, images)
    effects, chosen = Effects(twin, images), {}
    free = [q for q in quantized_layers(twin) if len(q.low) == 1 and 0 not in q.fixed and not isinstance(q, ReLU)]
    for layer in progress(free):
        least, shares = effects.noise(layer), [1.0, 1.0]
        for side, bound in enumerate((layer.low[0], layer.high[0])):
            whole = float(bound)
            for share in _SHARES if whole else ():
                bound.assign(whole * share)
                if (found := effects.noise(layer)) >= least:
                    break
                least, shares[side] = found, share
            bound.assign(whole * shares[side])
        if shares != [1.0, 1.0]:
            chosen[layer.name] = tuple(shares)
    return chosen
