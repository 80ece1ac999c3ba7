"""The larger MobileNeXt, `mnext_s` and `mnext_l`: sandglass blocks with squeeze-excite and swish.

The authors published them as code and checkpoints only, built like EfficientNet. Two groups in the
1 x 1 convolutions and 1.1 times the depth make L of S.
"""

from __future__ import annotations

import math

from mnext_tf.models.blocks import Layers, build_model, classifier, image_input, layers, make_divisible, squeeze_excite

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
DROP_CONNECT = 0.2


def build(name, *, width, num_classes, input_size, include_preprocessing, dropout, convention):
    """See `mnext_tf.create_model`. Only width 1 was published."""
    net = Layers(convention)
    image, x = image_input(input_size, convention, include_preprocessing)
    x = net.conv(x, make_divisible(32 * width, 8), 3, "stem", stride=2, activation="swish")
    repeats = [math.ceil(DEPTH[name] * n) for _, _, n, _, _ in STAGES]
    index = 0
    for (t, c, _, kernel, first_stride), n in zip(STAGES, repeats, strict=True):
        for i in range(n):
            stride = first_stride if i == 0 else 1
            drop = DROP_CONNECT * index / sum(repeats)  # the first block has index 0, as in EfficientNet-PyTorch
            index += 1
            out = make_divisible(c * width, 8)
            x = sandglass(net, x, out, stride, t, kernel, GROUPS[name], drop, f"block{index:02d}")
    return build_model(image, classifier(x, num_classes, dropout), name)


def sandglass(net: Layers, x, out: int, stride: int, t: int, kernel: int, groups: int, drop: float, name: str):
    """(batch, h, w, inp) to (batch, h / stride, w / stride, out).

    Where the width changes (but for t = 2) the first depthwise convolution and the groups are left
    out, and at stride 1 the last depthwise one too.
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
    x = squeeze_excite(x, max(1, int(out / t * 0.25)), name)
    if not has_shortcut:
        return x
    # Drop-connect: in training a whole image goes without the block, and the others make up for it.
    x = layers.Dropout(drop, noise_shape=(None, 1, 1, 1), name=f"{name}_drop")(x)
    return layers.Add(name=f"{name}_add")([x, identity])
