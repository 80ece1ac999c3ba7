"""Where frameworks differ in building the same network. Does not import TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

# 255 times the ImageNet mean and standard deviation that PyTorch's models use
_IMAGENET_MEAN, _IMAGENET_STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
_HALF = (127.5, 127.5, 127.5)  # pixels to [-1, 1]


@dataclass(frozen=True)
class Convention:
    """`mean` and `std` are per RGB channel, in units of [0, 255].

    `padding` of a strided k x k convolution:
      "symmetric": k // 2 on every side, as in PyTorch.
      "same": TensorFlow's SAME, which depends on the size: 3x3 at stride 2 pads (0, 1) at even sizes, (1, 1) at odd.
      "same_even": at every size what SAME pads at even ones: (0, 1) for 3x3, (1, 2) for 5x5.
    All three are equal at stride 1.
    """

    padding: str
    bn_epsilon: float
    bn_momentum: float  # in Keras's sense: the weight of the old value
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


CONVENTIONS = {
    "pytorch": Convention("symmetric", 1e-5, 0.9, _IMAGENET_MEAN, _IMAGENET_STD),
    # keras.applications has momentum 0.999, which only affects training, and needs thousands of steps.
    "tensorflow": Convention("same", 1e-3, 0.99, _HALF, _HALF),
    "mobilenet_v1": Convention("same_even", 1e-3, 0.99, _HALF, _HALF),
    "efficientnet": Convention("same_even", 1e-3, 0.99, _IMAGENET_MEAN, _IMAGENET_STD),
}
