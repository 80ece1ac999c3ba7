"""The report's plots. Each function writes one PNG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mnext_tf.files import atomic_write
from mnext_tf.report.markdown import decimals, number
from mnext_tf.report.rows import Measurement, processor
from mnext_tf.report.run_facts import RunFacts
from mnext_tf.report.seeds import Network
from mnext_tf.text import printable

# Okabe and Ito's palette, which color-blind readers can tell apart, without its yellow
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
LINES = ("-", "--", "-.")
DOTS = (0, (1, 1))
MARKERS = {"cpu": "o", "gpu": "s", "nnapi": "D"}
DOTS_PER_INCH = 150
LONGEST_LABEL = 40


@dataclass(frozen=True)
class Panel:
    """One column of the overview."""

    heading: str
    subtitle: str
    values: dict[tuple[str, str], float]  # by (network, precision)
    spread: dict[tuple[str, str], tuple[float, float]]  # ends of the error bars, where there are any
    format: str
    absent: str  # shown where there is no value


def colors_of(names: Iterable[str]) -> dict[str, object]:
    """A color for each name, none twice; by alphabet, so that a network keeps its color from plot to plot."""
    unique = sorted(set(names))
    if len(unique) <= len(COLORS):
        return dict(zip(unique, COLORS, strict=False))
    return dict(zip(unique, matplotlib.colormaps["turbo"](np.linspace(0.02, 0.98, len(unique))), strict=True))


def label(text: str, longest: int = LONGEST_LABEL) -> str:
    """Text that may come from anywhere, for a plot: no controls, no mathematics, not too long."""
    text = printable(text)
    if len(text) > longest:
        text = f"{text[: longest // 2]}…{text[-longest // 2 + 1 :]}"
    return text.replace("$", r"\$")


def overview(path: Path, panels: Sequence[Panel]) -> None:
    """Horizontal bars: a row for each network and precision, shared by all panels."""
    rows = sorted(dict.fromkeys(key for panel in panels for key in panel.values))
    networks, precisions = list(dict.fromkeys(n for n, _ in rows)), sorted({precision for _, precision in rows})
    colors = colors_of(networks)
    size = (3.4 * len(panels) + 1.5, 1.5 + 0.42 * len(rows) + 0.16 * len(networks))
    figure = Figure(figsize=size, layout="constrained")
    positions = [i + 0.5 * networks.index(network) for i, (network, _) in enumerate(rows)]
    figure.get_layout_engine().set(wspace=0.05)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        largest = max([*panel.values.values(), *(high for _, high in panel.spread.values())])
        for position, key in zip(positions, rows, strict=True):
            value = panel.values.get(key)
            if value is None:
                axis.text(largest * 0.02, position, panel.absent, va="center", color="0.45", fontsize=9)
                continue
            fade = 0.55 * precisions.index(key[1]) / max(1, len(precisions) - 1)
            axis.barh(position, value, 0.82, color=colors[key[0]], alpha=1 - fade)
            low, high = panel.spread.get(key, (value, value))
            if high > low:
                axis.plot([low, high], [position, position], color="0.15", linewidth=1.6)
            axis.text(max(value, high) + largest * 0.02, position, panel.format.format(value), va="center", fontsize=10)
        axis.set_title(panel.heading, fontsize=12, fontweight="bold", loc="left", pad=20)
        axis.text(0, 1.0, label(panel.subtitle), transform=axis.transAxes, fontsize=9, color="0.35", va="bottom")
        axis.set_xlim(0, largest * 1.25 or 1)
        plain(axis)
        axis.spines[["left", "bottom"]].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_visible(False)
    axes[0].set_yticks(positions, [f"{label(network)}  {label(p)}" for network, p in rows], fontsize=10)
    axes[0].invert_yaxis()
    save(figure, path)


def rounds(path: Path, rows: Sequence[Measurement]) -> None:
    """A line for each row of one source: every round as a point, their median as a stroke."""
    colors = colors_of(row.title for row in rows)
    figure = Figure(figsize=(9.5, 1.5 + 0.33 * len(rows)), layout="constrained")
    axis = figure.subplots()
    places = decimals(row.median_ms for row in rows)
    for y, row in enumerate(rows):
        face = colors[row.title] if row.as_asked else "white"
        style = {"color": colors[row.title], "markerfacecolor": face, "markersize": 5, "alpha": 0.75}
        axis.plot(row.round_ms, [y] * len(row.round_ms), MARKERS.get(row.backend, "^"), **style)
        axis.plot([row.median_ms] * 2, [y - 0.3, y + 0.3], color="0.15", linewidth=1.4)
        place = {"xytext": (8, 0), "textcoords": "offset points", "va": "center", "fontsize": 9}
        axis.annotate(label(_note(row, places)), (max(row.round_ms), y), **place)
    axis.set_yticks(range(len(rows)), [f"{label(row.title)}  {row.asked}" for row in rows], fontsize=9.5)
    axis.set_ylim(-0.8, len(rows) - 0.2)
    axis.invert_yaxis()
    room = 1.8 if any(row.is_unproven for row in rows) else 1.3  # for the longest of the notes
    axis.set_xlim(0, room * max(max(row.round_ms) for row in rows))
    hollow = "; hollow: not all of it ran where it was asked to" if not all(row.as_asked for row in rows) else ""
    axis.set_xlabel(f"ms per image; points are rounds, strokes their medians{hollow}", loc="right")
    axis.grid(axis="x", color="0.92")
    source = rows[0].source
    axis.set_title(f"{label(source.details, 90)}, {source.tool}", fontsize=11, loc="left")
    plain(axis)
    save(figure, path)


def _note(row: Measurement, places: int) -> str:
    ratio = f"  ×{row.ratio.median:.2f}" if row.ratio and row.ratio.median != 1 else ""
    where = "" if row.as_asked else f", {words(row)}"
    return f"{number(row.median_ms, places)}{ratio}{where}" + (" †" if row.is_doubtful else "")


def words(row: Measurement) -> str:
    """Beside a row that did not run as asked."""
    return f"only {processor(row.ran_on)}" if row.ran_on.endswith("_partial") else row.verdict


def training(path: Path, runs: Sequence[RunFacts]) -> None:
    """Loss and accuracy (mAP50) per epoch of every run with a history; a row of panels for each data set."""
    data = list(dict.fromkeys(facts.data for facts in runs))
    names = {facts.name: f"{facts.title} ({facts.name})" for facts in runs}
    colors = colors_of(names.values())
    styles = {name: LINES[i // len(COLORS) % len(LINES)] for i, name in enumerate(colors)}
    figure = Figure(figsize=(10, 0.8 + 3.4 * len(data)), layout="constrained")
    for axes, name in zip(figure.subplots(len(data), 2, squeeze=False), data, strict=True):
        for facts in (f for f in runs if f.data == name):
            run = names[facts.name]
            _history(axes, facts, {"color": colors[run], "linestyle": styles[run]})
        metric = next(f.task.metric_title for f in runs if f.data == name)
        for axis, what in zip(axes, ("loss", f"{metric}, %"), strict=True):
            axis.set_xlabel("epoch")
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.set_ylabel(what)
            axis.grid(axis="y", color="0.9")
            plain(axis)
        axes[0].set_title(label(name), fontsize=11, loc="left")
        axes[0].set_ylim(bottom=0)
    handles = [Line2D([], [], color=c, linestyle=styles[n], linewidth=2, label=label(n)) for n, c in colors.items()]
    handles += [Line2D([], [], color="0.3", linewidth=2, label="thick: validation")]
    handles += [Line2D([], [], color="0.3", linewidth=0.9, label="thin: training, augmented images")]
    handles += [
        Line2D([], [], color="0.3", linestyle="", marker="o", markerfacecolor="white", label="ring: best epoch")
    ]
    if any(f"ema_{facts.metric_column}" in row for facts in runs for row in facts.history):
        handles += [
            Line2D([], [], color="0.3", linewidth=2, linestyle=DOTS, label="dotted: validation, averaged weights")
        ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    save(figure, path)


def _history(axes, facts: RunFacts, style: dict) -> None:
    """One run's loss and metric, with a ring at the best epoch; mAP50 is not measured on training images."""
    parts = (("train_{}", 0.9, 0.55, {}), ("val_{}", 2.0, 0.95, {}), ("ema_val_{}", 2.0, 0.95, {"linestyle": DOTS}))
    for axis, what, scale in zip(axes, ("loss", facts.task.metric), (1, 100), strict=True):
        for part, width, alpha, other in parts:
            points = [
                (row["epoch"], scale * row[part.format(what)]) for row in facts.history if part.format(what) in row
            ]
            marker = "o" if len(points) == 1 else None
            if points:
                axis.plot(*zip(*points, strict=True), linewidth=width, alpha=alpha, marker=marker, **(style | other))
    best = facts.best
    metric = facts.history[best.epoch - 1][f"{'ema_' * (best.weights == 'ema')}{facts.metric_column}"]
    axes[1].plot(best.epoch, 100 * metric, "o", color=style["color"], markerfacecolor="white", zorder=3)


