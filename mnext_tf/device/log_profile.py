"""The operator profile in a benchmark log: a table, or lines with commas."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from mnext_tf.device.log_lines import Line

NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)(?:inity)?"

_CELL = re.compile(rf"(?:{NUMBER})%?", re.IGNORECASE)

_COLUMNS = {
    "start": "start",
    "first": "first_ms",
    "avg ms": "avg_ms",
    "avg_ms": "avg_ms",
    "%": "percent",
    "cdf%": "cdf",
    "mem kb": "memory_kb",
    "times called": "times_called",
    "avg %": "percent",
}

TITLES = ("Run Order", "Top by Computation Time", "Summary by node type")

MOST_ROWS = 100_000


@dataclass(frozen=True)
class Operator:
    """One row, in run order. Times are means of the measured runs."""

    node_type: str  # CONV_2D, TfLiteXNNPackDelegate ...
    name: str  # "" where only sums by type are printed
    avg_ms: float | None
    first_ms: float | None
    percent: float | None
    times_called: float | None
    memory_kb: float | None
    in_delegate: bool  # a part of what a delegate did, not a node of the graph


def to_number(text: str) -> float | None:
    """None for what is no finite number."""
    try:
        value = float(text.rstrip("%"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_profile(lines: Sequence[Line]) -> tuple[Operator, ...]:
    """Of the regular runs, in run order; ordered by time, or summed by type, where only that is printed; else ()."""
    found: dict[str, list[Operator]] = {title: [] for title in TITLES}
    table, columns, regular, in_delegate = None, (), True, False
    for line in lines:
        text = line.text
        if "Profiling Info for" in text:
            regular = "nitialization" not in text
            table, in_delegate = None, False
            if regular:
                found = {name: [] for name in found}
        elif "Delegate internal" in text:
            table, in_delegate = None, True
        elif "=====" in text or any(title in text for title in TITLES):
            table = next((title for title in TITLES if title in text), "")
            columns = ()
        elif header := _header(text):
            columns = header
            if table is None:  # without any heading
                table = "Summary by node type" if "count" in columns else "Run Order"
        elif regular and table and columns and len(found[table]) < MOST_ROWS:
            row = _row(text, columns, in_delegate)
            if row is not None:
                found[table].append(row)
    return tuple(next((rows for rows in found.values() if rows), ()))


def _header(text: str) -> tuple[str, ...]:
    """The numbers that stand between the node's type and its name."""
    if "ode type" not in text:
        return ()
    cells = re.findall(r"\[([^\]]{1,40})\]", text) or text.split(",")
    cells = [cell.strip().lower() for cell in cells]
    if len(cells) < 3 or cells[0] != "node type":
        return ()
    return tuple(_COLUMNS.get(cell, cell) for cell in (cells[1:-1] if cells[-1] == "name" else cells[1:]))


def _row(text: str, columns: tuple[str, ...], in_delegate: bool) -> Operator | None:
    """A type may hold spaces and commas, and so may a name: the numbers between them are what is looked for."""
    separator = "," if "," in text and "\t" not in text and _is_csv(text, len(columns)) else None
    cells = [cell.strip() for cell in text.split("\t" if "\t" in text.strip() else separator)]
    cells = [cell for cell in cells if cell]
    for start in range(1, len(cells) - len(columns) + 1):
        numbers = cells[start : start + len(columns)]
        if all(_CELL.fullmatch(number) for number in numbers):
            break
    else:
        return None
    joint = ", " if separator else " "
    values = {name: to_number(number) for name, number in zip(columns, numbers, strict=True)}
    keys = ("avg_ms", "first_ms", "percent", "times_called", "memory_kb")
    return Operator(
        node_type=joint.join(cells[:start]),
        name=joint.join(cells[start + len(columns) :]),
        **{key: values.get(key) for key in keys},
        in_delegate=in_delegate,
    )


def _is_csv(text: str, count: int) -> bool:
    return sum(bool(_CELL.fullmatch(cell.strip())) for cell in text.split(",")) >= count
