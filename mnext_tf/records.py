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

import dataclasses
import math
import operator
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
_NUMBERS = {int: "a whole number", float: "a number"}


def field(default: Any = dataclasses.MISSING, help: str = "", **metadata):
    """A field of a record.

    Args:
      default: its value unless given; without one the field is required. A dict or list is copied.
      help: one sentence, for flags and documentation.
      metadata: `at_least`, `above`, `at_most`, `below` (bounds of a number), `choices`, `absent` (see the module).
    """
    metadata["help"] = help
    if isinstance(default, dict | list):
        return dataclasses.field(default_factory=lambda: type(default)(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Record:
    """Base of all records. Creating one raises ConfigError for a value of another type or out of range."""

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
            raise ConfigError(f"{where}a {name} is a JSON object; found {type(value).__name__}.")
        values = dict(value)
        version = values.pop("version", 1)
        if not (type(version) is int and 1 <= version <= cls.VERSION):
            raise ConfigError(
                f"{where}{name} has version {version!r}; this release reads 1 to {cls.VERSION}. Update mnext-tf."
            )
        fields = {f.name: f for f in dataclasses.fields(cls)}
        if unknown := sorted(set(values) - set(fields)):
            raise ConfigError(
                f"{where}{name} has the unknown field{'s' * (len(unknown) > 1)} {', '.join(map(str, unknown))}; known "
                f"are {', '.join(fields)}. A newer release of mnext-tf wrote it, or it was edited."
            )
        absent = {n: f.metadata["absent"] for n, f in fields.items() if n not in values and "absent" in f.metadata}
        if missing := [n for n in fields if n not in values and n not in absent]:
            raise ConfigError(f"{where}{name} lacks {', '.join(missing)}.")
        try:
            return cls(**{n: _parse(fields[n], t, v) for n, t, v in _typed(cls, {**values, **absent})})
        except (ConfigError, TypeError, ValueError) as e:
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
    if kind in (bool, str, dict) and not isinstance(value, kind):
        raise ConfigError(f"{f.name} must be {_describe(kind)}; received {value!r}.")
    if kind in _NUMBERS:
        number = isinstance(value, int) if kind is int else isinstance(value, int | float) and math.isfinite(value)
        bounds = {name: limits[name] for name in _BOUNDS if name in limits}
        if not number or isinstance(value, bool) or not all(_BOUNDS[n][0](value, b) for n, b in bounds.items()):
            allowed = " and ".join(f"{_BOUNDS[n][1]} {b}" for n, b in bounds.items())
            why = f" {limits['why']}" if "why" in limits else ""
            raise ConfigError(
                f"{f.name} must be {_NUMBERS[kind]}{' ' * bool(allowed)}{allowed}{why}; received {value!r}."
            )
    if "choices" in limits:
        one_of(f.name, value, limits["choices"])


def _describe(kind) -> str:
    return {bool: "true or false", str: "text", dict: "an object"}[kind]


def _typed(cls, values: dict):
    hints = field_types(cls)
    return [(name, base_type(hints[name]), value) for name, value in values.items()]


def _parse(f: dataclasses.Field, kind, value):
    """A JSON value as the field's type: nested records, tuples."""
    if value is None:
        return None
    if isinstance(kind, type) and issubclass(kind, Record):
        return kind.from_dict(value)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{f.name} must be a list; received {value!r}.")
        item = typing.get_args(kind)[0]
        if wrong := [v for v in value if item in (str, int, float) and not _is(v, item)]:
            raise ConfigError(f"{f.name} holds {wrong[0]!r}, which is not {item.__name__}.")
        return tuple(value)
    return value


def _is(value, kind) -> bool:
    return isinstance(value, (int, float) if kind is float else kind) and not isinstance(value, bool)


def _plain(value):
    if isinstance(value, Record):
        return value.to_dict()
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value
