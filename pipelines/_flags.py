"""Flags from the fields of configuration records, which hold name, type, help and choices."""

from __future__ import annotations

import math

from absl import flags

from mnext_tf.data.image_files import MAX_PIXELS, MEGAPIXEL
from mnext_tf.errors import ConfigError
from mnext_tf.records import Record, base_type, field_types
from mnext_tf.tasks.tolerance import Tolerance

flags.disclaim_key_flags()  # a flag belongs to the module that calls `define`: --help lists it there
_DEFINE = {int: flags.DEFINE_integer, float: flags.DEFINE_float, bool: flags.DEFINE_bool, str: flags.DEFINE_string}


def define(record: type[Record], name: str, help: str | None = None, default=None) -> flags.FlagHolder:
    """The flag of one field; without `default` its value is None unless it is given. `help` replaces the field's."""
    f = record.__dataclass_fields__[name]
    help, kind = help or f.metadata["help"], base_type(field_types(record)[name])
    if "choices" in f.metadata and kind is str:
        return flags.DEFINE_enum(name, default, f.metadata["choices"], help)
    return _DEFINE[kind](name, default, help)


def define_all(record: type[Record]) -> dict[str, flags.FlagHolder]:
    """A flag for each field of a record, but for records in it."""
    kinds = {name: base_type(hint) for name, hint in field_types(record).items()}
    return {name: define(record, name) for name, kind in kinds.items() if kind in _DEFINE}


def given(holders: dict[str, flags.FlagHolder]) -> dict:
    """Name -> value of the flags that were given."""
    return {name: flag.value for name, flag in holders.items() if flag.value is not None}


def runs_root() -> flags.FlagHolder:
    return flags.DEFINE_string("runs_root", "runs", "Where run folders are.")


def cache_dir() -> flags.FlagHolder:
    return flags.DEFINE_string("cache_dir", "data", "Where prepared data is kept.")


def max_megapixels() -> flags.FlagHolder:
    help = "Images with more pixels are skipped before they are decoded."
    return flags.DEFINE_float("max_megapixels", MAX_PIXELS / MEGAPIXEL, help)


def pixels(megapixels: flags.FlagHolder) -> int:
    """Pixels that `max_megapixels` allows. Raises ConfigError where it is no positive number."""
    if not (math.isfinite(megapixels.value) and megapixels.value > 0):
        raise ConfigError(f"--max_megapixels must be a number above 0; received {megapixels.value:g}.")
    return int(megapixels.value * MEGAPIXEL)


def tolerance() -> tuple[flags.FlagHolder, flags.FlagHolder]:
    """The flags --max_accuracy_drop and --min_agreement, with their defaults; `Tolerance` takes their values."""
    names = ("max_accuracy_drop", "min_agreement")
    return tuple(define(Tolerance, name, default=getattr(Tolerance, name)) for name in names)
