"""Accuracy against latency over widths: published top-1, latency as measured here."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mnext_tf.naming import network_title
from mnext_tf.report import published
from mnext_tf.report.markdown import escape_markdown, threads_text
from mnext_tf.report.rows import Measurement

HEADLINE = (published.OURS, "mobilenet_v2")


@dataclass(frozen=True)
class Point:
    model: str
    width: float
    share: float  # of the channels that shortcuts carry
    top1: float  # published, percent
    round_ms: tuple[float, ...]
    source: str  # the benchmark or session that it was measured in

    @property
    def ms(self) -> float:
        return statistics.median(self.round_ms)


@dataclass(frozen=True)
class Comparison:
    """What was measured in one way on one processor: one plot."""

    where: str  # Pixel 4, CPU, 1 thread
    precision: str  # int8, int8 probabilities
    points: tuple[Point, ...]

    @property
    def curves(self) -> dict[str, list[Point]]:
        """By network, along rising top-1: the widths with whole shortcuts."""
        curves: dict[str, list[Point]] = {}
        for point in sorted(self.points, key=lambda p: p.top1):
            if point.share == 1:
                curves.setdefault(point.model, []).append(point)
        return curves

    @property
    def is_worth_a_plot(self) -> bool:
        return sum(len(points) > 1 for points in self.curves.values()) > 0 and len(self.points) > 2


def comparisons(rows: Sequence[Measurement]) -> list[Comparison]:
    """Those with several widths of a network. A row counts only where what was asked for ran all of it."""
    groups: dict[tuple[str, str], dict[tuple, Point]] = {}
    for row in rows:
        n, source = row.network, row.source
        top1 = published.top1(n.model, n.width, n.share, n.input_size) if n and row.as_asked else None
        if top1 is None:
            continue
        tool = f", {source.tool}, {row.backend.upper()}" if source.on_phone else ""
        where = row.adapter or f"{source.platform}{tool}, {threads_text(row.threads)}"
        point = Point(n.model, n.width, n.share, top1, row.round_ms, source.name)
        groups.setdefault((where, n.precision_text), {})[n.model, n.width, n.share] = point  # the last one counts
    found = [Comparison(where, precision, tuple(points.values())) for (where, precision), points in groups.items()]
    return [comparison for comparison in found if comparison.is_worth_a_plot]


@dataclass(frozen=True)
class Ratio:
    """Time of one network over another's at equal published top-1."""

    top1: float
    ours_ms: float
    theirs_ms: float
    low: float | None  # of the ratio, over rounds; None where the points were not measured in the same rounds
    high: float | None

    @property
    def median(self) -> float:
        return self.ours_ms / self.theirs_ms


def ratio_at(ours: Sequence[Point], theirs: Sequence[Point], top1: float) -> Ratio:
    """Both curves must span `top1`; between widths the time is interpolated along the accuracy."""
    times = _time_at(ours, [p.ms for p in ours], top1), _time_at(theirs, [p.ms for p in theirs], top1)
    everything = [*ours, *theirs]
    rounds = len(everything[0].round_ms)
    if rounds < 2 or any((len(p.round_ms), p.source) != (rounds, everything[0].source) for p in everything):
        return Ratio(top1, *times, None, None)
    each = [
        _time_at(ours, [p.round_ms[i] for p in ours], top1) / _time_at(theirs, [p.round_ms[i] for p in theirs], top1)
        for i in range(rounds)
    ]
    return Ratio(top1, *times, min(each), max(each))


def _time_at(points: Sequence[Point], times: Sequence[float], top1: float) -> float:
    for (left, t_left), (right, t_right) in itertools.pairwise(zip(points, times, strict=True)):
        if left.top1 <= top1 <= right.top1:
            return t_left + (t_right - t_left) * (top1 - left.top1) / (right.top1 - left.top1)
    raise ValueError(f"top-1 of {top1} is outside of the curve")


def common_range(ours: Sequence[Point], theirs: Sequence[Point]) -> tuple[float, float] | None:
    """Of top-1, where both curves have neighbours to interpolate between."""
    if len(ours) < 2 or len(theirs) < 2:
        return None
    low, high = max(ours[0].top1, theirs[0].top1), min(ours[-1].top1, theirs[-1].top1)
    return (low, high) if low < high else None


def headline(comparison: Comparison) -> Ratio | None:
    """At the published top-1 of MobileNetV2 1.0, or in the middle of what both curves span; None where they do not."""
    ours, theirs = (comparison.curves.get(name, []) for name in HEADLINE)
    both = common_range(ours, theirs)
    if both is None:
        return None
    anchor = next((p.top1 for p in theirs if p.width == 1 and both[0] <= p.top1 <= both[1]), sum(both) / 2)
    return ratio_at(ours, theirs, anchor)


def answer(comparison: Comparison) -> str:
    """Who is faster at equal published top-1, in words, or why that cannot be said."""
    ours, theirs = (comparison.curves.get(name, []) for name in HEADLINE)
    our_name, their_name = (network_title(name, 1.0).removesuffix(" 1.0") for name in HEADLINE)
    where = escape_markdown(f"{comparison.where}, {comparison.precision}")
    chosen = headline(comparison)
    if chosen is None:
        named = ((our_name, ours), (their_name, theirs))
        few = [name for name, points in named if len(points) < 2]
        if few:
            return f"{where}: no comparison at equal accuracy; it takes two widths or more of {' and of '.join(few)}."
        spans = ", ".join(f"{name} {points[0].top1:.1f} to {points[-1].top1:.1f} %" for name, points in named)
        return f"{where}: no comparison at equal accuracy, for the measured widths share none ({spans})."
    low_end, high_end = common_range(ours, theirs)
    inside = [point.top1 for point in [*ours, *theirs] if low_end <= point.top1 <= high_end]
    ratios = [ratio_at(ours, theirs, top1).median for top1 in sorted({low_end, high_end, *inside})]
    is_anchor = any(point.width == 1 and point.top1 == chosen.top1 for point in theirs)
    at = f"{chosen.top1:.1f} %" + (f", {their_name} 1.0's" if is_anchor else "")
    rounds = "" if chosen.low is None else f" ({chosen.low:.2f} to {chosen.high:.2f} over the rounds)"
    several = len({point.source for point in [*ours, *theirs]}) > 1
    return (
        f"{where}: at equal published top-1 ({at}; interpolated between the measured widths) {our_name} takes "
        f"{chosen.median:.2f} of {their_name}'s time{rounds}; from {low_end:.1f} to {high_end:.1f} % it takes "
        f"{min(ratios):.2f} to {max(ratios):.2f} of it."
        + (" The widths were not all measured in one session: what changed in between is in these numbers." * several)
    )
