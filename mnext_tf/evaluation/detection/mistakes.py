"""The images on which a detector is worst, and a sheet of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection.drawing import BLUE, GREEN, SKY, VERMILION, Mark, draw_marks
from mnext_tf.evaluation.plots import pyplot, short
from mnext_tf.files import atomic_write
from mnext_tf.tasks.box_matching import RIGHT, WRONG, match_detections

SCORE = 0.3  # below it a detection is no mistake worth a picture
_COLUMNS, _PANEL = 3, 520  # pixels of a panel's longer side
_LEGEND = (
    ("missed object", BLUE, "--", 3),
    ("object that was found", SKY, "--", 1.5),
    ("wrong detection", VERMILION, "-", 3),
    ("right detection", GREEN, "-", 1.5),
)


@dataclass(frozen=True)
class Mistakes:
    """Of one image: its position in the lists, objects that were missed, and detections that were wrong."""

    image: int
    missed: int
    wrong: int


def worst_images(
    truths: Sequence[Truth], detections: Sequence[Detections], most: int = 12, score: float = SCORE
) -> list[Mistakes]:
    """The images with the most missed objects and wrong detections (IoU 0.5, of at least `score`), worst first."""
    found = []
    for image, (truth, seen) in enumerate(zip(truths, detections, strict=True)):
        o = truth.objects
        fate, finder = match_detections(seen.above(score), o.boxes, o.labels, o.ignored)
        found.append(Mistakes(image, int(((finder < 0) & ~o.ignored).sum()), int((fate == WRONG).sum())))
    found.sort(key=lambda m: -(m.missed + m.wrong))
    return [m for m in found[:most] if m.missed + m.wrong]


def mark_mistakes(truth: Truth, detections: Detections, class_names: Sequence[str], score: float = SCORE) -> list[Mark]:
    """Boxes of one image: what is wrong and what was missed with labels, what is right without."""
    o, seen = truth.objects, detections.above(score)
    fate, finder = match_detections(seen, o.boxes, o.labels, o.ignored)
    wrong = [
        Mark(seen.boxes[i], VERMILION, f"{class_names[seen.labels[i]]} {seen.scores[i]:.2f}")
        for i in np.flatnonzero(fate == WRONG)
    ]
    wanted = np.flatnonzero(~o.ignored)
    missed = [Mark(o.boxes[j], BLUE, class_names[o.labels[j]], dashed=True) for j in wanted if finder[j] < 0]
    right = [Mark(seen.boxes[i], GREEN, thick=False) for i in np.flatnonzero(fate == RIGHT)]
    return wrong + missed + right + [Mark(o.boxes[j], SKY, "", False, True) for j in wanted if finder[j] >= 0]


def contact_sheet(
    path: Path,
    images: Sequence[np.ndarray],
    truths: Sequence[Truth],
    detections: Sequence[Detections],
    class_names: Sequence[str],
    title: str,
    score: float = SCORE,
) -> None:
    """A PNG file of images, uint8 (h, w, 3) of any size, with their mistakes; one truth and detections of each."""
    plt = pyplot()
    columns = min(_COLUMNS, max(1, len(images)))
    rows = max(1, -(-len(images) // columns))
    shapes = [image.shape for image in images] or [(1, 1, 3)]
    tallest = max(h / max(h, w) for h, w, _ in shapes)
    figure, axes = plt.subplots(
        rows, columns, figsize=(4.1 * columns, (4.1 * tallest + 0.35) * rows + 0.9), squeeze=False, layout="constrained"
    )
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, image, truth, found in zip(axes.flat, images, truths, detections, strict=False):
        axis.imshow(draw_marks(image, mark_mistakes(truth, found, class_names, score), exactly=_PANEL))
        (m,) = worst_images([truth], [found], 1, score) or [Mistakes(0, 0, 0)]
        axis.set_title(f"{short(truth.name, 32)}: {m.missed} missed, {m.wrong} wrong", fontsize=9)
    lines = [plt.Line2D([], [], color=color, linestyle=style, linewidth=w) for _, color, style, w in _LEGEND]
    figure.legend(lines, [name for name, *_ in _LEGEND], loc="outside lower center", ncols=4, frameon=False)
    figure.suptitle(f"{title} (score {score:g} or more, IoU 0.5)")
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=130)
    plt.close(figure)
