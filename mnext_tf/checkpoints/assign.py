"""Copies a checkpoint's tensors into a network: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mnext_tf.errors import CheckpointError


class Target(NamedTuple):
    """The variable that a tensor is for, and the tensor's `layout` in the file.

    "conv" (out, in, h, w), "depthwise" (channels, 1, h, w), "dense" (out, in), "dense_1x1" (1, 1, in, out), "keras"
    like the variable.
    """

    variable: object
    layout: str


def assign(
    model, tensors: Mapping[str, np.ndarray], targets: Mapping[str, Target], *, unused=(), hint: str = ""
) -> None:
    """Copy `tensors` into the variables of `model` that `targets` gives.

    Args:
      unused: names of optional tensors that the network does not use.
      hint: appended to an error about names.

    Raises CheckpointError, with nothing changed, if a tensor is missing, unexpected, misshapen, not floating-point, or
    not finite; the text names it.
    """
    if reason := mismatch(model.name, tensors, targets, unused, hint):
        raise CheckpointError(reason)
    values = []
    for name, (variable, layout) in targets.items():
        value = np.asarray(tensors[name])
        if value.dtype.kind != "f":
            raise CheckpointError(f"{name} contains {value.dtype} values; weights are floating-point numbers.")
        if not np.isfinite(value).all():
            raise CheckpointError(
                f"{name} contains NaN or infinite values: {(~np.isfinite(value)).sum()} of {value.size}. The training "
                "that wrote this checkpoint diverged; use an earlier checkpoint."
            )
        values.append((variable, _to_keras(value, layout)))
    for variable, value in values:
        variable.assign(
            value.astype(variable.dtype if isinstance(variable.dtype, str) else variable.dtype.as_numpy_dtype)
        )


def mismatch(
    model_name: str, tensors: Mapping[str, np.ndarray], targets: Mapping[str, Target], unused=(), hint: str = ""
) -> str:
    """Why names or shapes do not match; "" if all do."""
    missing = [name for name in targets if name not in tensors]
    extra = [n for n in tensors if n not in targets and n not in unused and not n.endswith("num_batches_tracked")]
    if missing or extra:
        names = _names("missing", missing) + _names("unexpected", extra)
        return f"The state dict does not match {model_name!r}: {names}{hint}"
    for name, (variable, layout) in targets.items():
        expected = file_shape(tuple(variable.shape), layout)
        if np.shape(tensors[name]) != expected:
            return (
                f"{name} has shape {np.shape(tensors[name])}; {model_name!r} as configured needs {expected}. "
                "Width or number of classes differ: create the model with those of the checkpoint."
            )
    return ""


_AXES = {"conv": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1), "dense": (1, 0)}  # of the file, in the variable's order


def file_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape in a file, in `layout`, of a variable of `shape`."""
    if layout == "dense_1x1":
        return (1, 1, *shape)
    axes = _AXES.get(layout, range(len(shape)))
    return tuple(shape[axes.index(i)] for i in range(len(shape)))


def _to_keras(value: np.ndarray, layout: str) -> np.ndarray:
    return value[0, 0] if layout == "dense_1x1" else value.transpose(_AXES.get(layout, range(value.ndim)))


def _names(what: str, names: list[str], limit: int = 5) -> str:
    if not names:
        return ""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{len(names)} {what}: {', '.join(names[:limit])}{more}. "
