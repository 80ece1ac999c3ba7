"""What the networks are made of. Only layers that Keras 3 and legacy Keras both have.

Every convolution `X` is followed by `X_bn`, then `X_relu6` where it has an activation. Importers,
the checker of exported graphs and profiles rely on these names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
    # 255 times the ImageNet mean and standard deviation that PyTorch's models use
    "pytorch": Convention(False, 1e-5, 0.9, (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    # keras.applications has momentum 0.999, which counts in training only and needs thousands of steps.
    "tensorflow": Convention(True, 1e-3, 0.99, (127.5,) * 3, (127.5,) * 3),
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
