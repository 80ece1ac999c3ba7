"""Tables in Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence


def markdown(header: Sequence[str], rows: Sequence[Sequence]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(value) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


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


def threads(count: int) -> str:
    return f"{count} thread{'s' if count > 1 else ''}"
