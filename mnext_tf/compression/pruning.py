"""Magnitude pruning while a network trains: most weights of its 1x1 convolutions become zero.

The sparsity rises as Zhu and Gupta (arXiv 1710.01878) have it, fast at first and slower toward its end. Every layer
gets the same: its weights of smallest magnitude are zero after each step. Which those are is found out anew as the
sparsity rises, so that a weight may come back; once it is reached, the zeros stay where they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from mnext_tf.errors import ConfigError

UPDATES = 40  # of the masks, while the sparsity rises: sorting all weights of mnext takes about a second on a CPU


def pruned_layers(model) -> list:
    """The 1x1 convolutions that train: not grouped ones, and not the dense layer at the end.

    They hold nearly all weights and multiply-adds of a MobileNet, and no other layer has sparse kernels in XNNPACK.
    """
    return [
        layer
        for layer in model.layers
        if type(layer).__name__ == "Conv2D" and tuple(layer.kernel_size) == (1, 1) and layer.trainable
    ]


def sparsity_after(steps, *, final: float, rising_steps: int):
    """The share of zeros after so many steps (a tensor or a number), 0 to `final`: final * (1 - (1 - t)**3)."""
    left = 1 - tf.minimum(1.0, tf.cast(steps, tf.float32) / rising_steps)
    return final * (1 - left**3)


class Pruning:
    """Masks of the kernels that `pruned_layers` names, in their order.

    Args:
      sparsity: the share of each kernel that is zero in the end.
      rising_steps: the number of steps over which that share rises from 0.
      average: of the weights, masked likewise; `average.of(kernels)` gives its variables.

    `masks` are variables: part of a training's state. Raises ConfigError where there is nothing to prune.
    """

    def __init__(self, model, sparsity: float, rising_steps: int, average=None):
        self.kernels = [layer.kernel for layer in pruned_layers(model)]
        if not self.kernels:
            raise ConfigError(
                f"sparsity={sparsity:g} needs 1x1 convolutions that train; {model.name} has none. Freeze fewer layers, "
                "or leave --sparsity out."
            )
        self.sparsity, self.rising_steps = sparsity, rising_steps
        self.every = -(-rising_steps // UPDATES)
        self.masks = [tf.Variable(tf.ones(k.shape, tf.bool), trainable=False, name="mask") for k in self.kernels]
        self._averages = average.of(self.kernels) if average else []

    def update(self, step) -> None:
        """After the optimizer's update number `step`, counted from 0: weights outside the masks become zero."""
        done = step + 1
        due = (done <= self.rising_steps) & ((done % self.every == 0) | (done == self.rising_steps))
        share = sparsity_after(done, final=self.sparsity, rising_steps=self.rising_steps)
        for mask, kernel in zip(self.masks, self.kernels, strict=True):
            values, old = tf.convert_to_tensor(kernel), tf.convert_to_tensor(mask)
            new = tf.cond(due, lambda v=values: largest(v, share), lambda m=old: m)
            mask.assign(new)
            kernel.assign(tf.where(new, values, 0.0))
        for mask, average in zip(self.masks, self._averages, strict=False):  # of none, there are none
            average.assign(tf.where(tf.convert_to_tensor(mask), tf.convert_to_tensor(average), 0.0))


def largest(values, sparsity):
    """A mask of `values`, False at the share `sparsity` of smallest magnitude; of equal ones, at the first."""
    size = values.shape.num_elements()
    zeros = tf.cast(tf.round(sparsity * size), tf.int32)
    order = tf.argsort(tf.reshape(tf.abs(values), [-1]), stable=True)
    kept = tf.cast(tf.range(size) >= zeros, tf.float32)  # by rank
    return tf.reshape(tf.scatter_nd(order[:, None], kept, [size]), values.shape) > 0


def zero_share(kernels: Sequence) -> float:
    """The share of zeros in all of these weights; 0 for none."""
    arrays = [tf.convert_to_tensor(k).numpy() for k in kernels]
    return sum(int((a == 0).sum()) for a in arrays) / max(1, sum(a.size for a in arrays))
