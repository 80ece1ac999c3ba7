"""Layers of a network with its batch norms folded, whose weights and activations take the values of an int8 file.

`TwinLayers` stands in for `models.keras_layers` when a network is built, so the layers have their usual names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from mnext_tf.models import keras_layers

Range = tuple[float, float]
BITS = 8


def fake_quant(x, low, high):
    """`x` in 255 equal steps from `low` to `high`, which are moved a little so that 0 is one of them."""
    return tf.quantization.fake_quant_with_min_max_vars(x, low, high, num_bits=BITS)


def round_through(x):
    """Rounded, with the gradient of what is not rounded."""
    return x + tf.stop_gradient(tf.round(x) - x)


class TwinLayers:
    """The classes of `keras_layers` that networks are built of, quantized.

    ranges: of the outputs that an int8 file keeps, by layer; several for a layer that it computes in several
      operators. Layers that are not here are computed without rounding.
    """

    Model, Input = keras_layers.Model, staticmethod(keras_layers.layers.Input)

    def __init__(self, ranges: Mapping[str, Sequence[Range]]):
        self.ranges = ranges

    def __getattr__(self, kind: str):
        layer = _LAYERS.get(kind) or getattr(keras_layers, kind)
        if not issubclass(layer, Quantized):
            return layer

        def make(*arguments, name: str, **options):
            return layer(*arguments, name=name, ranges=self.ranges.get(name, ()), **options)

        return make


class Quantized(tf.keras.layers.Layer):
    """Rounds its outputs. `low[i]` and `high[i]` are the variables of its i-th range; `quantized` turns all on.

    fixed: the numbers of the ranges that TFLite or the network's constants prescribe.
    observed: (lowest, highest) output by number of the range, where `observe` is on; for eager calls.
    """

    fixed: tuple[int, ...] = ()

    def __init__(self, *arguments, ranges: Sequence[Range] = (), **options):
        super().__init__(*arguments, **options)
        self.initial_ranges = tuple(ranges)
        self.quantized, self.observe = True, False
        self.observed: dict[int, Range] = {}

    def build(self, input_shape):
        super().build(input_shape)
        bound = lambda name, i, value: self.add_weight(
            name=f"{name}{i}",
            shape=(),
            initializer=tf.keras.initializers.Constant(value),
            trainable=i not in self.fixed,
        )
        self.low = [bound("low", i, low) for i, (low, _) in enumerate(self.initial_ranges)]
        self.high = [bound("high", i, high) for i, (_, high) in enumerate(self.initial_ranges)]

    def rounded(self, x, which: int = 0):
        """The output of the layer's operator number `which`, counted from 0."""
        if which >= len(self.low):
            return x
        if self.observe:
            low, high = self.observed.get(which, (0.0, 0.0))
            self.observed[which] = min(low, float(tf.reduce_min(x))), max(high, float(tf.reduce_max(x)))
        if not self.quantized:
            return x
        return fake_quant(x, tf.convert_to_tensor(self.low[which]), tf.convert_to_tensor(self.high[which]))


