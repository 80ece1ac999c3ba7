"""MobileNeXt: Rethinking Bottleneck Structure for Efficient Mobile Network Design (ECCV 2020).

The sandglass block has its shortcut and depthwise convolutions on the wide tensors at its ends, and a bottleneck in
between. Where paper and published code differ, this follows the code, which the published checkpoints match.
"""

from __future__ import annotations

import math

from mnext_tf.models.blocks import Layers, make_divisible
from mnext_tf.models.registry import identity_divisor

# reduction t, channels c, blocks n, stride of the first block
STAGES = (
    (2, 96, 1, 2),
    (6, 144, 1, 1),
    (6, 192, 3, 2),
    (6, 288, 3, 2),
    (6, 384, 4, 1),
    (6, 576, 4, 2),
    (6, 960, 3, 1),
    (6, 1280, 1, 1),
)


def features(net: Layers, x, model):
    """Everything before the classifier; `model` is a ModelConfig."""
    x = net.conv(x, make_divisible(32 * model.width, 8), 3, "stem", stride=2, activation="relu6")
    divisor, index = identity_divisor(model.identity_tensor_multiplier), 0
    blocks = sum(n for _, _, n, _ in STAGES)
    for t, c, n, first_stride in STAGES:
        out = 1280 if c == 1280 and model.width < 1 else make_divisible(c * model.width, 8)
        for i in range(n):
            depth, index = index / blocks, index + 1
            x = sandglass(net, x, out, first_stride if i == 0 else 1, t, n, divisor, f"block{index:02d}", depth)
    return x


def sandglass(net: Layers, x, out: int, stride: int, t: int, stage_blocks: int, divisor: int, name: str, depth: float):
    """(batch, h, w, inp) to (batch, h / stride, w / stride, out); `depth` as in `Layers.shortcut`.

    A block that changes the width omits the first depthwise convolution, and at stride 1 the last one, too.
    """
    inp = x.shape[-1]
    hidden = inp // t
    if hidden < out / 6:
        hidden = make_divisible(math.ceil(out / 6), 16)
    widens = inp != out and t != 2 and (stride == 2 or stage_blocks > 1)
    has_shortcut = inp == out and stride == 1 and t != 2 and stage_blocks > 1

    identity = x
    if not widens:
        x = net.depthwise(x, f"{name}_depthwise1", activation="relu6")
    x = net.conv(x, hidden, 1, f"{name}_reduce", activation=None)
    x = net.conv(x, out, 1, f"{name}_expand", activation="relu6")
    if not widens or stride == 2:
        x = net.depthwise(x, f"{name}_depthwise2", stride=stride, activation=None)
    return partial_shortcut(net, x, identity, divisor, name, depth) if has_shortcut else x


def partial_shortcut(net: Layers, x, identity, divisor: int, name: str, depth: float):
    """Add the first 1/divisor of the channels of `identity` to those of `x`; the others get none."""
    kept = x.shape[-1] // divisor
    if kept == 0:
        return x
    if divisor > 1:
        identity = net.layers.ChannelMask(kept, name=f"{name}_identity_mask")(identity)
    return net.shortcut(x, identity, name, depth)
