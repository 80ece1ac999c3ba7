"""What the networks are made of. Only layers that Keras 3 and legacy Keras both have.

Every convolution `X` is followed by `X_bn`, then `X_relu6` or `X_swish` where it has an activation;
those of squeeze-excite have a bias instead of a batch norm. Importers, the checker of exported graphs
and profiles rely on these names.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from mnext_tf.models.conventions import Convention

layers = tf.keras.layers


def make_divisible(value: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `value`, at least `divisor`, and not below 0.9 `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class Layers:
    """Builds convolutions of one network: remembers its convention, so that calls stay short.

    `activation` is "relu6", "swish" or None.
    """

    def __init__(self, convention: Convention):
        self.convention = convention

    def conv(self, x, channels: int, kernel: int, name: str, *, stride=1, groups=1, padding=None, activation):
        """`padding` replaces the convention's; `groups` is for 1 x 1 convolutions."""
        x, padding = self._padded(x, kernel, stride, padding or self.convention.padding, name)
        kind, grouping = (layers.Conv2D, {}) if groups == 1 else (GroupedConv2D, {"groups": groups})
        x = kind(
            channels,
            kernel,
            stride,
            padding=padding,
            use_bias=False,
            kernel_initializer=fan_out_normal(kernel * kernel * channels // groups),
            name=name,
            **grouping,
        )(x)
        return self._finish(x, name, activation)

    def depthwise(self, x, name: str, *, kernel=3, stride=1, activation):
        x, padding = self._padded(x, kernel, stride, self.convention.padding, name)
        x = layers.DepthwiseConv2D(
            kernel,
            stride,
            padding=padding,
            use_bias=False,
            depthwise_initializer=fan_out_normal(kernel * kernel),
            name=name,
        )(x)
        return self._finish(x, name, activation)

    def _padded(self, x, kernel: int, stride: int, padding: str, name: str):
        """The input, padded where Keras' own padding differs, and the padding left to the convolution."""
        if stride == 1 or kernel == 1 or padding == "same":
            return x, "same"
        if padding == "symmetric":
            amount = kernel // 2
        elif x.shape[1] % 2:
            amount = (((kernel - 2) // 2, (kernel - 1) // 2),) * 2
        else:
            return x, "same"
        return layers.ZeroPadding2D(amount, name=f"{name}_pad")(x), "valid"

    def _finish(self, x, name: str, activation: str | None):
        c = self.convention
        x = BatchNormalization(momentum=c.bn_momentum, epsilon=c.bn_epsilon, name=f"{name}_bn")(x)
        if activation == "relu6":
            return layers.ReLU(6.0, name=f"{name}_relu6")(x)
        return layers.Activation(activation, name=f"{name}_{activation}")(x) if activation else x


class BatchNormalization(layers.BatchNormalization):
    """Keras' layer, with TensorFlow's fused operator for training: Keras 3 composes it of many small ones.

    A whole training step of MobileNetV2 at 128 pixels takes half the time with it, on a CPU. The moving
    variance follows the unbiased variance of the batch, as in PyTorch.
    """

    def call(self, x, training=False, mask=None):
        if not (training and self.trainable):  # frozen: as it is, its statistics too
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
    """A 1 x 1 convolution whose `groups` of channels do not mix; kernel (1, 1, inputs / groups, outputs).

    TensorFlow has no gradient of it on every CPU, so Keras compiles it with XLA: seven times slower to
    train than the two convolutions here, and a function call that stays in frozen graphs.
    """

    def call(self, x, training=None):
        kernel = tf.convert_to_tensor(self.kernel)
        if not training:
            return tf.nn.conv2d(x, kernel, 1, "SAME")
        parts = zip(tf.split(x, self.groups, axis=-1), tf.split(kernel, self.groups, axis=-1), strict=True)
        return tf.concat([tf.nn.conv2d(part, weights, 1, "SAME") for part, weights in parts], axis=-1)


def squeeze_excite(x, squeezed: int, name: str):
    """Scale each channel by a number in 0..1 made of the means of all channels; `squeezed` channels in between."""
    channels = x.shape[-1]
    s = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_pool")(x)
    s = layers.Conv2D(squeezed, 1, kernel_initializer=fan_out_normal(squeezed), name=f"{name}_se_reduce")(s)
    s = layers.Activation("swish", name=f"{name}_se_reduce_swish")(s)
    s = layers.Conv2D(channels, 1, kernel_initializer=fan_out_normal(channels), name=f"{name}_se_expand")(s)
    s = layers.Activation("sigmoid", name=f"{name}_se_expand_sigmoid")(s)
    return layers.Multiply(name=f"{name}_se_scale")([x, s])


def fan_out_normal(fan_out: int):
    """He initialisation by the number of outputs, as the published PyTorch networks use it."""
    return tf.keras.initializers.RandomNormal(stddev=(2.0 / fan_out) ** 0.5)


def image_input(input_size: int, convention: Convention, include_preprocessing: bool):
    """The input "image" and what the first convolution sees: normalised inside, or as it is."""
    image = tf.keras.Input((input_size, input_size, 3), name="image")
    if not include_preprocessing:
        return image, image
    return image, PixelNormalization(convention.mean, convention.std, name="normalize")(image)


class PixelNormalization(layers.Layer):
    """(image - mean) / std, per RGB channel, as one multiplication and one addition.

    The constants are spread over a row of pixels. XNNPACK broadcasts three innermost values slowly:
    with one constant a channel the normalisation took 8 % of a whole MobileNetV2, like this under 1 %.
    """

    def __init__(self, mean, std, **kwargs):
        super().__init__(**kwargs)
        self.mean, self.std = tuple(mean), tuple(std)

    def call(self, image):
        scale = np.tile(1 / np.array(self.std), (image.shape[2], 1))
        offset = np.tile(-np.array(self.mean) / np.array(self.std), (image.shape[2], 1))
        return image * tf.constant(scale, image.dtype) + tf.constant(offset, image.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mean": self.mean, "std": self.std}


class ChannelMask(layers.Layer):
    """Keeps the first `kept` channels and sets the others to zero."""

    def __init__(self, kept: int, **kwargs):
        super().__init__(**kwargs)
        self.kept = kept

    def call(self, x):
        return x * tf.constant((np.arange(x.shape[-1]) < self.kept).astype(float), x.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "kept": self.kept}


def classifier(x, num_classes: int, dropout: float):
    """Global average pooling, dropout and a dense layer that gives logits."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(num_classes, kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.01), name="logits")(
        x
    )


def build_model(image, logits, name: str):
    return tf.keras.Model(image, logits, name=name)
