"""Names and arguments of the networks, checked without importing TensorFlow."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnext_tf.errors import ConfigError, one_of
from mnext_tf.files import reserve_space
from mnext_tf.models.conventions import CONVENTIONS, Convention

_HDF5_BYTES = 4096  # of a tensor, beside its values: more than was found (1.6 kB)


@dataclass(frozen=True)
class Entry:
    """Where a network is built, and the keyword arguments that only some networks take."""

    module: str
    convention: str = "pytorch"  # one of CONVENTIONS; that of an option goes before
    options: dict[str, tuple] = field(default_factory=dict)  # name -> allowed values
    identity_tensor_multiplier: bool = False


_EITHER_CONVENTION = {"convention": ("pytorch", "tensorflow")}
_REGISTRY = {
    "mnext": Entry("mnext_tf.models.mnext", identity_tensor_multiplier=True),
    "mnext_s": Entry("mnext_tf.models.mnext_large", "efficientnet"),
    "mnext_l": Entry("mnext_tf.models.mnext_large", "efficientnet"),
    "mobilenet_v1": Entry("mnext_tf.models.mobilenet_v1", "mobilenet_v1"),
    "mobilenet_v2": Entry("mnext_tf.models.mobilenet_v2", options=_EITHER_CONVENTION),
    # as the MobileNeXt authors' repository has it
    "mobilenet_v2_mnext": Entry("mnext_tf.models.mobilenet_v2", options=_EITHER_CONVENTION),
}


def list_models() -> list[str]:
    """Names that `create_model` takes."""
    return sorted(_REGISTRY)


def has_identity_tensor_multiplier(name: str) -> bool:
    """Whether a network's shortcuts can carry a part of the channels; False for names not known here."""
    return name in _REGISTRY and _REGISTRY[name].identity_tensor_multiplier


