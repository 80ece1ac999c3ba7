"""A restricted unpickler: a pickle may use only the safe replacements for NumPy's types that are defined here.

A pickle can call any global that it is given, and set the state of the result (BUILD). With a forged state, NumPy's
dtype would read numbers as pointers, and a Python function would change its defaults for the whole process. So a
pickle gets no function and none of NumPy's types, only classes with slots and their own `__setstate__`. They record
what the pickle says; `to_arrays` checks it and makes the arrays after unpickling has ended.
"""

from __future__ import annotations

import math
import pickle
import pickletools
import re
from typing import BinaryIO

import numpy as np


class Forbidden(Exception):
    """Names what a pickle tried to call."""


class NotNumeric(Exception):
    """Names the kind of array that a pickle requested."""


class _Record:
    __slots__ = ()

    def __setstate__(self, state) -> None:
        raise ValueError(f"{type(self).__name__} takes no state")


class DType(_Record):
    """numpy.dtype of numbers. Raises NotNumeric for any other, ValueError for any state but a byte order."""

    __slots__ = ("kind", "order")

    def __init__(self, kind, align=False, copy=True):
        if type(kind) is not str or not re.fullmatch(r"[<>|=]?(f[248]|[iu][1248]|b1)", kind):
            what = "Python objects" if str(kind).startswith(("O", "|O")) else "values"
            raise NotNumeric(f"an array of {what} of dtype {str(kind)[:40]!r}")
        self.kind = kind.lstrip("<>|=")
        self.order = kind.removesuffix(self.kind) or "="

    def __setstate__(self, state) -> None:
        # version, byte order, sub-dtype, names, fields, size, alignment, flags
        if (
            type(state) is not tuple
            or state[2:] != (None, None, None, -1, -1, 0)
            or state[1] not in ("<", ">", "|", "=")
        ):
            raise ValueError("the dtype of an array has a state that numeric dtypes do not have")
        self.order = state[1]

    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.kind)


class Array(_Record):
    """numpy.ndarray and its _reconstruct: empty until its state is set."""

    __slots__ = ("axes", "data", "dtype", "order", "shape")

    def __init__(self, *ignored):
        pass  # a type, a shape, and a type code; the state replaces all

    def __setstate__(self, state) -> None:
        _, shape, dtype, fortran, data = state
        self._record(shape, dtype, "F" if fortran else "C", data)

    def _record(self, shape, dtype, order: str, data, axes=None) -> None:
        if type(data) is str:  # bytes from Python 2
            data = data.encode("latin1")
        if type(shape) is not tuple or type(dtype) is not DType or type(data) not in (bytes, bytearray):
            raise ValueError("an array's state is not a shape, a dtype, and bytes")
        if any(type(n) is not int or n < 0 for n in shape) or len(shape) > 32:
            raise ValueError(f"an array of shape {str(shape)[:80]}")
        self.shape, self.dtype, self.order, self.data, self.axes = shape, dtype, order, data, axes

    def array(self) -> np.ndarray:
        """The array, read-only if the pickle held bytes. Raises ValueError for inconsistent sizes."""
        dtype = self.dtype.dtype()
        if math.prod(self.shape) * dtype.itemsize != len(self.data):
            raise ValueError(f"an array of shape {self.shape} and dtype {dtype} has {len(self.data)} bytes")
        array = np.frombuffer(self.data, dtype).reshape(self.shape, order=self.order)
        return array if self.axes is None else array.transpose(self.axes)


class FromBuffer(_Record):
    """numpy's _frombuffer: an array in pickle protocol 5."""

    __slots__ = ()

    def __new__(cls, data, dtype, shape, order, axes=None):
        if order not in ("C", "F", "K"):
            raise ValueError(f"an array of order {str(order)[:40]!r}")
        made = Array()
        made._record(shape, dtype, "F" if order == "F" else "C", data, axes if order == "K" else None)
        return made


class Scalar(Array):
    """A scalar, such as the best accuracy."""

    __slots__ = ()

    def __init__(self, dtype, data=b""):
        self._record((), dtype, "C", data)


class Encode(_Record):
    """_codecs.encode: bytes in protocol 2. Looking up any other codec would import a module by name."""

    __slots__ = ()

    def __new__(cls, text, encoding="latin1"):
        if encoding not in ("latin1", "latin-1"):
            raise Forbidden(f"_codecs.encode with {str(encoding)[:40]!r}")
        return text.encode("latin1")


_MAX_OBJECTS = 1 << 20

_NUMPY = {
    # how NumPy pickles arrays: up to protocol 4, and in 5
    "multiarray._reconstruct": Array,
    "numeric._frombuffer": FromBuffer,
    "multiarray.scalar": Scalar,
}

# Global in a pickle -> its replacement. NumPy 2 renamed its core.
SAFE_TYPES = {
    "numpy.dtype": DType,
    "numpy.ndarray": Array,
    "_codecs.encode": Encode,
    **{f"numpy.{core}.{name}": made for core in ("core", "_core") for name, made in _NUMPY.items()},
}


class RestrictedUnpickler(pickle.Unpickler):
    """Raises Forbidden for any global but those of arrays and dictionaries."""

    def find_class(self, module: str, name: str):
        if f"{module}.{name}" == "collections.OrderedDict":
            return dict  # also ordered, and BUILD cannot set its attributes
        try:
            return SAFE_TYPES[f"{module}.{name}"]
        except KeyError:
            raise Forbidden(f"{module}.{name}") from None

    def persistent_load(self, pid):
        raise Forbidden("a loader of external objects")


def load(f: BinaryIO) -> object:
    """The object in a pickle, for `to_arrays`.

    Raises Forbidden for a pickle that requests other globals, and ValueError for an object index that would make the
    unpickler allocate a huge memo table.
    """
    for opcode, argument, _ in pickletools.genops(f):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and argument > _MAX_OBJECTS:
            raise ValueError(f"it numbers an object {argument}")
    f.seek(0)
    return RestrictedUnpickler(f, encoding="latin1").load()


def to_arrays(content: object, leaf=lambda value, name: value) -> object:
    """`content` with replacements converted to arrays, in nested mappings; `leaf(value, key)` converts the rest.

    A shared mapping is converted once: a small file can nest one 2 ** 100 times.
    """
    done: dict[int, dict] = {}

    def convert(value, name: str):
        if isinstance(value, Array):
            try:
                array = value.array()
            except ValueError as e:
                raise ValueError(f"{name}: {e}") from None
            return array[()] if isinstance(value, Scalar) else array
        if not isinstance(value, dict):
            return leaf(value, name)
        if id(value) not in done:
            done[id(value)] = made = {}
            # not value.items(), an attribute that a pickle can set on an OrderedDict
            made.update({k: convert(v, str(k)) for k, v in dict.items(value)})
        return done[id(value)]

    return convert(content, "")
