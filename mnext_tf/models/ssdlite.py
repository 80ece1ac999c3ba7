"""SSDLite: an SSD detector of separable convolutions (Liu et al. 2016, arXiv 1512.02325; Sandler et al. 2018).

Backbone, taps, and extra layers are those of the MobileNeXt authors' detection code. Two feature maps come from the
backbone, at strides 16 and 32, four more from extra layers behind it; each has a head for classes and one for boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.errors import ConfigError
from mnext_tf.models.blocks import Layers
from mnext_tf.models.priors import LEVELS, priors_per_cell

# Of RGB in [0, 255], as in the authors' SubtractMeans, which divides by ImageNet's deviations, too
MEAN, STD = (123.0, 117.0, 104.0), (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class Taps:
    """What a backbone gives: the layers of its two feature maps, and the extra layers' form, channels and shares.

    `inverted`: the extra layers are inverted residuals; else depthwise first, as in MobileNeXt. `hidden`: the channels
    within an extra layer over those of its input.
    """

    maps: tuple[str, str]
    inverted: bool
    channels: tuple[int, ...]
    hidden: tuple[float, ...]


# mobilenet_v1: conv11 and conv13 as in SSD MobileNetV1 (Howard et al. 2017, section 4.6; TensorFlow's Object Detection
# API, ssd_mobilenet_v1_feature_extractor); its extra layers are MobileNeXt's, since they end in 1x1 convolutions, too.
BACKBONES = {
    "mnext": Taps(("block13_expand", "block20_expand"), False, (512, 256, 256, 128), (0.2, 0.25, 0.5, 0.5)),
    "mobilenet_v2": Taps(("block13_add", "head"), True, (512, 256, 256, 64), (0.2, 0.5, 0.5, 0.5)),
    "mobilenet_v1": Taps(
        ("block11_pointwise", "block13_pointwise"), False, (512, 256, 256, 128), (0.2, 0.25, 0.5, 0.5)
    ),
}


def check_backbone(name: str, input_size: int, output_stride: int) -> None:
    """Raise ConfigError for a network that no detector is built on, or a size that does not fit it."""
    if name not in BACKBONES:
        raise ConfigError(f"A detector's backbone must be one of {', '.join(BACKBONES)}; received {name!r}.")
    if output_stride != 32:
        raise ConfigError(f"The backbone of a detector has output_stride 32; received {output_stride}.")
    if name == "mobilenet_v1" and input_size % 32:  # it rounds odd sides down, where priors are at sides rounded up
        raise ConfigError(f"A detector on mobilenet_v1 takes multiples of 32 pixels; received {input_size}.")


def outputs(net: Layers, x, model) -> list:
    """[class_logits (batch, priors, num_classes + 1), box_regression (batch, priors, 4)].

    x: what the backbone `model.name` gives, built with `net`. model: a ModelConfig; background is the first column.
    """
    taps = BACKBONES[model.name]
    maps = [net.outputs[name] for name in taps.maps]
    extra = inverted_extra if taps.inverted else depthwise_extra
    for number, (channels, share) in enumerate(zip(taps.channels, taps.hidden, strict=True), 1):
        x = extra(net, x, int(x.shape[-1] * share), channels, f"extra{number}")
        maps.append(x)
    columns = {"class": model.num_classes + 1, "box": 4}
    rows = {kind: [] for kind in columns}
    for level, (features, priors) in enumerate(zip(maps, priors_per_cell(model.priors), strict=True), 1):
        for kind, width in columns.items():
            found = head(net, features, priors * width, f"head{level}_{kind}", plain=level == LEVELS)
            count = features.shape[1] * features.shape[2] * priors
            rows[kind].append(net.layers.Reshape((count, width), name=f"head{level}_{kind}_rows")(found))
    names = {"class": "class_logits", "box": "box_regression"}
    return [joined(net, found, names[kind]) for kind, found in rows.items()]


def joined(net: Layers, rows: list, name: str):
    """All rows one below the other, in two steps: XNNPACK joins at most five tensors at once."""
    last = net.layers.Concatenate(axis=1, name=f"{name}_extra")(rows[2:])
    return net.layers.Concatenate(axis=1, name=name)([*rows[:2], last])


def _padding(net: Layers) -> str | None:
    """One that rounds odd sides up, as priors do."""
    return "same" if net.convention.padding == "same_even" else None


def depthwise_extra(net: Layers, x, hidden: int, out: int, name: str):
    """Halves the side: depthwise, reduce to `hidden`, expand to `out`."""
    x = net.depthwise(x, f"{name}_depthwise", stride=2, padding=_padding(net), activation="relu6")
    x = net.conv(x, hidden, 1, f"{name}_reduce", activation=None)
    return net.conv(x, out, 1, f"{name}_expand", activation="relu6")


def inverted_extra(net: Layers, x, hidden: int, out: int, name: str):
    """Halves the side: an inverted residual of `hidden` channels."""
    x = net.conv(x, hidden, 1, f"{name}_expand", activation="relu6")
    x = net.depthwise(x, f"{name}_depthwise", stride=2, padding=_padding(net), activation="relu6")
    return net.conv(x, out, 1, f"{name}_project", activation=None)


def head(net: Layers, x, channels: int, name: str, *, plain: bool):
    """A separable convolution with biases; `plain`: the 1x1 convolution alone."""
    if not plain:
        x = net.depthwise(x, f"{name}_depthwise", activation="relu6", use_bias=True)
    return net.layers.Conv2D(channels, 1, name=f"{name}_pointwise")(x)
