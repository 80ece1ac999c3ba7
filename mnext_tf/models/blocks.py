"""What the networks are made of. Only layers that Keras 3 and legacy Keras both have.

Every convolution `X` is followed by `X_bn`, then `X_relu6` where it has an activation. Importers,
the checker of exported graphs and profiles rely on these names.
"""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

layers = tf.keras.layers


@dataclass(frozen=True)
class Convention:
    """What frameworks disagree on. `mean` and `std` are per RGB channel, in units of [0, 255]."""

    same_padding: bool  # True: TensorFlow's SAME; False: PyTorch's padding 1 on every side
    bn_epsilon: float
    bn_momentum: float  # Keras's sense: the share of the old value
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CONVENTIONS = {
    "pytorch": Convention(False, 1e-5, 0.9, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "tensorflow": Convention(True, 1e-3, 0.999, (127.5,) * 3, (127.5,) * 3),
}


def make_divisible(value: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `value`, at least `divisor`, and not below 0.9 `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class Layers:
    """Builds convolutions of one network: remembers its convention, so that calls stay short."""

    def __init__(self, convention: Convention):
        self.convention = convention

    def conv(self, x, channels: int, kernel: int, name: str, *, stride: int = 1, relu6: bool):
        x = self._pad(x, kernel, stride, name)
        x = layers.Conv2D(
            channels,
            kernel,
            stride,
            padding=self._padding(stride),
            use_bias=False,
            kernel_initializer=fan_out_normal(kernel * kernel * channels),
            name=name,
        )(x)
        return self._finish(x, name, relu6)

    def depthwise(self, x, name: str, *, stride: int = 1, relu6: bool):
        x = self._pad(x, 3, stride, name)
        x = layers.DepthwiseConv2D(
            3,
            stride,
            padding=self._padding(stride),
            use_bias=False,
            depthwise_initializer=fan_out_normal(9),
            name=name,
        )(x)
        return self._finish(x, name, relu6)

    def _pad(self, x, kernel: int, stride: int, name: str):
        if self.convention.same_padding or stride == 1 or kernel == 1:
            return x
        return layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x)

    def _padding(self, stride: int) -> str:
        return "same" if self.convention.same_padding or stride == 1 else "valid"

    def _finish(self, x, name: str, relu6: bool):
        c = self.convention
        x = layers.BatchNormalization(momentum=c.bn_momentum, epsilon=c.bn_epsilon, name=f"{name}_bn")(x)
        return layers.ReLU(6.0, name=f"{name}_relu6")(x) if relu6 else x


def fan_out_normal(fan_out: int):
    """He initialisation by the number of outputs, as the published PyTorch networks use it."""
    return tf.keras.initializers.RandomNormal(stddev=(2.0 / fan_out) ** 0.5)


def image_input(input_size: int, convention: Convention, include_preprocessing: bool):
    """The input "image" and what the first convolution sees: normalised inside, or as it is."""
    image = tf.keras.Input((input_size, input_size, 3), name="image")
    if not include_preprocessing:
        return image, image
    scale = [1 / s for s in convention.std]
    offset = [-m / s for m, s in zip(convention.mean, convention.std, strict=True)]
    return image, layers.Rescaling(scale, offset, name="normalize")(image)


def classifier(x, num_classes: int, dropout: float):
    """Global average pooling, dropout and a dense layer that gives logits."""
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return layers.Dense(
        num_classes, kernel_initializer=tf.keras.initializers.RandomNormal(stddev=0.01), name="logits"
    )(x)


def build_model(image, logits, name: str):
    return tf.keras.Model(image, logits, name=name)
