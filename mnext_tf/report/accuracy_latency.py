"""Accuracy against latency over widths: published top-1, latency as measured here."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from mnext_tf.report import published
from mnext_tf.report.markdown import threads_text
from mnext_tf.report.rows import Measurement


@dataclass(frozen=True)
class Point:
    model: str
    width: float
    share: float  # of the channels that shortcuts carry
    top1: float  # published, percent
    round_ms: tuple[float, ...]
    source: str  # the benchmark or session that it was measured in
    name: str = ""  # of the run or file that was timed

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
        """By network, along rising top-1: one point a width, with whole shortcuts; of several files that of the
        untrained network, or the last."""
        chosen: dict[tuple[str, float], Point] = {}
        for point in sorted(self.points, key=lambda p: not p.name):  # stable: unnamed ones last
            if point.share == 1:
                chosen[point.model, point.width] = point
        curves: dict[str, list[Point]] = {}
        for point in sorted(chosen.values(), key=lambda p: p.top1):
            curves.setdefault(point.model, []).append(point)
        return curves

    @property
    def aside(self) -> list[Point]:
        """Points on no curve: other shares of the shortcuts, further files of a network."""
        on_curves = {id(point) for points in self.curves.values() for point in points}
        return [point for point in self.points if id(point) not in on_curves]

    @property
    def rivals(self) -> list[str]:
        """The networks that ours is compared with, MobileNetV2 first."""
        return sorted((name for name in self.curves if name != published.OURS), key=lambda name: name != "mobilenet_v2")

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
        point = Point(n.model, n.width, n.share, top1, row.round_ms, source.name, row.name)
        key = n.model, n.width, n.share, row.name
        groups.setdefault((where, n.precision_text), {})[key] = point  # the last one counts
    found = [Comparison(where, precision, tuple(points.values())) for (where, precision), points in groups.items()]
    return [comparison for comparison in found if comparison.is_worth_a_plot]


@dataclass(frozen=True)
class Ratio:
    """Time of one network over another's at equal published top-1."""

    top1: float
    ours_ms: float
    theirs_ms: float
    median: float  # over the rounds, each with both networks; else of the medians
    p25: float | None  # quartiles over the rounds; None where the points were not measured in the same rounds
    p75: float | None

    @property
    def sign(self) -> int:
        """-1: ours is faster; 1: slower; 0: the quartiles do not agree."""
        low, high = (self.median, self.median) if self.p25 is None else (self.p25, self.p75)
        return -1 if high < 1 else 1 if low > 1 else 0


def ratio_at(ours: Sequence[Point], theirs: Sequence[Point], top1: float) -> Ratio:
    """Both curves must span `top1`; between widths the logarithm of the time is interpolated along the accuracy."""
    times = _time_at(ours, [p.ms for p in ours], top1), _time_at(theirs, [p.ms for p in theirs], top1)
    everything = [*ours, *theirs]
    rounds = len(everything[0].round_ms)
    if rounds < 2 or any((len(p.round_ms), p.source) != (rounds, everything[0].source) for p in everything):
        return Ratio(top1, *times, times[0] / times[1], None, None)
    each = [
        _time_at(ours, [p.round_ms[i] for p in ours], top1) / _time_at(theirs, [p.round_ms[i] for p in theirs], top1)
        for i in range(rounds)
    ]
    p25, median, p75 = statistics.quantiles(each, n=4, method="inclusive")
    return Ratio(top1, *times, median, p25, p75)


def _time_at(points: Sequence[Point], times: Sequence[float], top1: float) -> float:
    for point, time in zip(points, times, strict=True):
        if point.top1 == top1:
            return time
    for (left, t_left), (right, t_right) in itertools.pairwise(zip(points, times, strict=True)):
        if left.top1 < top1 < right.top1:
            part = (top1 - left.top1) / (right.top1 - left.top1)
            return math.exp(math.log(t_left) + part * (math.log(t_right) - math.log(t_left)))
    raise ValueError(f"top-1 of {top1} is outside of the curve")


def common_range(ours: Sequence[Point], theirs: Sequence[Point]) -> tuple[float, float] | None:
    """Of top-1, which both curves span; a curve of one point spans its top-1."""
    if not ours or not theirs:
        return None
    low, high = max(ours[0].top1, theirs[0].top1), min(ours[-1].top1, theirs[-1].top1)
    return (low, high) if low <= high else None


def ratios(ours: Sequence[Point], theirs: Sequence[Point]) -> list[tuple[Point, Ratio]]:
    """At the top-1 of every point of either curve that the other one spans, rising."""
    both = common_range(ours, theirs)
    inside = [p for p in (*theirs, *ours) if both and both[0] <= p.top1 <= both[1]]
    return [(point, ratio_at(ours, theirs, point.top1)) for point in sorted(inside, key=lambda p: p.top1)]


def headline(ours: Sequence[Point], theirs: Sequence[Point]) -> tuple[Point, Ratio] | None:
    """At the published top-1 of the rival's width 1, or nearest to the middle of what both curves span."""
    found = ratios(ours, theirs)
    if not found:
        return None
    low, high = common_range(ours, theirs)

    def key(item: tuple[Point, Ratio]) -> tuple:
        point, _ = item
        return not (point in theirs and point.width == 1), abs(point.top1 - (low + high) / 2)

    return min(found, key=key)


def by_later_recipes(points: Sequence[Point]) -> list[Point]:
    """The curve with the best top-1 that anybody published for a network, where that is more than its authors'."""
    best = [(point, published.best_top1(point.model, point.width, point.share)) for point in points]
    return [dataclasses.replace(point, top1=top1) for point, top1 in best if top1]
