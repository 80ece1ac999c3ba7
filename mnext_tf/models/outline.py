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
    def __init__(self, image: Tensor, outputs, name: str):
        self.name, self.layers = name, (outputs[-1] if type(outputs) is list else outputs).network


class Layer:
    """A layer without weights that keeps the shape of its (first) input."""

    def __init__(self, *sizes, name: str, **options):
        self.name, self.sizes, self.options = name, sizes, options
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
        self.weights.append(Variable(name, shape, trainable))
        setattr(self, name, self.weights[-1])

    @property
    def trainable_weights(self) -> list[Variable]:
        return [w for w in self.weights if w.trainable]


_PLAIN = ("InputLayer", "PixelNormalization", "ChannelMask", "ReLU", "Activation", "Dropout", "Add", "Multiply")
InputLayer, PixelNormalization, ChannelMask, ReLU, Activation, Dropout, Add, Multiply = (
    type(name, (Layer,), {}) for name in _PLAIN
)


def Input(shape: tuple, name: str) -> Tensor:
    return InputLayer(name=name)(Tensor((None, *shape), []))


class ZeroPadding2D(Layer):
    def build(self, shape):
        amount = self.sizes[0]
        added = 2 * amount if isinstance(amount, int) else sum(amount[0])
        return shape[0], shape[1] + added, shape[2] + added, shape[3]


class Conv2D(Layer):
    def build(self, shape):
        filters, kernel, *stride = self.sizes
        self.add_weight("kernel", (kernel, kernel, shape[-1] // self.options.get("groups", 1), filters))
        if self.options.get("use_bias", True):
            self.add_weight("bias", (filters,))
        return self.convolved(shape, kernel, *stride, filters=filters)

    def convolved(self, shape: tuple, kernel: int, stride: int = 1, *, filters: int) -> tuple:
        lost = 0 if self.options.get("padding") == "same" else kernel - 1
        return shape[0], *(-(-(side - lost) // stride) for side in shape[1:3]), filters


GroupedConv2D = type("GroupedConv2D", (Conv2D,), {})


class DepthwiseConv2D(Conv2D):
    def build(self, shape):
        kernel, stride = self.sizes
        self.add_weight("kernel", (kernel, kernel, shape[-1], 1))
        if self.options.get("use_bias", True):
            self.add_weight("bias", shape[-1:])
        return self.convolved(shape, kernel, stride, filters=shape[-1])


class BatchNormalization(Layer):
    def build(self, shape):
        for name in ("gamma", "beta", "moving_mean", "moving_variance"):
            self.add_weight(name, shape[-1:], trainable=not name.startswith("moving"))
        return shape


class GlobalAveragePooling2D(Layer):
    def build(self, shape):
        return (shape[0], 1, 1, shape[-1]) if self.options.get("keepdims") else (shape[0], shape[-1])


class Reshape(Layer):
    def build(self, shape):
        return (shape[0], *self.sizes[0])


class Concatenate(Layer):
    """Of tensors (batch, rows, columns), along the rows."""

    def __call__(self, x) -> Tensor:
        rows = sum(tensor.shape[1] for tensor in x)
        return super().__call__(Tensor((x[0].shape[0], rows, *x[0].shape[2:]), x[0].network))


class Dense(Layer):
    def build(self, shape):
        (units,) = self.sizes
        self.add_weight("kernel", (shape[-1], units))
        self.add_weight("bias", (units,))
        return (*shape[:-1], units)