def against_published(path: Path, runs: Sequence[RunFacts]) -> None:
    """Top-1 of each run and of the published training that it repeats, and between the two the difference."""
    figure = Figure(figsize=(10, 3.4 * len(runs)), layout="constrained")
    for axes, facts in zip(figure.subplots(len(runs), 2, squeeze=False), runs, strict=True):
        curve, column = facts.curve, facts.published_column
        axes[0].plot(
            range(1, len(curve.top1_percent) + 1), curve.top1_percent, color="0.55", label="published, ImageNet"
        )
        names = {"val_accuracy": "this run", "ema_val_accuracy": "this run, averaged weights"}
        for name, color in zip(names, COLORS, strict=False):
            points = [(row["epoch"], 100 * row[name]) for row in facts.history if name in row]
            if points:
                axes[0].plot(*zip(*points, strict=True), color=color, label=names[name])
        gaps = [(row["epoch"], 100 * row[column] - published) for row, published in facts.published if column in row]
        color = COLORS[list(names).index(column)]
        axes[1].axhline(0, color="0.55")
        axes[1].plot(*zip(*gaps, strict=True), color=color, marker="o" if len(gaps) == 1 else None)
        axes[0].set_title(label(f"{facts.title} ({facts.name}), recipe {curve.recipe}", 70), fontsize=11, loc="left")
        axes[0].legend(frameon=False, loc="lower right")
        for axis, what in zip(axes, ("top-1, %", "points above the published top-1"), strict=True):
            axis.set_xlabel("epoch")
            axis.set_ylabel(what)
            axis.grid(axis="y", color="0.92")
            axis.xaxis.get_major_locator().set_params(integer=True)
            plain(axis)
    save(figure, path)


