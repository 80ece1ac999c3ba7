"""Paddle's .pdparams: a pickle of arrays, read without letting it call or change anything."""

from __future__ import annotations

import pickle
import pickletools
from pathlib import Path
from typing import BinaryIO

from mnext_tf.checkpoints.restricted_unpickler import SAFE_TYPES, Forbidden, finished
from mnext_tf.errors import CheckpointError

_NAME_TABLE = "StructuredToParameterName@@"  # Paddle's second names of the same tensors

_MOST_OBJECTS = 1 << 20


def read_paddle(path: Path) -> dict:
    """{name: array}. Raises CheckpointError, before anything is called, for a pickle that asks for more.

    A damaged file raises anything; `limits.damage` is for that.
    """
    with open(path, "rb") as f:
        _check_memo(f)
        f.seek(0)
        try:
            content = _ArraysOnly(f, encoding="latin1").load()
        except Forbidden as e:
            raise CheckpointError(
                f"{path} wants to run code: unpickling it would call {e}. Nothing was run. A file of weights needs "
                "no such call; do not open this one with other programs either."
            ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is a pickle of a {type(content).__name__}, not of arrays by name.")
    content.pop(_NAME_TABLE, None)
    return finished(content)


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        if f"{module}.{name}" == "collections.OrderedDict":
            return dict  # as ordered, and BUILD can set nothing of it
        try:
            return SAFE_TYPES[f"{module}.{name}"]
        except KeyError:
            raise Forbidden(f"{module}.{name}") from None

    def persistent_load(self, pid):
        raise Forbidden("a loader of external objects")


def _check_memo(f: BinaryIO) -> None:
    """ValueError for a number of an object that would make the unpickler allocate a table of that length."""
    for opcode, argument, _ in pickletools.genops(f):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > _MOST_OBJECTS:
            raise ValueError(f"it numbers an object {argument}")
