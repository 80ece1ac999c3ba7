"""The layer classes of `tf.keras.layers`, some replaced or added; all work on both Keras 3 and legacy Keras."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

layers = tf.keras.layers
Model = tf.keras.Model


def __getattr__(name: str):
    return getattr(layers, name)


class BatchNormalization(layers.BatchNormalization):
    """Keras's layer, trained with TensorFlow's fused operator; Keras 3 composes it of many small ones.

    A training step of MobileNetV2 at 128 pixels takes half the time with it on a CPU. As in PyTorch, the moving
    variance follows the unbiased batch variance.
    """

    def call(self, x, training=False, mask=None):
        if not (training and self.trainable):  # a frozen layer keeps its statistics, too
            return super().call(x, training=False)
        y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            x,
            tf.convert_to_tensor(self.gamma),
            tf.convert_to_tensor(self.beta),
            epsilon=self.epsilon,
            is_training=True,
        )
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * tf.convert_to_tensor(moving) + (1 - self.momentum) * batch)
        return y


class GroupedConv2D(layers.Conv2D):
    """A 1x1 convolution over separate `groups` of channels; kernel (1, 1, inputs / groups, outputs).

    TensorFlow lacks its gradient on some CPUs, so Keras compiles it with XLA: seven times slower to train than the
    separate convolutions here, and a function call that remains in frozen graphs.
    """

    def call(self, x, training=None):
        kernel = tf.convert_to_tensor(self.kernel)
        if not training:
            return tf.nn.conv2d(x, kernel, 1, "SAME")
        parts = zip(tf.split(x, self.groups, axis=-1), tf.split(kernel, self.groups, axis=-1), strict=True)
        return tf.concat([tf.nn.conv2d(part, weights, 1, "SAME") for part, weights in parts], axis=-1)


class _SameShape(layers.Layer):
    def compute_output_shape(self, input_shape):
        return input_shape


class PixelNormalization(_SameShape):
    """(image - mean) / std, per RGB channel, as one multiplication and one addition.

    The constants are repeated over a row of pixels, because XNNPACK is slow at broadcasting three innermost values:
    normalization took 8 % of a whole MobileNetV2 with one constant per channel, and takes under 1 % like this.
    """

    def __init__(self, mean, std, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.std = tuple(mean), tuple(std)

    def call(self, image):
        scale = np.tile(1 / np.array(self.std), (image.shape[2], 1))
        offset = np.tile(-np.array(self.mean) / np.array(self.std), (image.shape[2], 1))
        return image * tf.constant(scale, image.dtype) + tf.constant(offset, image.dtype)

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std}


class ChannelMask(_SameShape):
    """Keeps the first `kept` channels and sets the others to zero."""

    def __init__(self, kept: int, **kwargs):
        super().__init__(**kwargs)
        self.kept = kept

    def call(self, x):
        return x * tf.constant((np.arange(x.shape[-1]) < self.kept).astype(float), x.dtype)

    def get_config(self):
        return {**super().get_config(), "kept": self.kept}
