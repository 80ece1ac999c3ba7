"""MobileNetV1: depthwise-separable convolutions (2017), as in `keras.applications.MobileNet`."""

from __future__ import annotations

from mnext_tf.models.blocks import Layers

# channels and stride of the 13 depthwise-separable blocks
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def features(net: Layers, x, model):
    """Everything before the classifier; `model` is a ModelConfig."""
    # The stem alone has TensorFlow's SAME, which differs from the blocks' padding at odd input sizes.
    x = net.conv(x, _channels(32, model.width), 3, "stem", stride=2, padding="same", activation="relu6")
    for index, (c, stride) in enumerate(BLOCKS, 1):
        x = net.depthwise(x, f"block{index:02d}_depthwise", stride=stride, activation="relu6")
        x = net.conv(x, _channels(c, model.width), 1, f"block{index:02d}_pointwise", activation="relu6")
    return x


def _channels(c: int, width: float) -> int:
    return max(1, int(c * width))