def seeds(path: Path, networks: Sequence[Network]) -> None:
    """A line for each network: every seed as a point, their mean as a stroke; a panel for each data set."""
    data = list(dict.fromkeys(network.data for network in networks))
    rows = [[network for network in networks if network.data == name] for name in data]
    colors = colors_of(network.label for network in networks)
    heights = [0.9 + 0.45 * len(row) for row in rows]
    figure = Figure(figsize=(8.5, 0.5 + sum(heights)), layout="constrained")
    axes = figure.subplots(len(data), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axis, name, row in zip(axes, data, rows, strict=True):
        for y, network in enumerate(row):
            style = {"color": colors[network.label], "markersize": 7, "alpha": 0.7, "markeredgewidth": 0}
            axis.plot(network.values, [y] * len(network.values), "o", **style)
            axis.plot([network.mean] * 2, [y - 0.3, y + 0.3], color="0.15", linewidth=2)
            place = {"xytext": (10, 0), "textcoords": "offset points", "va": "center", "fontsize": 9.5}
            note = f"{network.mean:.2f} ± {network.deviation:.2f}"
            axis.annotate(note, (max(network.values), y), **place)
        low, high = (f([a for n in row for a in n.values]) for f in (min, max))
        margin = max(high - low, 0.2)
        axis.set_xlim(low - 0.1 * margin, high + 0.35 * margin)  # the note is to the right
        axis.set_ylim(len(row) - 0.4, -0.6)
        axis.set_yticks(range(len(row)), [label(network.label) for network in row], fontsize=10)
        metric = row[0].task.metric_title
        axis.set_xlabel(
            f"validation {metric}, %; points are seeds, strokes their means (± standard deviation)", loc="right"
        )
        axis.set_title(label(name), fontsize=11, loc="left")
        axis.grid(axis="x", color="0.92")
        plain(axis)
    save(figure, path)


def plain(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, facecolor="white")
