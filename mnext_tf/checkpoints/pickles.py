"""Paddle's .pdparams: a pickle of arrays, read without letting it call anything else."""

from __future__ import annotations

import collections
import pickle
from pathlib import Path

import numpy as np

from mnext_tf.errors import CheckpointError

_NAME_TABLE = "StructuredToParameterName@@"  # Paddle's second names of the same tensors


def read_paddle(path: Path) -> dict:
    """{name: array}. Raises CheckpointError, before anything is called, for a pickle that asks for more."""
    with open(path, "rb") as f:
        try:
            content = _ArraysOnly(f, encoding="latin1").load()
        except _Forbidden as e:
            raise CheckpointError(
                f"{path} wants to run code: unpickling it would call {e}. Nothing was run. A file of weights needs "
                "no such call; do not open this one with other programs either."
            ) from None
        except (pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError) as e:
            raise CheckpointError(f"{path} is cut short or damaged ({e}). Download or copy it again.") from e
        except (MemoryError, OverflowError) as e:
            raise CheckpointError(f"{path} asks for more memory than there is; it is damaged.") from e
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is a pickle of a {type(content).__name__}, not of arrays by name.")
    content.pop(_NAME_TABLE, None)
    for name, value in content.items():
        if isinstance(value, np.ndarray) and value.dtype.hasobject:
            raise CheckpointError(f"{path}: {name} is an array of Python objects, not of numbers.")
    return content


class _Forbidden(Exception):
    """The global that a pickle asked for."""


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str):
        module = module.replace("numpy.core", "numpy._core")  # NumPy 2 renamed it
        if (module, name) in _allowed():
            return _allowed()[module, name]
        raise _Forbidden(f"{module}.{name}")

    def persistent_load(self, pid):
        raise _Forbidden("a loader of external objects")


def _allowed() -> dict:
    array = np.zeros(1)
    return {
        # how NumPy itself makes an array of a pickle, until protocol 4 and in 5
        ("numpy._core.multiarray", "_reconstruct"): array.__reduce__()[0],
        ("numpy._core.numeric", "_frombuffer"): array.__reduce_ex__(5)[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("collections", "OrderedDict"): collections.OrderedDict,
        ("_codecs", "encode"): _latin1,
    }


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    """How protocol 2 writes bytes. Other codecs are refused: looking one up imports a module by name."""
    if encoding != "latin1":
        raise _Forbidden(f"_codecs.encode with {encoding!r}")
    return text.encode("latin1")
