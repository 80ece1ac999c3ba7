"""MobileNetV2: Inverted Residuals and Linear Bottlenecks (CVPR 2018), in two forms.

`mobilenet_v2` is the published network (3.50 M parameters at width 1). `mobilenet_v2_mnext` is what the MobileNeXt
authors' repository calls MobileNetV2 (3.46 M): its depthwise convolutions are at the two narrow ends of the block, so
its checkpoints match no other network.
"""

from __future__ import annotations

from mnext_tf.models.blocks import Layers, make_divisible

# expansion t, channels c, blocks n, stride of the first block
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def features(net: Layers, x, model):
    """Everything before the classifier; `model` is a ModelConfig."""
    block = narrow_depthwise_block if model.name == "mobilenet_v2_mnext" else inverted_residual
    x = net.conv(x, make_divisible(32 * model.width, 8), 3, "stem", stride=2, activation="relu6")
    index, blocks = 0, sum(n for _, _, n, _ in STAGES)
    for t, c, n, first_stride in STAGES:
        for i in range(n):
            depth, index = index / blocks, index + 1
            out = make_divisible(c * model.width, 8)
            x = block(net, x, out, first_stride if i == 0 else 1, t, f"block{index:02d}", depth)
    return net.conv(x, make_divisible(1280 * max(1.0, model.width), 8), 1, "head", activation="relu6")


def inverted_residual(net: Layers, x, out: int, stride: int, t: int, name: str, depth: float):
    """(batch, h, w, inp) to (batch, h / stride, w / stride, out): expand by t, depthwise, project.

    `depth` as in `Layers.shortcut`.
    """
    identity = x
    if t != 1:
        x = net.conv(x, x.shape[-1] * t, 1, f"{name}_expand", activation="relu6")
    x = net.depthwise(x, f"{name}_depthwise", stride=stride, activation="relu6")
    x = net.conv(x, out, 1, f"{name}_project", activation=None)
    return _shortcut(net, x, identity, stride, name, depth)


def narrow_depthwise_block(net: Layers, x, out: int, stride: int, t: int, name: str, depth: float):
    """The authors' variant: depthwise, expand by t, project (which takes the stride), depthwise."""
    identity = x
    if t == 1:
        x = net.depthwise(x, f"{name}_depthwise1", stride=stride, activation=None)
        x = net.depthwise(x, f"{name}_depthwise2", activation="relu6")
        x = net.conv(x, out, 1, f"{name}_project", activation=None)
    else:
        x = net.depthwise(x, f"{name}_depthwise1", activation="relu6")
        x = net.conv(x, x.shape[-1] * t, 1, f"{name}_expand", activation="relu6")
        x = net.conv(x, out, 1, f"{name}_project", stride=stride, activation=None)
        x = net.depthwise(x, f"{name}_depthwise2", activation="relu6")
    return _shortcut(net, x, identity, stride, name, depth)


def _shortcut(net: Layers, x, identity, stride: int, name: str, depth: float):
    if stride != 1 or identity.shape[-1] != x.shape[-1]:
        return x
    return net.shortcut(x, identity, name, depth)
