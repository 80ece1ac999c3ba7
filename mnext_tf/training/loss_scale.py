"""Scaling of the loss, without which small gradients vanish in float16 (arXiv 1710.03740)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

_INITIAL, _GROWTH_STEPS = 2.0**15, 2000


class LossScale:
    """Halved, and the step skipped, where a gradient is not finite; doubled after 2000 steps without one."""

    def __init__(self):
        self.scale = tf.Variable(_INITIAL, trainable=False, name="scale")
        self.good_steps = tf.Variable(0, trainable=False, name="good_steps")
        self.variables = [self.scale, self.good_steps]

    def __call__(self, loss):
        return loss * self.scale

    def unscaled(self, gradients: Sequence) -> list:
        return [g / self.scale for g in gradients]

    def update(self, gradients: Sequence, apply: Callable[[], None], variables: Sequence) -> None:
        """`apply()`, which updates `variables`; they stay as they were unless all gradients are finite.

        Several devices cannot decide whether to apply: optimizers meet there, which TensorFlow has not in a branch.
        """
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(g)) for g in gradients])
        before = [tf.identity(v) for v in variables]
        apply()
        for variable, old in zip(variables, before, strict=True):
            variable.assign(tf.where(finite, tf.convert_to_tensor(variable), old))
        grow = finite & (self.good_steps + 1 >= _GROWTH_STEPS)
        smaller = tf.maximum(1.0, self.scale / 2)
        self.scale.assign(tf.where(finite, tf.where(grow, self.scale * 2, self.scale), smaller))
        self.good_steps.assign(tf.where(finite & ~grow, self.good_steps + 1, 0))
