"""Copying a checkpoint's tensors into a network: all of them or none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from mnext_tf.errors import CheckpointError


class Target(NamedTuple):
    """Where a tensor goes. `layout`: how the file has it.

    "conv" (out, in, h, w), "depthwise" (channels, 1, h, w), "dense" (out, in), "dense_1x1" (1, 1, in, out),
    "keras" as the variable has it.
    """

    variable: object
    layout: str


def assign(
    model, tensors: Mapping[str, np.ndarray], targets: Mapping[str, Target], *, unused=(), hint: str = ""
) -> None:
    """Copy `tensors` into the variables of `model` that `targets` names.

    Args:
      unused: names of tensors that the network has no place for and that may be there.
      hint: added to the error about names that do not fit.

    Raises CheckpointError, with nothing changed, where a tensor is missing, extra, of another shape, no
    number or not finite; the text names it.
    """
    missing, extra = _missing(tensors, targets), _extra(tensors, targets, unused)
    if missing or extra:
        raise CheckpointError(
            f"The state dict does not fit {model.name!r}: " + _names("missing", missing) + _names("extra", extra) + hint
        )
    values = []
    for name, (variable, layout) in targets.items():
        value = np.asarray(tensors[name])
        expected = file_shape(tuple(variable.shape), layout)
        if value.shape != expected:
            raise CheckpointError(
                f"{name} has shape {value.shape}; {model.name!r} as built here takes {expected}. "
                "Width or number of classes differ: build the model with those of the checkpoint."
            )
        if value.dtype.kind != "f":
            raise CheckpointError(f"{name} holds {value.dtype} values; weights are floating-point numbers.")
        if not np.isfinite(value).all():
            raise CheckpointError(
                f"{name} holds NaN or infinite values: {(~np.isfinite(value)).sum()} of {value.size}. The training "
                "that wrote this checkpoint had gone wrong; take an earlier one."
            )
        values.append((variable, _to_keras(value, layout)))
    for variable, value in values:
        variable.assign(
            value.astype(variable.dtype if isinstance(variable.dtype, str) else variable.dtype.as_numpy_dtype)
        )


def fits(tensors: Mapping[str, np.ndarray], targets: Mapping[str, Target], unused=()) -> bool:
    """Whether every target is there, in its shape, and nothing else."""
    if _missing(tensors, targets) or _extra(tensors, targets, unused):
        return False
    return all(tensors[n].shape == file_shape(tuple(t.variable.shape), t.layout) for n, t in targets.items())


def _missing(tensors, targets) -> list[str]:
    return [name for name in targets if name not in tensors]


def _extra(tensors, targets, unused) -> list[str]:
    return [n for n in tensors if n not in targets and n not in unused and not n.endswith("num_batches_tracked")]


def file_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    """The shape that a variable of `shape` has in a file of `layout`."""
    if layout == "conv":
        return (shape[3], shape[2], shape[0], shape[1])
    if layout == "depthwise":
        return (shape[2], shape[3], shape[0], shape[1])
    if layout == "dense_1x1":
        return (1, 1, *shape)
    return shape[::-1] if layout == "dense" else shape


def _to_keras(value: np.ndarray, layout: str) -> np.ndarray:
    if layout == "conv":  # (out, in, h, w) -> (h, w, in, out)
        return value.transpose(2, 3, 1, 0)
    if layout == "depthwise":  # (channels, 1, h, w) -> (h, w, channels, 1)
        return value.transpose(2, 3, 0, 1)
    if layout == "dense_1x1":
        return value[0, 0]
    return value.T if layout == "dense" else value


def _names(what: str, names: list[str], most: int = 5) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {what}: {', '.join(names[:most])}{more}. "
