"""The plot of published accuracy against measured latency."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mnext_tf.report import published
from mnext_tf.report.accuracy_latency import Comparison, Point, by_later_recipes, headline
from mnext_tf.report.equal_accuracy import name_of
from mnext_tf.report.plots import colors_of, label, plain, save


def accuracy_against_latency(path: Path, comparison: Comparison) -> None:
    """Measured latency to the right, on a scale on which interpolation is a straight line, published top-1 upward; up
    and to the left is better."""
    figure = Figure(figsize=(7.6, 5.2), layout="constrained")
    axis = figure.subplots()
    axis.set_xscale("log")
    colors = colors_of(point.model for point in comparison.points)
    for model, points in comparison.curves.items():
        style = "-" if len(points) > 1 else ""
        axis.plot(
            [p.ms for p in points], [p.top1 for p in points], f"o{style}", color=colors[model], label=name_of(model)
        )
        _band(axis, points, colors[model])
    for point in comparison.points:
        _annotate(axis, point, colors[point.model], aside=point in comparison.aside)
    if any(point.name for point in comparison.aside):
        hollow = {"linestyle": "", "color": "0.35", "markerfacecolor": "white"}
        axis.plot([], [], "o", label="another file of a network, at the network's top-1", **hollow)
    axis.margins(x=0.08, y=0.1)
    _ticks(axis)
    axis.set_xlabel("ms per image, measured (median and range of rounds; logarithmic)")
    axis.set_ylabel("published ImageNet top-1, % (float, 224 px)")
    _equal(axis, comparison)
    axis.set_title(f"{label(comparison.where, 70)}, {comparison.precision}", fontsize=11, loc="left")
    axis.grid(color="0.92")
    axis.legend(loc="lower right", fontsize=9, edgecolor="none", framealpha=0.85)
    plain(axis)
    save(figure, path)


def _band(axis, points: list[Point], color) -> None:
    """Up to the best top-1 that later recipes published, between the widths for which there is one."""
    later = by_later_recipes(points)
    if not later:
        return
    authors = [p for p in points if later[0].width <= p.width <= later[-1].width]
    corners = [(p.ms, p.top1) for p in (*authors, *reversed(later))]
    name = f"{name_of(points[0].model)}, up to the best published recipe"
    axis.fill(*zip(*corners, strict=True), color=color, alpha=0.15, linewidth=0, label=name)
    for low, high in ((p, q) for p in authors for q in later if p.width == q.width):
        axis.plot([low.ms, high.ms], [low.top1, high.top1], ":", color=color, linewidth=1)


def _annotate(axis, point: Point, color, *, aside: bool) -> None:
    if aside:
        axis.plot(point.ms, point.top1, "o", color=color, markerfacecolor="white")
    axis.plot([min(point.round_ms), max(point.round_ms)], [point.top1] * 2, color=color, linewidth=1, alpha=0.7)
    share = "" if point.share == 1 else f", shortcuts of 1/{round(1 / point.share)}"
    name = f", {label(point.name, 24)}" if point.name else ""
    above = aside or point.model.startswith(published.OURS)
    axis.annotate(
        f"{point.width:g}{share}{name}",
        (point.ms, point.top1),
        xytext=(-6, 6) if above else (6, -6),
        textcoords="offset points",
        ha="right" if above else "left",
        va="bottom" if above else "top",
        color=color,
        fontsize=9,
    )


def _ticks(axis) -> None:
    """Whole numbers and 1.5 of each decade, without those that would touch."""
    low, high = axis.get_xlim()
    steps = (1, 1.5, 2, 3, 4, 5, 7)
    axis.xaxis.set_major_locator(
        FixedLocator([s * 10**e for e in range(-3, 6) for s in steps if low <= s * 10**e <= high])
    )
    axis.xaxis.set_major_formatter(FuncFormatter(lambda ms, _: f"{ms:g}"))
    axis.xaxis.set_minor_locator(NullLocator())


def _equal(axis, comparison: Comparison) -> None:
    """A line from our curve to the first rival's at equal top-1."""
    ours = comparison.curves.get(published.OURS, [])
    for rival in comparison.rivals:
        found = headline(ours, comparison.curves[rival])
        if found:
            _, equal = found
            text = f"at equal accuracy: {equal.median:.2f} of {name_of(rival)}'s time"
            times, top1 = [equal.ours_ms, equal.theirs_ms], [equal.top1] * 2
            axis.plot(times, top1, "--", color="0.35", linewidth=1.2, label=text)
            return
