"""The layer classes of `tf.keras.layers`, some replaced or added; all work on both Keras 3 and legacy Keras."""

from __future__ import annotations

import contextlib
import contextvars

import numpy as np
import tensorflow as tf

from mnext_tf.models import sync_batch_norm

layers = tf.keras.layers
Model = tf.keras.Model


def __getattr__(name: str):
    return getattr(layers, name)


_folding = contextvars.ContextVar("folding", default=False)


@contextlib.contextmanager
def folded_batch_norm():
    """Inside, a `tf.function` that is traced computes each convolution with the batch norm after it folded in.

    This is for inference, `model(images, training=False)`: TensorFlow joins convolution, bias, and activation in one
    operator, which saves passes over memory, and the values change by rounding errors only. Layers are as before: only
    operators differ. Exports do without, because their converters fold themselves, by the names of the operators.
    """
    token = _folding.set(True)
    try:
        yield
    finally:
        _folding.reset(token)


class BatchNormalization(layers.BatchNormalization):
    """Keras's layer, trained with TensorFlow's fused operator; Keras 3 composes it of many small ones.

    A training step of MobileNetV2 at 128 pixels takes half the time with it on a CPU. As in PyTorch, the moving
    variance follows the unbiased batch variance, and the weights stay float32 where activations are bfloat16.
    """

    def add_weight(self, *arguments, **options):
        if "experimental_autocast" not in options:  # legacy Keras passes it, and False
            options["autocast"] = False
        return super().add_weight(*arguments, **options)

    def call(self, x, training=False, mask=None):
        if not (training and self.trainable):  # a frozen layer keeps its statistics, too
            folded = self._folded(x) if _folding.get() and not training else None
            return super().call(x, training=False) if folded is None else folded
        y, mean, variance = (sync_batch_norm.normalize if self.synchronized else _fused)(self, x)
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(self.momentum * tf.convert_to_tensor(moving) + (1 - self.momentum) * batch)
        return y

    def _folded(self, x):
        """The convolution that gave `x`, with this layer folded in; None if it was none."""
        op = x.op if tf.is_symbolic_tensor(x) else None
        if op is None or op.type not in ("Conv2D", "DepthwiseConv2dNative"):
            return None
        gamma, beta, mean, variance = (tf.convert_to_tensor(w) for w in self.weights)
        scale = gamma * tf.math.rsqrt(variance + self.epsilon)
        source, kernel = op.inputs
        padding = op.get_attr("padding").decode()
        convolve, factor = tf.nn.depthwise_conv2d, scale[:, None]
        if op.type == "Conv2D":  # TensorFlow aborts on a depthwise one with explicit padding, bias, and activation
            convolve, factor, (source, padding) = tf.nn.conv2d, scale, _without_padding(source, padding)
        kernel = tf.cast(tf.cast(kernel, factor.dtype) * factor, x.dtype)
        y = convolve(source, kernel, op.get_attr("strides"), padding)
        bias = tf.cast(beta - mean * scale, x.dtype)
        return y + bias if op.type != "Conv2D" else tf.nn.bias_add(y, bias)  # BiasAdd, then a shortcut, trips Grappler


class ReLU(layers.ReLU):
    """Keras's layer; relu6 in bfloat16 is trained on a CPU with loops that XLA compiles, in a third of the time."""

    def call(self, x, training=None):
        if training and x.dtype == tf.bfloat16 and self.max_value == 6 and not tf.config.list_logical_devices("GPU"):
            return _relu6(x)
        return super().call(x)


@tf.custom_gradient
def _relu6(x):
    y = _relu6_loop(x)
    return y, lambda dy: _relu6_gradient_loop(y, dy)


@tf.function(jit_compile=True, autograph=False)
def _relu6_loop(x):
    return tf.nn.relu6(x)


@tf.function(jit_compile=True, autograph=False)
def _relu6_gradient_loop(y, dy):
    return tf.where((y > 0) & (y < 6), dy, tf.zeros([], dy.dtype))


class DepthwiseConv2D(layers.DepthwiseConv2D):
    """Keras's layer; strided, it is trained in bfloat16 with operators that are faster on a CPU.

    TensorFlow's gradient by the input of a strided depthwise convolution takes ten times as long in bfloat16 as the
    convolution at stride 1 that computes the same.
    """

    def call(self, x, training=None):
        if not training or self.strides[0] == 1 or x.dtype != tf.bfloat16:
            return super().call(x)
        x, padding = _without_padding(x, self.padding.upper())
        kernel = tf.convert_to_tensor(self.weights[0])
        if padding in ("SAME", "VALID"):
            padding = _explicit(padding, x.shape, kernel.shape[0], self.strides[0])
        return _strided_depthwise(x, kernel, self.strides[0], padding)


def _strided_depthwise(x, kernel, stride: int, padding):
    strides = [1, stride, stride, 1]

    @tf.custom_gradient
    def convolve(x, kernel):
        def gradients(dy):
            # oneDNN has none with explicit padding
            by_kernel = tf.nn.depthwise_conv2d_backprop_filter(tf.pad(x, padding), kernel.shape, dy, strides, "VALID")
            return _by_input(dy, kernel, x, stride, padding), by_kernel

        return tf.nn.depthwise_conv2d(x, kernel, strides, padding), gradients

    return convolve(x, kernel)


def _by_input(dy, kernel, x, stride: int, padding):
    """The gradient by the input `x` of a strided depthwise convolution."""
    (top, _), (left, _) = padding[1:3]
    height, width = x.shape[1:3]
    # Zeros between the values of dy, then a convolution with the kernel turned.
    rows, columns = dy.shape[1:3]
    apart = tf.pad(dy[:, :, None, :, None], [[0, 0], [0, 0], [0, stride - 1], [0, 0], [0, stride - 1], [0, 0]])
    apart = tf.reshape(apart, (-1, rows * stride, columns * stride, dy.shape[3]))
    last = kernel.shape[0] - 1
    around = [(last - top, height - rows * stride + top), (last - left, width - columns * stride + left)]
    return tf.nn.depthwise_conv2d(apart, kernel[::-1, ::-1], [1, 1, 1, 1], [(0, 0), *around, (0, 0)])


def _without_padding(x, padding: str):
    """(what a Pad operator before a convolution pads, the convolution's padding with it): saves a pass over memory."""
    op = x.op if tf.is_symbolic_tensor(x) else None
    if padding != "VALID" or op is None or op.type not in ("Pad", "PadV2"):
        return x, padding
    amounts = tf.get_static_value(op.inputs[1])
    return (x, padding) if amounts is None else (op.inputs[0], amounts.tolist())


def _explicit(padding: str, shape, kernel: int, stride: int):
    """SAME or VALID as explicit amounts for NHWC."""
    sides = []
    for side in shape[1:3]:
        amount = max((-(-side // stride) - 1) * stride + kernel - side, 0) if padding == "SAME" else 0
        sides.append((amount // 2, amount - amount // 2))
    return [(0, 0), *sides, (0, 0)]


def _fused(layer, x):
    gamma, beta = tf.convert_to_tensor(layer.gamma), tf.convert_to_tensor(layer.beta)
    return tf.compat.v1.nn.fused_batch_norm(x, gamma, beta, epsilon=layer.epsilon, is_training=True)[:3]


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
