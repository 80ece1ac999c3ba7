"""What makes a network: the arguments of `create_model`, their defaults and ranges."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.models.registry import check_model_arguments, create_model
from mnext_tf.records import Record, field


@dataclass(frozen=True)
class ModelConfig(Record):
    """The network of a run; ConfigError for anything `create_model` would refuse."""

    name: str
    num_classes: int = field(1000, "Classes of the network.")
    width: float = field(1.0, "Width multiplier of the network.")
    input_size: int = field(224, "Side of the square input, in pixels.")
    identity_tensor_multiplier: float = field(
        1.0, "Share 1/k of the channels that mnext's shortcuts carry.", absent=1.0
    )
    dropout: float = field(0.2, "Dropout rate before the last dense layer.")
    options: dict = field({}, "Further arguments, such as the convention of a MobileNetV2.", absent={})
    mean: tuple[float, ...] | None = field(None, "Subtracted from red, green and blue in [0, 255].", absent=None)
    std: tuple[float, ...] | None = field(None, "Divides red, green and blue in [0, 255].", absent=None)

    def __post_init__(self):
        super().__post_init__()
        check_model_arguments(self.name, **self.arguments())

    def arguments(self) -> dict:
        """Keyword arguments of `create_model`."""
        fields = ("num_classes", "width", "input_size", "identity_tensor_multiplier", "dropout", "mean", "std")
        return {**{name: getattr(self, name) for name in fields}, **self.options}

    def create(self, **changes):
        """The network, with new weights; `changes` replace arguments of `create_model`."""
        return create_model(self.name, **{**self.arguments(), **changes})
