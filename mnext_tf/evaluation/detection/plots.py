"""Precision over recall, and the classes beside each other."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnext_tf.evaluation.detection.drawing import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, YELLOW
from mnext_tf.evaluation.plots import pyplot, short
from mnext_tf.files import atomic_write

_COLORS = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILION, YELLOW)
_BARS = 40
_AT = {"coco": "IoU 0.5", "voc07": "IoU 0.5", "voc": "IoU 0.5", "kitti": "difficulty moderate"}


def precision_recall(path: Path, result: dict, title: str) -> None:
    """A PNG file of `evaluate_detections`: curves of the classes with the most objects and of all, beside every AP.

    Of more than 40 classes the 20 best and the 20 worst have bars; a table has the others.
    """
    plt = pyplot()
    rows = sorted((r for r in result["classes"] if r["AP"] is not None), key=lambda r: -r["AP"])
    height = max(4.6, 1.2 + 0.17 * min(len(rows), _BARS))
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, height), width_ratios=(1.25, 1), layout="constrained")
    _curves(left, result)
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title=f"at {_AT[result['metrics']]}")
    left.grid(alpha=0.3)
    left.spines[["top", "right"]].set_visible(False)
    _bars(right, rows)
    overall = result["summary"]["AP"]
    figure.suptitle(f"{title}: AP {overall:.3f}" if overall is not None else f"{title}: no objects")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)
    plt.close(figure)


def _curves(axis, result: dict) -> None:
    objects = {row["class"]: row["objects"] for row in result["classes"]}
    curves = sorted(result["curves"], key=lambda c: -objects[c["class"]])
    shown = curves[: len(_COLORS)]
    for color, curve in zip(_COLORS, shown, strict=False):
        reached = [p or np.nan for p in curve["precision"]]  # a curve ends at the last recall
        axis.plot(curve["recall"], reached, color=color, label=_label(curve["name"], objects[curve["class"]]))
    if len(curves) > 1:
        mean = np.mean([curve["precision"] for curve in curves], axis=0)
        axis.plot(curves[0]["recall"], mean, color="black", linewidth=2.5, label=f"mean of {len(curves)} classes")
    if curves:
        axis.figure.legend(fontsize=8, frameon=False, loc="outside lower left", ncols=4)


def _label(name: str, objects: int) -> str:
    return f"{short(name)} ({objects} object{'s' * (objects != 1)})"


def _bars(axis, rows: list[dict]) -> None:
    left_out = len(rows) - _BARS
    if left_out > 0:
        rows = rows[: _BARS // 2] + rows[-_BARS // 2 :]
    bars = axis.barh(range(len(rows)), [row["AP"] for row in rows], color="#4c72b0")
    axis.bar_label(bars, [f"{row['AP']:.3f}" for row in rows], padding=3, fontsize=8)
    axis.set_yticks(range(len(rows)), [short(row["name"]) for row in rows], fontsize=8)
    axis.invert_yaxis()
    if left_out > 0:
        axis.axhline(_BARS // 2 - 0.5, color="gray", linestyle=":")
    axis.set(xlim=(0, 1.12), xlabel="AP", title=f"best and worst {_BARS // 2}" if left_out > 0 else "of each class")
    axis.spines[["top", "right"]].set_visible(False)
