"""Boxes drawn into images, with labels that can be read."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.evaluation.detection.curves import pixels

# Okabe and Ito's colors, which people with any kind of color blindness tell apart
ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILION, PURPLE = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#D55E00",
    "#CC79A7",
)
_OF_CLASSES = (ORANGE, SKY, GREEN, YELLOW, PURPLE, BLUE, VERMILION)
_SMALLEST_SIDE = 400  # pixels of the longer side; smaller images are enlarged


@dataclass(frozen=True)
class Mark:
    """A box to draw: relative edges, color, label ("" for none), and the kind of line."""

    box: Sequence[float]
    color: str
    label: str = ""
    thick: bool = True
    dashed: bool = False


def draw_boxes(image: np.ndarray, detections: Detections, class_names: Sequence[str]) -> np.ndarray:
    """An image, uint8 (h, w, 3), with its detections, each with name and score, the best on top; a color a class.

    An image whose longer side is below 400 pixels comes back larger, so that labels are legible.
    """
    marks = [
        Mark(box, _OF_CLASSES[label % len(_OF_CLASSES)], f"{class_names[label]} {score:.2f}")
        for box, score, label in zip(detections.boxes, detections.scores, detections.labels, strict=True)
    ]
    return draw_marks(image, marks, at_least=_SMALLEST_SIDE)


def draw_marks(image: np.ndarray, marks: Sequence[Mark], at_least: int = 0, exactly: int = 0) -> np.ndarray:
    """An image, uint8 (h, w, 3), with marks, the first on top, and the labels above all boxes.

    Args:
      at_least, exactly: what the longer side is brought to before, in pixels; 0 leaves it.
    """
    from PIL import Image, ImageDraw

    picture = Image.fromarray(np.ascontiguousarray(image)).convert("RGB")
    longer = exactly or max(at_least, *picture.size)
    if longer != max(picture.size):
        share = longer / max(picture.size)
        picture = picture.resize([max(1, round(side * share)) for side in picture.size], Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(picture)
    thin = max(1, round(longer / 500))
    boxes = pixels(np.array([m.box for m in marks]).reshape(-1, 4), *picture.size)
    for mark, box in reversed(list(zip(marks, boxes, strict=True))):
        _outline(pen, box, mark, 2 * thin if mark.thick else thin)
    font, placed = _font(max(11, round(longer / 42))), []
    for mark, box in zip(marks, boxes, strict=True):
        if mark.label:
            placed.append(_write(pen, picture.size, font, box, mark, placed))
    return np.asarray(picture)


def _outline(pen, box: np.ndarray, mark: Mark, width: int) -> None:
    x_min, y_min, x_max, y_max = box
    if not mark.dashed:
        pen.rectangle([x_min, y_min, max(x_min, x_max), max(y_min, y_max)], outline=mark.color, width=width)
        return
    step = 4 * width + 4
    for a, b in (((x_min, y_min), (x_max, y_min)), ((x_min, y_max), (x_max, y_max))):
        for x in np.arange(a[0], b[0], step):
            pen.line([(x, a[1]), (min(x + 0.6 * step, b[0]), b[1])], fill=mark.color, width=width)
    for a, b in (((x_min, y_min), (x_min, y_max)), ((x_max, y_min), (x_max, y_max))):
        for y in np.arange(a[1], b[1], step):
            pen.line([(a[0], y), (b[0], min(y + 0.6 * step, b[1]))], fill=mark.color, width=width)


def _write(pen, size: tuple[int, int], font, box: np.ndarray, mark: Mark, placed: list) -> tuple:
    """Write a label at the first place near its box that no label has yet; returns the rectangle it takes."""
    left, top, right, bottom = pen.textbbox((0, 0), mark.label, font=font)
    width, height = right - left + 6, bottom - top + 5
    x_min, y_min, x_max, y_max = box
    places = [
        (x, y)
        for y in (y_min - height, y_min, y_max, y_max - height)  # above, within, below, within
        for x in (x_min, x_max - width)
    ]
    rectangles = []
    for x, y in places:
        x, y = min(max(x, 0), max(size[0] - width, 0)), min(max(y, 0), max(size[1] - height, 0))
        rectangles.append((x, y, x + width, y + height))
    free = [r for r in rectangles if not any(_meet(r, other) for other in placed)]
    chosen = (free or rectangles)[0]
    pen.rectangle(chosen, fill=mark.color)
    dark = mark.color in (BLUE, VERMILION, GREEN)
    pen.text((chosen[0] + 3 - left, chosen[1] + 2 - top), mark.label, font=font, fill="white" if dark else "black")
    return chosen


def _meet(a: tuple, b: tuple) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


@functools.lru_cache(maxsize=16)
def _font(size: int):
    from matplotlib import font_manager
    from PIL import ImageFont

    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)
