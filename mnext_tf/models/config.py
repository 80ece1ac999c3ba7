"""The configuration of a network: its arguments, their defaults and ranges, and the network built from them."""

from __future__ import annotations

import dataclasses
import importlib
import math
from dataclasses import dataclass
from typing import Self

from mnext_tf.errors import ConfigError, one_of
from mnext_tf.models import registry, ssdlite
from mnext_tf.models.blocks import Layers
from mnext_tf.models.priors import PRIORS
from mnext_tf.records import Record, field

OUTPUT_STRIDES = (8, 16, 32)


def default_output_stride(input_size: int) -> int:
    """The output stride of recipes; from 24 pixels on it leaves the last feature map at least 3 pixels wide."""
    return 8 if input_size <= 48 else 16 if input_size <= 96 else 32


@dataclass(frozen=True)
class ModelConfig(Record):
    """The network of a run. Raises ConfigError for a value out of range, or one that does not fit the network."""

    name: str
    num_classes: int = field(
        1000,
        "Classes of the network.",
        at_least=1,
        at_most=1_000_000,
        why="(the classifier alone has 1280 weights each)",
    )
    width: float = field(1.0, "Width multiplier of the network.", above=0, at_most=10)
    input_size: int = field(224, "Side of the square input, in pixels.", at_least=16, at_most=2048)
    identity_tensor_multiplier: float = field(
        1.0, "Share 1/k of the channels that mnext's shortcuts carry.", absent=1.0
    )
    dropout: float = field(0.2, "Dropout rate before the last dense layer.", at_least=0, below=1)
    drop_connect: float = field(
        0.0, "Rate at which training leaves out the last block; the first has 0.", at_least=0, below=1, absent=0.0
    )
    output_stride: int = field(
        32, "Side of the image over that of the last feature map.", choices=OUTPUT_STRIDES, absent=32
    )
    options: dict = field({}, "Further arguments, such as the convention of a MobileNetV2.", absent={})
    mean: tuple[float, ...] | None = field(None, "Subtracted from red, green and blue in [0, 255].", absent=None)
    std: tuple[float, ...] | None = field(None, "Divides red, green and blue in [0, 255].", absent=None)
    priors: str = field("", "Boxes that a detector starts from; empty: a classifier.", choices=("", *PRIORS), absent="")

    def __post_init__(self):
        one_of("model", self.name, registry.list_models())
        registry.identity_divisor(self.identity_tensor_multiplier)
        for name in ("mean", "std"):
            _check_channels(name, getattr(self, name))
            if getattr(self, name) is not None:  # a list, perhaps
                object.__setattr__(self, name, tuple(getattr(self, name)))
        super().__post_init__()
        entry = registry.REGISTRY[self.name]
        smallest = entry.min_input_size * self.output_stride // 32
        if self.input_size < smallest:
            raise ConfigError(
                f"input_size of {self.name} must be at least {smallest}, below which its last feature maps are empty; "
                f"received {self.input_size}. A lower output_stride allows smaller images."
            )
        if self.drop_connect and not entry.shortcuts:
            raise ConfigError(
                f"drop_connect={self.drop_connect:g} does not fit model {self.name!r}, whose blocks have no shortcut "
                "that could replace them. Leave it at 0."
            )
        if self.identity_tensor_multiplier != 1 and not entry.identity_tensor_multiplier:
            takers = ", ".join(filter(registry.has_identity_tensor_multiplier, registry.list_models()))
            raise ConfigError(
                f"identity_tensor_multiplier={self.identity_tensor_multiplier:g} does not fit model {self.name!r}: "
                f"only {takers} has one. Leave it at 1."
            )
        registry.check_options(self.name, self.options)
        if self.priors and self.identity_tensor_multiplier != 1:
            raise ConfigError(
                f"identity_tensor_multiplier={self.identity_tensor_multiplier:g} is for classifiers; detectors have "
                "whole shortcuts. Leave it at 1."
            )
        if self.priors:
            ssdlite.check_backbone(self.name, self.input_size, self.output_stride)

    @classmethod
    def from_dict(cls, value, where: str = "") -> Self:
        """See `Record.from_dict`. Before drop_connect was a field, mnext_s and mnext_l had it at 0.2."""
        if isinstance(value, dict) and value.get("name") in ("mnext_s", "mnext_l"):
            value = {"drop_connect": 0.2, **value}
        return super().from_dict(value, where)

    @property
    def normalization(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """(mean, std) per RGB channel, in units of [0, 255]: those given, else those of the network's convention.

        A detector's own are those that the MobileNeXt authors trained theirs with.
        """
        convention = registry.convention_of(self.name, self.options)
        mean, std = (ssdlite.MEAN, ssdlite.STD) if self.priors else (convention.mean, convention.std)
        return self.mean or mean, self.std or std

    def create(self, include_preprocessing: bool = True):
        """The Keras network, with new weights."""
        from mnext_tf.models import keras_layers

        model = self._build(keras_layers, include_preprocessing)
        if include_preprocessing:
            model.mnext_config = self  # for `mnext_tf.export` of a model that has no run folder
        return model

    def outline(self):
        """The network's layers with shapes only (see `outline`): takes milliseconds, and no TensorFlow."""
        from mnext_tf.models import outline

        return self._build(outline)

    def _build(self, layers, include_preprocessing: bool = True):
        mean, std = self.normalization
        convention = registry.convention_of(self.name, self.options)
        convention = dataclasses.replace(convention, mean=mean, std=std)
        net = Layers(layers, convention, self.output_stride, self.drop_connect)
        image, x = net.image(self.input_size, include_preprocessing)
        x = importlib.import_module(registry.REGISTRY[self.name].module).features(net, x, self)
        outputs = ssdlite.outputs(net, x, self) if self.priors else net.classifier(x, self.num_classes, self.dropout)
        return layers.Model(image, outputs, name=self.name)


def _check_channels(name: str, values) -> None:
    """ConfigError unless `values` is None or three finite numbers, and for `std` each above 0."""
    if values is None:
        return
    numbers = isinstance(values, list | tuple) and all(
        isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values
    )
    if not (numbers and len(values) == 3 and (name == "mean" or min(values) > 0)):
        what = "three finite numbers" + (" above 0" if name == "std" else "")
        raise ConfigError(
            f"{name} must be {what}, for red, green, and blue in units of [0, 255]; received {values!r}. "
            "Remove it to use the network's own."
        )


def check_model_arguments(name: str, **arguments) -> None:
    """Raise ConfigError for anything `create_model` would refuse. Does not import TensorFlow."""
    fields = {k: arguments.pop(k) for k in list(arguments) if k in ModelConfig.__dataclass_fields__}
    ModelConfig(name, **fields, options=arguments)
