"""Layer classes that compute shapes only: they outline a network in milliseconds, without TensorFlow.

Models, layers, and weights have the attributes of Keras's that costs and the matching of checkpoints need.
"""

from __future__ import annotations

from typing import NamedTuple


class Tensor(NamedTuple):
    shape: tuple
    network: list  # the layers so far, in order of creation


class Variable(NamedTuple):
    name: str
    shape: tuple[int, ...]
    trainable: bool


class Model:
    def __init__(self, image: Tensor, logits: Tensor, name: str):
        self.name, self.layers = name, logits.network


class Layer:
    """A layer without weights that keeps the shape of its (first) input."""

    def __init__(self, *arguments, name: str, **options):
        self.name = name
        self.weights: list[Variable] = []

    def __call__(self, x) -> Tensor:
        shape, network = x[0] if isinstance(x, list) else x
        self.output = Tensor(self.build(shape), network)
        network.append(self)
        return self.output

    def build(self, shape: tuple) -> tuple:
        """Create the weights for an input of `shape`, and return the shape of the output."""
        return shape

    def add_weight(self, name: str, shape: tuple[int, ...], trainable: bool = True) -> None:
        variable = Variable(name, shape, trainable)
        self.weights.append(variable)
        setattr(self, name, variable)

    @property
    def trainable_weights(self) -> list[Variable]:
        return [w for w in self.weights if w.trainable]


_UNCHANGED = ("InputLayer", "PixelNormalization", "ChannelMask", "ReLU", "Activation", "Dropout", "Add", "Multiply")
InputLayer, PixelNormalization, ChannelMask, ReLU, Activation, Dropout, Add, Multiply = (
    type(name, (Layer,), {}) for name in _UNCHANGED
)


def Input(shape: tuple, name: str) -> Tensor:
    return InputLayer(name=name)(Tensor((None, *shape), []))


class ZeroPadding2D(Layer):
    def __init__(self, padding, **options):
        super().__init__(**options)
        self.added = 2 * padding if isinstance(padding, int) else sum(padding[0])

    def build(self, shape):
        batch, h, w, channels = shape
        return batch, h + self.added, w + self.added, channels


class Conv2D(Layer):
    def __init__(self, filters, kernel, stride=1, *, padding="valid", groups=1, use_bias=True, **options):
        super().__init__(**options)
        self.filters, self.kernel_size, self.stride, self.padding = filters, kernel, stride, padding
        self.groups, self.use_bias = groups, use_bias

    def build(self, shape):
        batch, h, w, inputs = shape
        self.add_weight("kernel", (self.kernel_size, self.kernel_size, inputs // self.groups, self.filters))
        if self.use_bias:
            self.add_weight("bias", (self.filters,))
        return batch, self.side(h), self.side(w), self.filters

    def side(self, pixels: int) -> int:
        return -(-(pixels if self.padding == "same" else pixels - self.kernel_size + 1) // self.stride)


GroupedConv2D = type("GroupedConv2D", (Conv2D,), {})


class DepthwiseConv2D(Conv2D):
    def __init__(self, kernel, stride, **options):
        super().__init__(1, kernel, stride, **options)

    def build(self, shape):
        batch, h, w, channels = shape
        self.add_weight("kernel", (self.kernel_size, self.kernel_size, channels, 1))
        return batch, self.side(h), self.side(w), channels


class BatchNormalization(Layer):
    def build(self, shape):
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            self.add_weight(name, shape[-1:], trainable=not name.startswith("moving"))
        return shape


class GlobalAveragePooling2D(Layer):
    def __init__(self, keepdims=False, **options):
        super().__init__(**options)
        self.keepdims = keepdims

    def build(self, shape):
        return (shape[0], 1, 1, shape[-1]) if self.keepdims else (shape[0], shape[-1])


class Dense(Layer):
    def __init__(self, units, **options):
        super().__init__(**options)
        self.units = units

    def build(self, shape):
        self.add_weight("kernel", (shape[-1], self.units))
        self.add_weight("bias", (self.units,))
        return (*shape[:-1], self.units)
