"""Rounded weights of one layer by least squares.

Weights (groups, n, outputs) take n inputs to each output; a convolution of one group has all of its inputs there, a
depthwise one nine inputs and one output in each of its channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

RIDGES = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0)  # over the mean variance of the inputs
DAMPINGS = (0.01, 0.1, 1.0)  # likewise
_BLOCK = 64


@dataclass
class Moments:
    """Sums over positions of inputs x (groups, n) and wanted outputs y (groups, outputs), and of their products."""

    count: float
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray  # of each output with itself

    def __add__(self, other: Moments) -> Moments:
        return Moments(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))

    @classmethod
    def of(cls, batches: Iterable) -> Moments:
        """Of tensors x (positions, groups, n) and y (positions, groups, outputs)."""
        import tensorflow as tf

        total = None
        for x, y in batches:
            count = x.shape[0]
            x, y = tf.transpose(x, (1, 0, 2)), tf.transpose(y, (1, 0, 2))
            mean_x, mean_y = tf.reduce_mean(x, 1), tf.reduce_mean(y, 1)
            x, y = x - mean_x[:, None], y - mean_y[:, None]  # else the sums would lose a small variance
            sums = (
                tf.reduce_sum(x, 1), tf.reduce_sum(y, 1), tf.matmul(x, x, transpose_a=True),
                tf.matmul(x, y, transpose_a=True), tf.reduce_sum(y * y, 1), mean_x, mean_y,
            )  # fmt: skip
            *found, mean_x, mean_y = (s.numpy().astype(np.float64) for s in sums)
            found = cls(count, *found).moved(mean_x, mean_y)
            total = found if total is None else total + found
        return total

    def moved(self, by_x: np.ndarray, by_y: np.ndarray) -> Moments:
        """Of x + by_x and y + by_y."""
        n, x, y = self.count, self.x + self.count * by_x, self.y + self.count * by_y
        outer = lambda a, b: a[:, :, None] * b[:, None]
        return Moments(
            n, x, y,
            self.xx + outer(x, by_x) + outer(by_x, x) - n * outer(by_x, by_x),
            self.xy + outer(x, by_y) + outer(by_x, y) - n * outer(by_x, by_y),
            self.yy + 2 * y * by_y - n * by_y**2,
        )  # fmt: skip

    def centered(self) -> Moments:
        """Means of x and y, and their covariances."""
        x, y = self.x / self.count, self.y / self.count
        return Moments(
            1.0, x, y,
            self.xx / self.count - x[:, :, None] * x[:, None],
            self.xy / self.count - x[:, :, None] * y[:, None],
            self.yy / self.count - y * y,
        )  # fmt: skip


@dataclass(frozen=True)
class Rounded:
    weights: np.ndarray  # in whole steps
    steps: np.ndarray  # (groups, outputs)
    bias: np.ndarray  # (groups, outputs)
    ridge: float
    damping: float
    error: float  # on the images kept back, over the variance of the wanted outputs


def fit(w: np.ndarray, fitted: Moments, kept_back: Moments) -> Rounded:
    """Weights and bias, rounded, from inputs that rounding has changed to the outputs that are wanted.

    The weights may leave the float ones `w` as far as the images that are kept back bear out: `ridge` and `damping` are
    those with the least error there, and are then used on all images.
    """
    w, m = w.astype(np.float64), fitted.centered()
    ridge = min(RIDGES, key=lambda r: _error(*_solution(w, m, r), kept_back))
    whole = _solution(w, m, ridge)[0]
    damping = min(DAMPINGS, key=lambda d: _error(*_rounded(whole, m, d)[::2], kept_back))
    checked = _rounded(whole, m, damping)
    error = _error(*checked[::2], kept_back) / max(float(kept_back.centered().yy.sum()), 1e-30)
    m = (fitted + kept_back).centered()
    return Rounded(*_rounded(_solution(w, m, ridge)[0], m, damping), ridge, damping, error)


def _solution(w: np.ndarray, m: Moments, ridge: float):
    """(weights near `w` that fit `m`, bias)."""
    found = w + np.linalg.solve(m.xx + _diagonal(m, ridge), m.xy - m.xx @ w)
    return found, _bias(found, m)


def _rounded(w: np.ndarray, m: Moments, damping: float):
    """(weights in whole steps, steps, bias)."""
    largest = np.abs(w).max(1)
    largest = np.maximum(largest, 1e-4 * largest.max() + 1e-12)  # of a dead channel: its bias counts in these steps
    steps = (largest / 127).astype(np.float32).astype(np.float64)
    found = round_in_turn(w, steps, m.xx + _diagonal(m, damping))
    return found, steps, _bias(found, m)


def _bias(w: np.ndarray, m: Moments) -> np.ndarray:
    return m.y - np.einsum("gi,gio->go", m.x, w)


def _diagonal(m: Moments, share: float) -> np.ndarray:
    variances = np.einsum("gii->gi", m.xx)
    floor = 1e-6 * variances.mean(1) + 1e-12  # sums of float32 are no more exact
    return (share * variances.mean(1) + floor)[:, None, None] * np.eye(m.xx.shape[1])


def _error(w: np.ndarray, bias: np.ndarray, raw: Moments) -> float:
    """Squared error of the outputs at a position, on average."""
    m = raw.centered()
    shift = np.einsum("gi,gio->go", m.x, w) + bias - m.y
    spread = m.yy - 2 * np.einsum("gio,gio->go", w, m.xy) + np.einsum("gio,gio->go", w, m.xx @ w)
    return float((shift**2 + spread).sum())


def round_in_turn(w: np.ndarray, steps: np.ndarray, products: np.ndarray) -> np.ndarray:
    """`w` in whole steps, at most 127 either way: input after input, each error made up for by the inputs left.

    Frantar et al., GPTQ, arXiv 2210.17323. `products` (groups, n, n) is the inputs' covariance, positive definite.
    """
    order = np.argsort(-np.einsum("gii->gi", products), axis=1)  # what matters most is rounded first
    left = np.take_along_axis(w, order[:, :, None], 1)
    products = np.take_along_axis(np.take_along_axis(products, order[:, :, None], 1), order[:, None], 2)
    upper = np.swapaxes(np.linalg.cholesky(np.linalg.inv(products)), 1, 2)
    found, n = np.empty_like(left), left.shape[1]
    for start in range(0, n, _BLOCK):
        end = min(start + _BLOCK, n)
        errors = np.empty((len(left), end - start, left.shape[2]))
        for i in range(start, end):
            found[:, i] = np.clip(np.rint(left[:, i] / steps), -127, 127) * steps
            errors[:, i - start] = (left[:, i] - found[:, i]) / upper[:, i, i, None]
            left[:, i + 1 : end] -= upper[:, i, i + 1 : end, None] * errors[:, i - start, None]
        left[:, end:] -= np.swapaxes(upper[:, start:end, end:], 1, 2) @ errors
    result = np.empty_like(found)
    np.put_along_axis(result, order[:, :, None], found, 1)
    return result
