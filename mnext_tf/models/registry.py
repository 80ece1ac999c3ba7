"""The networks by name, and which arguments each takes. Does not import TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mnext_tf.errors import ConfigError, one_of
from mnext_tf.models.conventions import CONVENTIONS, Convention


@dataclass(frozen=True)
class Entry:
    """A network: its module, and what sets it apart from the others."""

    module: str
    convention: str = "pytorch"  # a name in CONVENTIONS; the option of that name overrides it
    options: dict[str, tuple] = field(default_factory=dict)  # name -> allowed values
    identity_tensor_multiplier: bool = False
    min_input_size: int = 16  # at output stride 32; below it, a convolution without padding has no output
    shortcuts: bool = True


_EITHER_CONVENTION = {"convention": ("pytorch", "tensorflow")}
REGISTRY = {
    "mnext": Entry("mnext_tf.models.mnext", identity_tensor_multiplier=True),
    "mnext_s": Entry("mnext_tf.models.mnext_large", "efficientnet", min_input_size=32),
    "mnext_l": Entry("mnext_tf.models.mnext_large", "efficientnet", min_input_size=32),
    "mobilenet_v1": Entry("mnext_tf.models.mobilenet_v1", "mobilenet_v1", min_input_size=31, shortcuts=False),
    "mobilenet_v2": Entry("mnext_tf.models.mobilenet_v2", options=_EITHER_CONVENTION),
    # as in the repository of the MobileNeXt authors
    "mobilenet_v2_mnext": Entry("mnext_tf.models.mobilenet_v2", options=_EITHER_CONVENTION),
}


def list_models() -> list[str]:
    """Names that `create_model` takes."""
    return sorted(REGISTRY)


def has_identity_tensor_multiplier(name: str) -> bool:
    """Whether a network's shortcuts can carry a part of the channels; False for unknown names."""
    return name in REGISTRY and REGISTRY[name].identity_tensor_multiplier


def convention_of(name: str, options: Mapping) -> Convention:
    """The convention of a network, given the options of `create_model`."""
    return CONVENTIONS[options.get("convention", REGISTRY[name].convention)]


def check_options(name: str, options: Mapping) -> None:
    """Raise ConfigError for an option that the network lacks, or for a value that the option does not allow."""
    own = REGISTRY[name].options
    for option, value in options.items():
        if takers := [n for n in list_models() if option in REGISTRY[n].options and option not in own]:
            raise ConfigError(
                f"{option}={value} does not fit model {name!r}: only {', '.join(takers)} have that option. Remove it."
            )
        one_of(f"argument of model {name!r}", option, own)
        one_of(f"{option} of model {name!r}", value, own[option])


def identity_divisor(multiplier: float) -> int:
    """The k of an identity tensor multiplier 1/k; ConfigError if k is not a whole number."""
    if isinstance(multiplier, int | float) and 0 < multiplier <= 1:
        k = round(1 / multiplier)
        if abs(multiplier * k - 1) <= 0.015:  # 0.33 means 1/3
            return k
    raise ConfigError(
        f"identity_tensor_multiplier must be 1/k for a whole k (1, 0.5, 0.25 ...); received {multiplier!r}."
    )
