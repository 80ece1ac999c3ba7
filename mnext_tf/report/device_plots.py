"""Pictures of sessions on phones, and of accuracy against latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mnext_tf.naming import network_title
from mnext_tf.report.accuracy_latency import Comparison, headline
from mnext_tf.report.device_rows import DeviceRow, processor
from mnext_tf.report.markdown import decimals, number, threads
from mnext_tf.report.plots import COLORS, color_of, plain, save

MARKERS = {"cpu": "o", "gpu": "s", "nnapi": "D"}


def rounds(path: Path, rows: Sequence[DeviceRow]) -> None:
    """A line for each row of one session: every round as a point, their median as a stroke."""
    measured = [row for row in rows if row.round_ms]
    networks = [_family(row) for row in measured]
    figure = Figure(figsize=(9.5, 1.5 + 0.33 * len(measured)), layout="constrained")
    axis = figure.subplots()
    places = decimals(row.median_ms for row in measured)
    for y, row in enumerate(measured):
        color = color_of(networks[y], networks)
        face = color if row.as_asked else "white"
        marker = MARKERS.get(row.backend, "^")
        style = {"color": color, "markerfacecolor": face, "markersize": 5, "alpha": 0.75}
        axis.plot(row.round_ms, [y] * len(row.round_ms), marker, **style)
        axis.plot([row.median_ms] * 2, [y - 0.3, y + 0.3], color="0.15", linewidth=1.4)
        note = (
            number(row.median_ms, places)
            + ("" if row.as_asked else f", {words(row)}")
            + (" †" if row.is_doubtful else "")
        )
        place = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 9}
        axis.annotate(note, (max(row.round_ms), y), **place)
    axis.set_yticks(range(len(measured)), [_label(row) for row in measured], fontsize=9.5)
    axis.set_ylim(-0.8, len(measured) - 0.2)
    axis.invert_yaxis()
    room = 1.8 if any(row.is_unsaid for row in measured) else 1.3  # for the longest of the notes
    axis.set_xlim(0, room * max(max(row.round_ms) for row in measured))
    hollow = "; hollow: not all of it ran where it was asked to" if not all(row.as_asked for row in measured) else ""
    axis.set_xlabel(f"ms per image; points are rounds, strokes their medians{hollow}", loc="right")
    axis.grid(axis="x", color="0.92")
    device = measured[0].device
    axis.set_title(f"{device.title}, {device.soc}, {device.android}, {device.tool}", fontsize=11, loc="left")
    plain(axis)
    save(figure, path)


def _family(row: DeviceRow) -> str:
    return row.network.model if row.network else row.model


def _label(row: DeviceRow) -> str:
    return f"{row.title}  {row.kind}  {row.backend.upper()}, {threads(row.threads)}"


def words(row: DeviceRow) -> str:
    """Beside a row that did not run as asked."""
    return f"only {processor(row.ran_on)}" if row.ran_on.endswith("_partial") else row.verdict


def accuracy_against_latency(path: Path, comparison: Comparison) -> None:
    """Latency as measured to the right, published top-1 upwards; up and to the left is better."""
    figure = Figure(figsize=(7.6, 5.2), layout="constrained")
    axis = figure.subplots()
    names = sorted({point.model for point in comparison.points})
    colors = {name: COLORS[index % len(COLORS)] for index, name in enumerate(names)}
    for name, points in comparison.curves.items():
        title = network_title(name, 1.0).removesuffix(" 1.0")
        style = "-" if len(points) > 1 else ""
        axis.plot([p.ms for p in points], [p.top1 for p in points], f"o{style}", color=colors[name], label=title)
    for point in comparison.points:
        color = colors[point.model]
        if point.share != 1:
            axis.plot(point.ms, point.top1, "o", color=color, markerfacecolor="white")
        axis.plot([min(point.round_ms), max(point.round_ms)], [point.top1] * 2, color=color, linewidth=1, alpha=0.7)
        share = "" if point.share == 1 else f", shortcuts of 1/{round(1 / point.share)}"
        above = point.share != 1 or point.model.startswith("mnext")
        axis.annotate(
            f"{point.width:g}{share}",
            (point.ms, point.top1),
            xytext=(-6, 6) if above else (6, -6),
            textcoords="offset points",
            ha="right" if above else "left",
            va="bottom" if above else "top",
            color=color,
            fontsize=9,
        )
    axis.set_xlim(left=0)
    axis.margins(x=0.08, y=0.1)
    axis.set_xlabel("ms per image, measured (median and range of rounds)")
    axis.set_ylabel("published ImageNet top-1, % (float, 224 px)")
    equal = headline(comparison)
    if equal:
        label = f"at equal accuracy: {equal.median:.2f} of MobileNetV2's time"
        axis.plot([equal.ours_ms, equal.theirs_ms], [equal.top1] * 2, "--", color="0.35", linewidth=1.2, label=label)
    axis.set_title(f"{comparison.where}, {comparison.kind}", fontsize=11, loc="left")
    axis.grid(color="0.92")
    axis.legend(frameon=False, loc="lower right")
    plain(axis)
    save(figure, path)