def normalization_of(name: str, options: Mapping | None = None) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) per RGB channel, in units of [0, 255], that a network has unless given others.

    `options` are those of `create_model`, such as the convention. ConfigError for an unknown name.
    """
    one_of("model", name, list_models())
    convention = _convention(name, options or {})
    return convention.mean, convention.std


def _convention(name: str, options: Mapping) -> Convention:
    return CONVENTIONS[options.get("convention", _REGISTRY[name].convention)]


def check_model_arguments(
    name: str,
    *,
    width: float = 1.0,
    num_classes: int = 1000,
    input_size: int = 224,
    identity_tensor_multiplier: float = 1.0,
    dropout: float = 0.2,
    include_preprocessing: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options,
) -> None:
    """Raise ConfigError for anything `create_model` would refuse. Does not import TensorFlow."""
    one_of("model", name, list_models())
    entry = _REGISTRY[name]
    if not (isinstance(width, int | float) and math.isfinite(width) and 0 < width <= 10):
        raise ConfigError(f"width must be above 0 and at most 10; received {width!r}.")
    if not (isinstance(num_classes, int) and num_classes >= 1):
        raise ConfigError(f"num_classes must be a whole number of 1 or more; received {num_classes!r}.")
    if not (isinstance(input_size, int) and 16 <= input_size <= 2048):
        raise ConfigError(f"input_size must be a whole number of pixels from 16 to 2048; received {input_size!r}.")
    if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
        raise ConfigError(f"dropout must be at least 0 and below 1; received {dropout!r}.")
    _check_channels("mean", mean)
    _check_channels("std", std)
    identity_divisor(identity_tensor_multiplier)
    if identity_tensor_multiplier != 1 and not entry.identity_tensor_multiplier:
        takes = ", ".join(n for n, e in sorted(_REGISTRY.items()) if e.identity_tensor_multiplier)
        raise ConfigError(
            f"identity_tensor_multiplier={identity_tensor_multiplier:g} does not fit model {name!r}: "
            f"only {takes} has one; leave it at 1."
        )
    for option, value in options.items():
        if takers := [n for n, e in sorted(_REGISTRY.items()) if option in e.options and option not in entry.options]:
            raise ConfigError(
                f"{option}={value} does not fit model {name!r}: only {', '.join(takers)} have one; leave it out."
            )
        one_of(f"argument of model {name!r}", option, entry.options)
        one_of(f"{option} of model {name!r}", value, entry.options[option])


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
            f"{name} must be {what}, for red, green and blue in units of [0, 255]; received {values!r}. "
            "Leave it out for the network's own."
        )


def identity_divisor(multiplier: float) -> int:
    """The k of an identity tensor multiplier 1/k; ConfigError where there is no such whole k."""
    if not (isinstance(multiplier, int | float) and 0 < multiplier <= 1):
        raise ConfigError(
            f"identity_tensor_multiplier must be 1/k for a whole k (1, 0.5, 0.25 ...); received {multiplier!r}."
        )
    k = round(1 / multiplier)
    if abs(multiplier * k - 1) > 0.015:  # 0.33 is meant as 1/3
        raise ConfigError(
            f"identity_tensor_multiplier must be 1/k for a whole k (1, 0.5, 0.25 ...); received {multiplier!r}."
        )
    return k


def create_model(
    name: str,
    *,
    width: float = 1.0,
    num_classes: int = 1000,
    input_size: int = 224,
    identity_tensor_multiplier: float = 1.0,
    include_preprocessing: bool = True,
    dropout: float = 0.2,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options,
):
    """Build a network as a functional `tf.keras.Model`.

    Args:
      name: one of `list_models()`.
      width: multiplier of the channel counts (`mnext_s` and `mnext_l` were published at 1 only).
      num_classes: size of the last dense layer.
      input_size: side of the square input, in pixels.
      identity_tensor_multiplier: 1/k; the share of channels that a shortcut carries (`mnext` only).
      include_preprocessing: True puts the pixel normalisation inside, so that the input is RGB in
        [0, 255]; False uses the input as it is.
      dropout: rate before the last dense layer.
      mean, std: three numbers each, for red, green and blue in units of [0, 255], that the pixel
        normalisation takes instead of the network's own (see `normalization_of`).
      **options: `convention="pytorch" | "tensorflow"` for the MobileNetV2s: padding of strided
        convolutions, batch-norm constants and pixel normalisation. The other networks have one of
        their own: `mnext` PyTorch's, `mobilenet_v1` that of keras.applications, `mnext_s` and
        `mnext_l` EfficientNet's.

    Returns:
      A model from float images (batch, input_size, input_size, 3) to logits (batch, num_classes).

    Raises:
      ConfigError (a ValueError): an argument is out of range; the text names what is allowed.
    """
    check_model_arguments(
        name,
        width=width,
        num_classes=num_classes,
        input_size=input_size,
        identity_tensor_multiplier=identity_tensor_multiplier,
        dropout=dropout,
        mean=mean,
        std=std,
        **options,
    )
    entry = _REGISTRY[name]
    given = {"name": name, "width": width, "num_classes": num_classes, "input_size": input_size}
    given |= {"identity_tensor_multiplier": identity_tensor_multiplier, "dropout": dropout, "options": dict(options)}
    given |= {"mean": mean and tuple(mean), "std": std and tuple(std)}
    convention = _convention(name, options)
    options["convention"] = dataclasses.replace(
        convention, mean=tuple(mean or convention.mean), std=tuple(std or convention.std)
    )
    if entry.identity_tensor_multiplier:
        options["identity_divisor"] = identity_divisor(identity_tensor_multiplier)
    model = importlib.import_module(entry.module).build(
        name,
        width=width,
        num_classes=num_classes,
        input_size=input_size,
        include_preprocessing=include_preprocessing,
        dropout=dropout,
        **options,
    )
    if include_preprocessing:  # what `mnext_tf.export` needs to know of a model without a run folder
        model.mnext_config = given
    return model


def save_weights(model, path: Path) -> None:
    """Write `path` (.weights.h5). OSError where the disk is full: HDF5 itself ends the process then."""
    reserve_space(path, sum(w.numpy().nbytes for w in model.weights) + _HDF5_BYTES * len(model.weights))
    model.save_weights(path)


def create_model_from(config: dict, **changes):
    """The network of a run's `config["model"]`; `changes` replace arguments of `create_model`."""
    arguments = {**config, **config.get("options", {}), **changes}
    arguments.pop("options", None)
    return create_model(arguments.pop("name"), **arguments)
