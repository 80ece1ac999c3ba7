"""Markdown from text that may come from anywhere: what is not `Markup` is escaped."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence

from mnext_tf.text import printable

# An underscore within a word starts no emphasis, and names are full of them.
_SPECIAL = re.compile(r"[\\`*\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|^#")
_HTML = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Markup(str):
    """Markdown that is put on a page as it is."""

    __slots__ = ()


def escape_markdown(text: object) -> Markup:
    """`text` on one line, so that a page shows it as it is: neither Markdown nor HTML, nor control characters."""
    if isinstance(text, Markup):
        return text
    escaped = _SPECIAL.sub(lambda m: "\\" + m[0], printable(text))
    return Markup(re.sub(r"(?i)\b(https?|ftp|www)(?=[:.])", r"\1&#8203;", escaped.translate(_HTML)))


def code(text: object) -> Markup:
    """A code span, in a table, too."""
    text = printable(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    space = " " if "`" in text else ""
    return Markup(f"{fence}{space}{text.replace('|', chr(92) + '|')}{space}{fence}")


def code_block(lines: Iterable[object]) -> Markup:
    text = "\n".join(map(printable, lines))
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return Markup(f"{fence}\n{text}\n{fence}")


def table(header: Sequence[str], rows: Sequence[Sequence], *, drop_empty: bool = False) -> Markup:
    """`drop_empty` leaves out columns that are "-" in every row."""
    if drop_empty:
        kept = [i for i in range(len(header)) if any(row[i] != "-" for row in rows)]
        header, rows = [header[i] for i in kept], [[row[i] for i in kept] for row in rows]
    lines = [[Markup(cell) for cell in header], [Markup("---")] * len(header), *rows]
    return Markup("\n".join("| " + " | ".join(escape_markdown(cell) for cell in line) + " |" for line in lines))


def decimals(values: Iterable[float | None]) -> int:
    """Decimals (0 to 3) that give the smallest positive value three digits: one number for a whole column."""
    known = [value for value in values if value is not None and value > 0]
    return min(3, max(0, 2 - math.floor(math.log10(min(known))))) if known else 2


def number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def span(values: Sequence[float], places: int) -> str:
    """Smallest to largest; one number where both read alike."""
    low, high = number(min(values), places), number(max(values), places)
    return low if low == high else f"{low}-{high}"


def threads_text(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