class Kernel(Quantized):
    """A kernel in steps of `scale`, one for each output channel, and a bias.

    follow: the steps follow the largest weight of each channel, in place of `scale`.
    """

    channel_axes: tuple[int, ...] = (-1,)  # of the kernel; one of them is 1 where there are two

    def __init__(self, *arguments, use_bias: bool = True, **options):
        super().__init__(*arguments, use_bias=True, **options)
        self.follow = False

    def build(self, input_shape):
        super().build(input_shape)
        self.scale = self.add_weight(name="scale", shape=self.bias.shape, initializer="ones", trainable=False)

    def steps(self):
        """The scale, in a shape that multiplies the kernel."""
        scale = self.largest() if self.follow else tf.convert_to_tensor(self.scale)
        return tf.reshape(scale, [self.kernel.shape[axis] for axis in self.channel_axes])

    def largest(self):
        """The steps that the largest weight of each channel needs."""
        kernel = tf.stop_gradient(tf.convert_to_tensor(self.kernel))
        largest = tf.reduce_max(tf.abs(kernel), range(len(kernel.shape) - len(self.channel_axes)))
        return tf.maximum(tf.reshape(largest, [-1]), 1e-30) / 127

    def rounded_kernel(self):
        kernel = tf.convert_to_tensor(self.kernel)
        if not self.quantized:
            return kernel
        return tf.clip_by_value(round_through(kernel / self.steps()), -127.0, 127.0) * self.steps()

    def call(self, x, training=None):
        return self.rounded(self.convolve(x, self.rounded_kernel()) + tf.convert_to_tensor(self.bias))

    def scale_outputs(self, factor: np.ndarray) -> None:
        """Multiply each output channel."""
        self.kernel.assign(self.kernel * factor)
        self.bias.assign(self.bias * factor)

    def scale_inputs(self, factor: np.ndarray) -> None:
        """Multiply what the kernel takes from each input channel."""
        self.kernel.assign(self.kernel * factor[:, None])

    # For `least_squares`: the same layer as products of matrices, one for each group of channels.

    def matrices(self) -> np.ndarray:
        """The kernel, (groups, n, outputs)."""
        outputs = self.bias.shape[0] // self.matrix_groups
        return self.kernel.numpy().reshape(-1, self.matrix_groups, outputs).transpose(1, 0, 2)

    def assign_matrices(self, kernel: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> None:
        """The kernel from matrices; scale and bias (groups, outputs)."""
        self.kernel.assign(kernel.transpose(1, 0, 2).reshape(self.kernel.shape))
        self.scale.assign(scale.reshape(-1))
        self.bias.assign(bias.reshape(-1))

    def as_matrices(self, x):
        """An input as what the kernel is multiplied with, (positions, groups, n)."""
        return tf.reshape(self.seen(x), (-1, self.matrix_groups, self.kernel.shape[-2] * self.window))

    def outputs_as_matrices(self, y):
        """(positions, groups, outputs)"""
        return tf.reshape(y, (-1, self.matrix_groups, y.shape[-1] // self.matrix_groups))

    @property
    def matrix_groups(self) -> int:
        return getattr(self, "groups", 1)

    @property
    def window(self) -> int:
        """Positions that an output is computed from."""
        return int(np.prod(getattr(self, "kernel_size", 1)))

    def seen(self, x):
        """The window around each position, behind one another in the last dimension."""
        if len(x.shape) == 2:
            return x
        (k, _), (s, _) = self.kernel_size, self.strides
        if k == 1:
            return x[:, ::s, ::s]
        return tf.image.extract_patches(x, (1, k, k, 1), (1, s, s, 1), (1, 1, 1, 1), self.padding.upper())


class Conv2D(Kernel, tf.keras.layers.Conv2D):
    def convolve(self, x, kernel):
        return tf.nn.conv2d(x, kernel, self.strides, self.padding.upper())


class GroupedConv2D(Conv2D):
    """In separate convolutions, whose gradients TensorFlow has on every CPU."""

    def convolve(self, x, kernel):
        parts = zip(tf.split(x, self.groups, axis=-1), tf.split(kernel, self.groups, axis=-1), strict=True)
        return tf.concat([tf.nn.conv2d(part, weights, 1, "SAME") for part, weights in parts], axis=-1)


class DepthwiseConv2D(Kernel, tf.keras.layers.DepthwiseConv2D):
    channel_axes = (-2, -1)

    def scale_outputs(self, factor: np.ndarray) -> None:
        self.kernel.assign(self.kernel * factor[:, None])
        self.bias.assign(self.bias * factor)

    def as_matrices(self, x):
        return tf.transpose(tf.reshape(self.seen(x), (-1, self.window, x.shape[-1])), (0, 2, 1))

    @property
    def matrix_groups(self) -> int:
        return self.kernel.shape[2]

    def convolve(self, x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, (1, *self.strides, 1), self.padding.upper())


class Dense(Kernel, tf.keras.layers.Dense):
    def convolve(self, x, kernel):
        return tf.matmul(x, kernel)


class BatchNormalization(Quantized):
    """Folded into the convolution before it: rounds, where no activation follows."""

    def __init__(self, momentum, epsilon, **options):
        super().__init__(**options)

    def call(self, x, training=None):
        return self.rounded(x)


class ReLU(Quantized, tf.keras.layers.ReLU):
    def call(self, x, training=None):
        return self.rounded(super().call(x))


class Activation(Quantized):
    """Sigmoid, whose output has a fixed range in TFLite, or swish, which multiplies its input by that."""

    fixed = (0,)

    def __init__(self, activation: str, **options):
        super().__init__(**options)
        self.activation = activation

    def call(self, x, training=None):
        gate = self.rounded(tf.sigmoid(x))
        return gate if self.activation == "sigmoid" else self.rounded(x * gate, 1)


class Add(Quantized, tf.keras.layers.Add):
    def call(self, inputs, training=None):
        return self.rounded(super().call(inputs))


class Multiply(Quantized, tf.keras.layers.Multiply):
    def call(self, inputs, training=None):
        return self.rounded(super().call(inputs))


class GlobalAveragePooling2D(Quantized, tf.keras.layers.GlobalAveragePooling2D):
    def call(self, x, training=None):
        return self.rounded(super().call(x))


class PixelNormalization(Quantized):
    """The image in whole numbers, multiplied, then added to."""

    fixed = (0, 1)

    def __init__(self, mean, std, **options):
        super().__init__(**options)
        self.mean, self.std = np.array(mean, np.float32), np.array(std, np.float32)

    def call(self, image, training=None):
        scale, offset = 1 / self.std, -self.mean / self.std
        if self.quantized:  # the constants, too, each in one tensor
            image = fake_quant(image, 0.0, 255.0)
            scale = fake_quant(scale, 0.0, float(scale.max()))
            offset = fake_quant(offset, min(0.0, float(offset.min())), max(0.0, float(offset.max())))
        return self.rounded(self.rounded(image * scale) + offset, 1)


_LAYERS = {
    layer.__name__: layer
    for layer in (
        Conv2D, GroupedConv2D, DepthwiseConv2D, Dense, BatchNormalization, ReLU, Activation, Add, Multiply,
        GlobalAveragePooling2D, PixelNormalization,
    )
}  # fmt: skip
