"""Paddle's .pdparams: a pickle of arrays, loaded with a restricted unpickler."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.checkpoints.restricted_unpickler import Forbidden, load, to_arrays
from mnext_tf.errors import CheckpointError

_NAME_TABLE = "StructuredToParameterName@@"  # Paddle's second names of the same tensors


def read_paddle(path: Path) -> dict:
    """{name: array}. Raises CheckpointError, before calling anything, for a pickle that requests more.

    A damaged file may raise anything; see `limits.report_damage`.
    """
    try:
        with open(path, "rb") as f:
            content = load(f)
    except Forbidden as e:
        raise CheckpointError(
            f"{path} tries to execute code: unpickling it would call {e}. Nothing was executed. Weights need no such "
            "call; do not open this file with other programs either."
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is a pickle of a {type(content).__name__}, not of named arrays.")
    content.pop(_NAME_TABLE, None)
    return to_arrays(content)
