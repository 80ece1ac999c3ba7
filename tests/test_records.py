from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.records import Record, field


@dataclass(frozen=True)
class Inner(Record):
    side: int = field(8, "Side.", at_least=1, at_most=100)


@dataclass(frozen=True)
class Outer(Record):
    VERSION: ClassVar[int] = 3

    name: str
    rate: float = field(0.5, "Rate.", above=0, below=1, why="(a share)")
    count: int = 2
    flag: bool = False
    kind: str = field("a", choices=("a", "bb"))
    values: tuple[float, ...] | None = field(None, absent=None)
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    extra: dict = field({"a": {"b": 1}}, absent={})
    hashes: dict[str, str] = field({}, absent={})


def changed(**changes) -> dict:
    return {**Outer("x").to_dict(), **changes}


FULL = Outer("x", 0.25, 3, True, "bb", (1.0, 2.0), Inner(9), (Inner(1), Inner(2)), {"k": [1, None]}, {"f": "00"})


@pytest.mark.parametrize("record", [Outer("x"), FULL])
def test_what_was_written_is_read(record):
    assert Outer.from_dict(record.to_dict()) == record


def test_json_has_versions_lists_and_nested_objects():
    written = FULL.to_dict()
    assert written["version"] == 3
    assert written["values"] == [1.0, 2.0]
    assert written["inners"] == [{"version": 1, "side": 1}, {"version": 1, "side": 2}]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": 5}, "name must be text; received 5"),
        ({"rate": "0.5"}, r"rate must be a number, above 0 and below 1 \(a share\); received '0.5'"),
        ({"rate": 1.0}, r"rate must be above 0 and below 1 \(a share\); received 1.0"),
        ({"rate": float("nan")}, "rate must be a number"),
        ({"rate": float("inf")}, "rate must be a number"),
        ({"rate": 10**400}, "rate must be a number"),
        ({"rate": True}, "rate must be a number"),
        ({"count": 1.0}, "count must be a whole number; received 1.0"),
        ({"count": True}, "count must be a whole number; received True"),
        ({"count": None}, "count must be a whole number; received None"),
        ({"flag": 1}, "flag must be true or false; received 1"),
        ({"kind": "b"}, "kind must be one of a, bb; received 'b'.*Did you mean"),
        ({"kind": ["a"]}, "kind must be text"),
        ({"values": [1, "x"]}, r"values must be a list, each a number; received \(1, 'x'\)"),
        ({"values": 3}, "values must be a list, each a number; received 3"),
        ({"inner": {"version": 1, "side": 0}}, "side must be at least 1 and at most 100; received 0"),
        ({"inner": {"version": 1}}, "inner: Inner lacks side"),
        ({"inner": 4}, "inner: Inner must be a JSON object; found int"),
        ({"inner": None}, "inner must be Inner; received None"),
        ({"inners": [{"side": "x"}]}, "side must be a whole number"),
        ({"inners": [None]}, "inners must be a list, each Inner"),
        ({"extra": []}, "extra must be an object"),
        ({"hashes": {"f": 1}}, "hashes must be an object, each value text"),
        ({"version": 4}, "Outer has version 4; this release reads 1 to 3. Update"),
        ({"version": True}, "Outer has version True"),
        ({"version": None}, "Outer has version None"),
        ({"nme": 1}, "Outer has the unknown field 'nme'; known are name, rate"),
        ({"z": 1, "y": 2}, "the unknown fields 'z', 'y'"),
    ],
)
def test_what_does_not_fit_is_named_with_the_file(changes, text):
    with pytest.raises(ConfigError, match=text) as error:
        Outer.from_dict(changed(**changes), "f.json")
    assert str(error.value).startswith("f.json: ")
    assert len(str(error.value)) < 400


def test_a_missing_field_is_an_error_unless_it_was_added_later():
    written = changed()
    for name in ("name", "count", "values", "extra"):
        del written[name]
    with pytest.raises(ConfigError, match="Outer lacks name, count"):
        Outer.from_dict(written)
    read = Outer.from_dict({**written, "name": "x", "count": 2})
    assert (read.values, read.extra) == (None, {})


def test_version_1_needs_no_version():
    assert Inner.from_dict({"side": 5}) == Inner(5)


@pytest.mark.parametrize("value", [None, [], "text", 5, float("nan")])
def test_what_is_no_object_is_an_error(value):
    with pytest.raises(ConfigError, match=f"Outer must be a JSON object; found {type(value).__name__}"):
        Outer.from_dict(value)


def test_a_record_made_in_python_is_checked_alike():
    with pytest.raises(ConfigError, match="values must be a list, each a number"):
        Outer("x", values=["a"])
    with pytest.raises(ConfigError, match="rate must be above 0"):
        dataclasses.replace(Outer("x"), rate=0)
    assert Outer("x", count=3, rate=1e-300).rate == 1e-300
    assert Outer("x", values=(1, 2.5)).values == (1, 2.5)  # whole numbers are numbers


def test_a_record_shares_no_objects_with_what_it_was_read_from_or_written_to():
    source = changed(extra={"a": {"b": 1}})
    record = Outer.from_dict(source)
    source["extra"]["a"]["b"] = 2
    record.to_dict()["extra"]["a"]["b"] = 3
    Outer("y").extra["a"]["b"] = 4
    assert record.extra == {"a": {"b": 1}}
    assert Outer("x").extra == {"a": {"b": 1}}


def test_deep_nesting_and_long_values_make_short_messages():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, "x" * 1_000_000, 10**3000):
        with pytest.raises(ConfigError) as error:
            Outer.from_dict(changed(flag=value))
        assert len(str(error.value)) < 400
    with pytest.raises(ConfigError):
        Outer.from_dict(changed(extra={"deep": deep}))
