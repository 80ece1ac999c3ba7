"""An exponential moving average of a network's weights."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import tensorflow as tf


class Average:
    """The average of all weights of a network, the statistics of batch norm included.

    Without those it would be evaluated with statistics of other weights, and collapse. In the first steps it follows
    more closely than `decay` says, by min(decay, (1 + step) / (10 + step)), so that it does not remember random
    weights; TensorFlow's ExponentialMovingAverage does the same.
    """

    def __init__(self, model, decay: float):
        self.decay = decay
        self._weights = [v for v in model.variables if tf.as_dtype(v.dtype).is_floating]
        self.variables = [tf.Variable(tf.convert_to_tensor(v), trainable=False, name=v.name) for v in self._weights]

    def update(self, step) -> None:
        """After the optimizer's update number `step`, counted from 0."""
        step = tf.cast(step, tf.float32)
        keep = tf.minimum(self.decay, (1 + step) / (10 + step))
        for mean, weight in zip(self.variables, self._weights, strict=True):
            mean.assign_sub((1 - keep) * (mean - tf.convert_to_tensor(weight)))

    def of(self, variables: Sequence) -> list:
        """The averages of some of the network's weights."""
        known = {id(w): mean for w, mean in zip(self._weights, self.variables, strict=True)}
        return [known[id(v)] for v in variables]

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within, the network has the average as its weights."""
        raw = [v.numpy() for v in self._weights]
        for weight, mean in zip(self._weights, self.variables, strict=True):
            weight.assign(mean)
        try:
            yield
        finally:
            for weight, value in zip(self._weights, raw, strict=True):
                weight.assign(value)

    def restart(self) -> None:
        """Begin with the network's present weights."""
        for mean, weight in zip(self.variables, self._weights, strict=True):
            mean.assign(tf.convert_to_tensor(weight))
