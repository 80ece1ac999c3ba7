"""The report's pictures. Each function writes one PNG; colours are told apart by colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from mnext_tf.benchmark.results import Results
from mnext_tf.files import atomic_write
from mnext_tf.report.markdown import decimals, number, threads
from mnext_tf.report.run_facts import RunFacts, row_title

# Okabe and Ito's palette
COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")

DOTS_PER_INCH = 150

STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Panel:
    """One column of the overview."""

    heading: str
    subtitle: str
    values: dict[tuple[str, str], float]  # by (network, type)
    spread: dict[tuple[str, str], tuple[float, float]]  # ends of the error bars, where there are any
    format: str
    absent: str  # said where there is no value


def color_of(name: str, names: Sequence[str]) -> str:
    """By alphabet, so that a network has the same colour in every picture, whatever the order there."""
    return COLORS[sorted(set(names)).index(name) % len(COLORS)]


def overview(path: Path, panels: Sequence[Panel]) -> None:
    """Horizontal bars: a row for each network and type, shared by all panels."""
    known = dict.fromkeys(key for panel in panels for key in panel.values)
    networks, types = list(dict.fromkeys(n for n, _ in known)), sorted({kind for _, kind in known})
    rows = [(network, kind) for network in networks for kind in types if (network, kind) in known]
    figure = Figure(figsize=(11, 1.5 + 0.42 * len(rows) + 0.16 * len(networks)), layout="constrained")
    positions = [i + 0.5 * networks.index(network) for i, (network, _) in enumerate(rows)]
    figure.get_layout_engine().set(wspace=0.05)
    axes = figure.subplots(1, len(panels), sharey=True, squeeze=False)[0]
    for axis, panel in zip(axes, panels, strict=True):
        largest = max([*panel.values.values(), *(high for _, high in panel.spread.values())])
        for position, (network, kind) in zip(positions, rows, strict=True):
            value = panel.values.get((network, kind))
            if value is None:
                axis.text(largest * 0.02, position, panel.absent, va="center", color="0.45", fontsize=9)
                continue
            color = color_of(network, networks)
            axis.barh(position, value, 0.82, color=color, alpha=1 - 0.45 * types.index(kind) / max(1, len(types) - 1))
            low, high = panel.spread.get((network, kind), (value, value))
            if high > low:
                axis.plot([low, high], [position, position], color="0.15", linewidth=1.6)
            axis.text(max(value, high) + largest * 0.02, position, panel.format.format(value), va="center", fontsize=10)
        axis.set_title(panel.heading, fontsize=12, fontweight="bold", loc="left", pad=20)
        axis.text(0, 1.0, panel.subtitle, transform=axis.transAxes, fontsize=9, color="0.35", va="bottom")
        axis.set_xlim(0, largest * 1.25)
        plain(axis)
        axis.spines["left"].set_visible(False)
        axis.tick_params(axis="y", length=0)
        axis.xaxis.set_visible(False)
        axis.spines["bottom"].set_visible(False)
    axes[0].set_yticks(positions, [f"{network}  {kind}" for network, kind in rows], fontsize=10)
    axes[0].invert_yaxis()
    save(figure, path)


def latency(path: Path, results: Results) -> None:
    """Bars grouped by type and threads, a row of them for each input size; error bars are the
    quartiles of the rounds' medians."""
    rows = results.rows
    networks = list(dict.fromkeys(row_title(r) for r in rows))
    groups = list(dict.fromkeys((r["quantize"], _runner(r)) for r in rows))
    sizes = list(dict.fromkeys(r["input_size"] for r in rows))
    breadth = max(7.0, 1.6 + 0.75 * len(networks) * len(groups))
    figure = Figure(figsize=(breadth, 0.9 + 3.5 * len(sizes)), layout="constrained")
    for axis, size in zip(figure.subplots(len(sizes), 1, squeeze=False)[:, 0], sizes, strict=True):
        _latency_bars(axis, [r for r in rows if r["input_size"] == size], networks, groups)
        axis.set_title(f"{short(rows[0]['host_cpu'])}, {size} × {size} pixels", fontsize=11, loc="left", color="0.3")
    handles = [_patch(color_of(network, networks), network) for network in networks]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(networks)), frameon=False, fontsize=10)
    save(figure, path)


def _latency_bars(axis, rows: Sequence[dict], networks: Sequence[str], groups: Sequence[tuple]) -> None:
    width = 0.8 / len(networks)
    places = decimals(r["median_ms"] for r in rows)
    tallest = max(max(r["median_ms"], round_quartiles(r)[1]) for r in rows)
    for row in rows:
        index = networks.index(row_title(row))
        x = groups.index((row["quantize"], _runner(row))) + (index - (len(networks) - 1) / 2) * width
        median = row["median_ms"]
        p25, p75 = round_quartiles(row)
        axis.bar(x, median, width * 0.94, color=color_of(networks[index], networks))
        axis.plot([x, x], [p25, p75], color="0.15", linewidth=1.6)
        note = number(median, places) + ("" if row["ratio"] == 1 else f"\n×{row['ratio']:.2f}")
        axis.text(x, max(median, p75) + tallest * 0.015, note, ha="center", va="bottom", fontsize=9)
    axis.set_xticks(range(len(groups)), [f"{quantize}\n{runner}" for quantize, runner in groups])
    axis.set_ylabel("ms per image")
    axis.set_ylim(0, tallest * 1.18)
    plain(axis)


def _runner(row: dict) -> str:
    return {"gpu": "GPU", "software_gpu": "software GPU"}.get(row["delegate"], threads(row["threads"]))


def training(path: Path, runs: Sequence[RunFacts]) -> None:
    """Loss and accuracy per epoch of every run that has a history; dotted on training images."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots(1, 2)
    names = [f"{facts.title} ({facts.run.name})" for facts in runs]
    for index, facts in enumerate(runs):
        color = color_of(names[index], names)
        epochs = [row["epoch"] for row in facts.history]
        marker = "o" if len(epochs) == 1 else None
        for axis, what, scale in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
            for part, style in (("train", ":"), ("val", STYLES[index // len(COLORS) % len(STYLES)])):
                values = [row[f"{part}_{what}"] * scale for row in facts.history]
                axis.plot(epochs, values, style, marker=marker, color=color, linewidth=1.8, alpha=0.9)
    for axis, label in zip(axes, ("loss", "accuracy, %"), strict=True):
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.grid(axis="y", color="0.9")
        plain(axis)
    axes[0].set_ylim(bottom=0)
    handles = [_line(color_of(name, names), "-", name) for name in names]
    handles += [_line("0.3", "-", "validation"), _line("0.3", ":", "training, augmented images")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=9.5)
    save(figure, path)


def short(cpu: str) -> str:
    """A processor's name without its trademarks."""
    return cpu.replace("(R)", "").replace("(TM)", "")


def round_quartiles(row: dict) -> tuple[float, float]:
    """Quartiles of a benchmark row's medians by round, in ms."""
    p25, p75 = np.percentile(row["round_medians_ms"], [25, 75])
    return float(p25), float(p75)


def _patch(color: str, label: str):
    from matplotlib.patches import Patch

    return Patch(color=color, label=label)


def _line(color: str, style: str, label: str):
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=style, linewidth=2, label=label)


def plain(axis) -> None:
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_axisbelow(True)


def save(figure: Figure, path: Path) -> None:
    with atomic_write(path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, facecolor="white")
