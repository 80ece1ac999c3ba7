"""The larger MobileNeXt, `mnext_s` and `mnext_l`: sandglass blocks with squeeze-and-excitation and swish.

The authors published only code and checkpoints, based on EfficientNet. L has two groups in the 1x1 convolutions, and
1.1 times the depth of S.
"""

from __future__ import annotations

import math

from mnext_tf.models.blocks import Layers, make_divisible

# reduction t, channels c, blocks n, kernel of the depthwise convolutions, stride of the first block
STAGES = (
    (2, 96, 1, 3, 1),
    (6, 144, 1, 3, 2),
    (6, 192, 3, 5, 2),
    (6, 288, 3, 3, 2),
    (6, 384, 4, 5, 1),
    (6, 576, 4, 5, 2),
    (6, 960, 3, 3, 1),
    (6, 1280, 1, 3, 1),
)
DEPTH = {"mnext_s": 1.0, "mnext_l": 1.1}
GROUPS = {"mnext_s": 1, "mnext_l": 2}


def features(net: Layers, x, model):
    """Everything before the classifier; `model` is a ModelConfig. Only width 1 was published."""
    x = net.conv(x, make_divisible(32 * model.width, 8), 3, "stem", stride=2, activation="swish")
    repeats = [math.ceil(DEPTH[model.name] * n) for _, _, n, _, _ in STAGES]
    groups, index = GROUPS[model.name], 0
    for (t, c, _, kernel, first_stride), n in zip(STAGES, repeats, strict=True):
        for i in range(n):
            stride = first_stride if i == 0 else 1
            depth, index = index / sum(repeats), index + 1  # the first block has depth 0, as in EfficientNet-PyTorch
            out = make_divisible(c * model.width, 8)
            x = sandglass(net, x, out, stride, t, kernel, groups, f"block{index:02d}", depth)
    return x


def sandglass(net: Layers, x, out: int, stride: int, t: int, kernel: int, groups: int, name: str, depth: float):
    """(batch, h, w, inp) to (batch, h / stride, w / stride, out); `depth` as in `Layers.shortcut`.

    A block that changes the width (except with t = 2) omits the first depthwise convolution and the groups, and at
    stride 1 the last depthwise one, too.
    """
    inp = x.shape[-1]
    widens = inp != out and t != 2
    has_shortcut = inp == out and stride == 1 and t != 2
    hidden = make_divisible(inp // t, 2)
    groups = 1 if widens else groups

    identity = x
    if not widens:
        x = net.depthwise(x, f"{name}_depthwise1", kernel=kernel, activation="swish")
    x = net.conv(x, hidden, 1, f"{name}_reduce", groups=groups, activation=None)
    x = net.conv(x, out, 1, f"{name}_expand", groups=groups, activation="swish")
    if not widens or stride == 2:
        x = net.depthwise(x, f"{name}_depthwise2", kernel=kernel, stride=stride, activation=None)
    x = net.squeeze_excite(x, max(1, int(out / t * 0.25)), name)
    return net.shortcut(x, identity, name, depth) if has_shortcut else x
