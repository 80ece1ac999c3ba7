"""What TensorBoard shows of a training."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

_IMAGES = 16


class Summaries:
    """Scalars of every epoch, a sample of training images, and weights as histograms if asked."""

    def __init__(self, folder: Path, *, histograms: bool):
        self._writer = tf.summary.create_file_writer(str(folder))
        self._histograms = histograms

    def images(self, images, step: int) -> None:
        """A sample of a batch as the network gets it, (n, size, size, 3) in [0, 255]."""
        with self._writer.as_default(step=step):
            tf.summary.image("augmented", tf.clip_by_value(images[:_IMAGES] / 255, 0, 1), max_outputs=_IMAGES)

    def epoch(self, row: dict, model) -> None:
        """A row of the history, and the weights after it."""
        with self._writer.as_default(step=row["step"]):
            for name, value in row.items():
                tf.summary.scalar(name, value)
            if self._histograms:
                for variable in model.trainable_variables:
                    tf.summary.histogram(getattr(variable, "path", variable.name), tf.convert_to_tensor(variable))
            self._writer.flush()
