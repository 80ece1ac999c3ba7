"""The plot of an int8 file's layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from mnext_tf.evaluation.int8_layers import LayerAccount
from mnext_tf.report.plots import COLORS, colors_of, label, plain, save

_CLIPPED = 0.001  # share of values from which a layer is marked
_GAP = 2  # of the text above a bar, in points


def plot_layers(path: Path, layers: Sequence[LayerAccount], title: str, sqnr_db: float) -> None:
    """Bars of each layer's share of the logits' noise above the SQNR of its own output, in order of computation."""
    figure = Figure(figsize=(max(7.0, 2.0 + 0.19 * len(layers)), 7.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.2, 1))
    at, shares = range(len(layers)), [100 * row.noise_share for row in layers]
    colors = colors_of(row.operator for row in layers)
    for kind, color in colors.items():
        bars = [(i, share) for i, share, row in zip(at, shares, layers, strict=True) if row.operator == kind]
        above.bar(*zip(*bars, strict=True), width=0.8, color=color, label=kind)
    for i in sorted(at, key=lambda i: -shares[i])[:3]:
        place = {"xytext": (0, _GAP), "textcoords": "offset points", "ha": "center", "fontsize": 8}
        above.annotate(f"{shares[i]:.1f}", (i, shares[i]), **place)
    above.set_ylabel("share of the logits' noise, %")
    above.legend(frameon=False, fontsize=8.5, ncols=2, loc="upper right")
    above.set_ylim(0, 1.25 * max(*shares, 1e-9))
    above.set_title(f"{label(title, 90)}: SQNR of the logits {sqnr_db:.1f} dB", fontsize=11, loc="left")
    own = [row.sqnr_db for row in layers]
    below.plot(at, own, color="0.25", linewidth=1.2, marker="o", markersize=3.5)
    if clipped := [i for i in at if layers[i].clipped_share > _CLIPPED]:
        text = f"more than {100 * _CLIPPED:g} % of the values outside the range"
        style = {"color": COLORS[5], "markerfacecolor": "none", "markersize": 9, "linestyle": ""}
        below.plot(clipped, [own[i] for i in clipped], marker="o", label=text, **style)
        below.legend(frameon=False, fontsize=8.5, loc="upper right")
    below.set_ylabel("SQNR of the layer's output, dB")
    below.set_xticks(at, [label(row.layer) for row in layers], rotation=90, fontsize=7)
    below.set_xlim(-0.8, len(layers) - 0.2)
    for axis in (above, below):
        axis.grid(axis="y", color="0.92")
        plain(axis)
    save(figure, path)
