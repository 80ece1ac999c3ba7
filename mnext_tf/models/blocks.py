"""The building blocks that the networks share.

Every convolution `X` is followed by `X_bn`, then by `X_relu6` or `X_swish` if it has an activation; convolutions of
squeeze-and-excitation have a bias instead of batch normalization. Importers, export checks, and profiles rely on
these names.
"""

from __future__ import annotations

from mnext_tf.models.conventions import Convention


def make_divisible(value: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `value`, at least `divisor`, and not below 0.9 `value`."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


# Which of a network's five strided convolutions, in order of computation, have stride 1 at an output stride. At 32
# pixels, stem and last learn more than stem and second, at half the cost (measured in docs/python.md).
UNSTRIDED = {32: (), 16: (5,), 8: (1, 5)}


class Layers:
    """Adds blocks to one network, in its convention.

    Args:
      layers: where the layer classes come from: `keras_layers`, or `outline` for shapes only.
      output_stride: side of the image over that of the last feature map. Below 32, strided convolutions are computed
        at stride 1 (see UNSTRIDED), so that names and weights are the same at every output stride.
      drop_connect: rate of the stochastic depth (Huang et al., 2016) that a block after all others would have.
    """

    def __init__(self, layers, convention: Convention, output_stride: int = 32, drop_connect: float = 0.0):
        self.layers, self.convention, self.drop_connect = layers, convention, drop_connect
        self.unstrided, self.strided = UNSTRIDED[output_stride], 0  # `strided`: such convolutions so far
        self.outputs = {}  # what `conv`, `depthwise`, and `shortcut` gave, by name: a detector taps some of it

    def image(self, input_size: int, include_preprocessing: bool = True):
        """(the input "image", what the first convolution takes: the image, normalized with preprocessing)."""
        image = self.layers.Input((input_size, input_size, 3), name="image")
        if not include_preprocessing:
            return image, image
        c = self.convention
        return image, self.layers.PixelNormalization(c.mean, c.std, name="normalize")(image)

    def conv(self, x, channels: int, kernel: int, name: str, *, stride=1, groups=1, padding=None, activation):
        """Convolution, batch normalization, and activation ("relu6", "swish", or None).

        `padding` replaces the convention's; `groups` is for 1x1 convolutions.
        """
        stride = self._computed(stride)
        x, padding = self._padded(x, kernel, stride, padding or self.convention.padding, name)
        options = {"padding": padding, "use_bias": False, "name": name}
        kind = self.layers.Conv2D
        if groups != 1:
            kind, options = self.layers.GroupedConv2D, {**options, "groups": groups}
        initializer = fan_out_normal(kernel * kernel * channels // groups)
        x = kind(channels, kernel, stride, kernel_initializer=initializer, **options)(x)
        return self._normalized(x, name, activation)

    def depthwise(self, x, name: str, *, kernel=3, stride=1, padding=None, activation, use_bias=False):
        """Depthwise convolution, batch normalization, and activation; `padding` as in `conv`."""
        stride = self._computed(stride)
        x, padding = self._padded(x, kernel, stride, padding or self.convention.padding, name)
        initializer = fan_out_normal(kernel * kernel)
        x = self.layers.DepthwiseConv2D(
            kernel, stride, padding=padding, use_bias=use_bias, depthwise_initializer=initializer, name=name
        )(x)
        return self._normalized(x, name, activation)

    def _computed(self, stride: int) -> int:
        """The stride at which the next convolution is computed, given that at output stride 32."""
        if stride > 1:
            self.strided += 1
        return 1 if self.strided in self.unstrided else stride

    def _padded(self, x, kernel: int, stride: int, padding: str, name: str):
        """(the input, padded explicitly where Keras's padding differs; the padding left to the convolution)."""
        if stride == 1 or kernel == 1 or padding == "same":
            return x, "same"
        if padding == "symmetric":
            amount = kernel // 2
        elif x.shape[1] % 2:
            amount = (((kernel - 2) // 2, (kernel - 1) // 2),) * 2
        else:
            return x, "same"
        return self.layers.ZeroPadding2D(amount, name=f"{name}_pad")(x), "valid"

    def _normalized(self, x, name: str, activation: str | None):
        c = self.convention
        x = self.layers.BatchNormalization(momentum=c.bn_momentum, epsilon=c.bn_epsilon, name=f"{name}_bn")(x)
        if activation == "relu6":
            x = self.layers.ReLU(6.0, name=f"{name}_relu6")(x)
        elif activation:
            x = self.layers.Activation(activation, name=f"{name}_{activation}")(x)
        self.outputs[name] = x
        return x

    def squeeze_excite(self, x, squeezed: int, name: str):
        """Scale each channel by a gate in 0..1 computed from all channel means, through `squeezed` channels."""
        k, channels = self.layers, x.shape[-1]
        s = k.GlobalAveragePooling2D(keepdims=True, name=f"{name}_se_pool")(x)
        s = k.Conv2D(squeezed, 1, kernel_initializer=fan_out_normal(squeezed), name=f"{name}_se_reduce")(s)
        s = k.Activation("swish", name=f"{name}_se_reduce_swish")(s)
        s = k.Conv2D(channels, 1, kernel_initializer=fan_out_normal(channels), name=f"{name}_se_expand")(s)
        s = k.Activation("sigmoid", name=f"{name}_se_expand_sigmoid")(s)
        return k.Multiply(name=f"{name}_se_scale")([x, s])

    def shortcut(self, x, identity, name: str, depth: float):
        """Add the input of a block to its output.

        With drop-connect, training leaves out the block's output for random images, and scales the others up: at rate 0
        in the first block, growing with `depth`, the share of the network's blocks that precede this one.
        """
        if rate := self.drop_connect * depth:
            x = self.layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
        self.outputs[f"{name}_add"] = x = self.layers.Add(name=f"{name}_add")([x, identity])
        return x

    def classifier(self, x, num_classes: int, dropout: float):
        """Global average pooling, dropout, and a dense layer that gives logits."""
        x = self.layers.GlobalAveragePooling2D(name="pool")(x)
        x = self.layers.Dropout(dropout, name="dropout")(x)
        return self.layers.Dense(num_classes, kernel_initializer=_normal(0.01), name="logits")(x)


def fan_out_normal(fan_out: int) -> dict:
    """He initialization by fan-out, as in the published PyTorch networks."""
    return _normal((2.0 / fan_out) ** 0.5)


def _normal(stddev: float) -> dict:
    return {"class_name": "RandomNormal", "config": {"stddev": stddev}}
