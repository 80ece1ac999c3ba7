"""Configuration records: frozen dataclasses that travel as JSON.

Each field says its default, help text and range once; flags, validation and documentation read them here:

    @dataclass(frozen=True)
    class Augment(Record):
        flip: bool = field(True, "Random horizontal flips.")
        shift: float = field(0.0, "Random shift, as a share of the side.", at_least=0, below=1)

A record is written with a version. A field that was added later has `absent`: the value that folders written before
it stand for. Unknown fields and missing ones are errors that name them.
"""

from __future__ import annotations

import copy
import dataclasses
import operator
import reprlib
import sys
import types
import typing
from typing import Any, ClassVar, Self

from mnext_tf.errors import ConfigError, one_of

_BOUNDS = {
    "at_least": (operator.ge, "at least"),
    "above": (operator.gt, "above"),
    "at_most": (operator.le, "at most"),
    "below": (operator.lt, "below"),
}
_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text", dict: "an object"}


def field(default: Any = dataclasses.MISSING, help: str = "", **metadata):
    """A field of a record.

    Args:
      default: its value unless given; without one the field is required. A dict or list is copied.
      help: one sentence, for flags and documentation.
      metadata: `at_least`, `above`, `at_most`, `below` (bounds of a number), `choices`, `absent` (see the module).
    """
    metadata["help"] = help
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: copy.deepcopy(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def like(record: type[Record], name: str):
    """The field `name` of another record: its default, help and range."""
    f = record.__dataclass_fields__[name]
    return field(f.default, **f.metadata)


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of all records. Creating one raises ConfigError for a value of another type or out of range.

    Fields are bool, int, float (finite; whole numbers too), str, dict, dict[str, X], tuple[X, ...] or records, and
    `X | None` of these.
    """

    VERSION: ClassVar[int] = 1

    def __post_init__(self):
        hints = field_types(type(self))
        for f in dataclasses.fields(self):
            check_field(f, hints[f.name], getattr(self, f.name))

    def to_dict(self) -> dict:
        return {"version": self.VERSION, **{f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}}

    @classmethod
    def from_dict(cls, value, where: str = "") -> Self:
        """The record that `to_dict` wrote, of this or an earlier version.

        Raises ConfigError naming what is missing, unknown or out of range; `where` is the file, for the message.
        """
        where = f"{where}: " if where else ""
        name = cls.__name__
        if not isinstance(value, dict):
            raise ConfigError(f"{where}{name} must be a JSON object; found {type(value).__name__}.")
        values = dict(value)
        version = values.pop("version", 1)
        if not (_is(version, int) and 1 <= version <= cls.VERSION):
            raise ConfigError(
                f"{where}{name} has version {_short(version)}; this release reads 1 to {cls.VERSION}. Update mnext-tf."
            )
        fields = {f.name: f for f in dataclasses.fields(cls)}
        if unknown := [_short(name) for name in values if name not in fields]:
            raise ConfigError(
                f"{where}{name} has the unknown field{'s' * (len(unknown) > 1)} {', '.join(unknown)}; known "
                f"are {', '.join(fields)}. A newer release of mnext-tf wrote it, or it was edited."
            )
        absent = {n: f.metadata["absent"] for n, f in fields.items() if n not in values and "absent" in f.metadata}
        if missing := [n for n in fields if n not in values and n not in absent]:
            raise ConfigError(f"{where}{name} lacks {', '.join(missing)}.")
        hints = field_types(cls)
        try:
            return cls(**{n: _parse(n, base_type(hints[n]), v) for n, v in {**values, **absent}.items()})
        except (TypeError, ValueError, OverflowError, RecursionError) as e:  # ConfigError is a ValueError
            raise ConfigError(f"{where}{e}") from e


def field_types(cls) -> dict[str, Any]:
    """Field name -> type; `X | None` stays as it is."""
    return typing.get_type_hints(cls)


def base_type(hint) -> Any:
    """X of `X | None`, else the type itself."""
    options = [t for t in typing.get_args(hint) if t is not types.NoneType]
    return options[0] if isinstance(hint, types.UnionType) and len(options) == 1 else hint


def check_field(f: dataclasses.Field, hint, value) -> None:
    """Raise ConfigError unless `value` is of the field's type and in its range."""
    kind, limits = base_type(hint), f.metadata
    if value is None and kind is not hint:
        return
    bounds = [(_BOUNDS[name], limits[name]) for name in _BOUNDS if name in limits]
    fits = _is(value, kind)
    if not fits or not all(holds(value, bound) for (holds, _), bound in bounds):
        allowed = [] if fits else [_describe(kind)]
        allowed += [" and ".join(f"{words} {bound}" for (_, words), bound in bounds)] if bounds else []
        why = f" {limits['why']}" if "why" in limits else ""
        raise ConfigError(f"{f.name} must be {', '.join(allowed)}{why}; received {_short(value)}.")
    if "choices" in limits:
        one_of(f.name, value, limits["choices"])


def _is(value, kind) -> bool:
    """Whether `value` is of the type `kind`; a whole number is a `float`, true and false are no numbers."""
    item = typing.get_args(kind)
    if item and isinstance(value, typing.get_origin(kind)):
        return all(_is(v, item[0]) for v in value) and (
            not isinstance(value, dict) or all(_is(v, item[1]) for v in value.values())
        )
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return not item and isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def _describe(kind) -> str:
    if typing.get_origin(kind) is tuple:
        return f"a list, each {_describe(typing.get_args(kind)[0])}"
    if typing.get_origin(kind) is dict:
        return f"an object, each value {_describe(typing.get_args(kind)[1])}"
    return _NAMES.get(kind) or kind.__name__


def _parse(name: str, kind, value):
    """A JSON value as a field's type: nested records, tuples. What does not fit is left to `check_field`."""
    if isinstance(kind, type) and issubclass(kind, Record):
        return None if value is None else kind.from_dict(value, name)
    if typing.get_origin(kind) is tuple and isinstance(value, list):
        return tuple(_parse(name, typing.get_args(kind)[0], v) for v in value)
    return copy.deepcopy(value) if isinstance(value, dict) else value


def _plain(value):
    if isinstance(value, Record):
        return value.to_dict()
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else copy.deepcopy(value)


_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


def _short(value) -> str:
    """A value for a message, however large or deep it is."""
    return _SHORT.repr(value)
