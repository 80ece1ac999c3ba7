"""What is in an image: boxes with their classes, and what a benchmark says of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

REGION = -1  # the label of a region that belongs to no class and is ignored, such as KITTI's DontCare
OTHER_CLASS = -2  # in annotations: a class that is left out
_COLUMNS = 10  # x_min, y_min, x_max, y_max, label, difficult, crowd, area, truncation, occlusion
_TOLERANCE = 0.01  # pixels; a box that reaches further out of the image counts as clipped


@dataclass(frozen=True, eq=False)
class Objects:
    """The n objects of one image.

    boxes: float32 (n, 4), x_min, y_min, x_max, y_max relative to the image, within 0..1 and with an area.
    labels: int32 (n,), from 0; -1: a region to ignore. difficult, crowd: bool (n,), as VOC and COCO mean them.
    area: float32 (n,), pixels of the original image: COCO's own, else that of the box. truncation: float32 (n,),
    0..1. occlusion: int32 (n,), 0..3 as in KITTI, else 0.
    """

    boxes: np.ndarray
    labels: np.ndarray
    difficult: np.ndarray
    crowd: np.ndarray
    area: np.ndarray
    truncation: np.ndarray
    occlusion: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def ignored(self) -> np.ndarray:
        """bool (n,): not trained on, and in evaluation neither right nor wrong."""
        return self.difficult | self.crowd | (self.labels < 0)

    def packed(self) -> bytes:
        """All of it as bytes, for a digest; the same on every machine."""
        columns = (self.boxes, self.labels, self.difficult, self.crowd, self.area, self.truncation, self.occlusion)
        return b"".join(np.ascontiguousarray(c, c.dtype.newbyteorder("<")).tobytes() for c in columns)

    def tally(self) -> Counter:
        """How many boxes there are of each kind that is treated apart; 1 image without boxes where there are none."""
        counts = {
            "boxes": len(self),
            "difficult": self.difficult.sum(),
            "crowd": self.crowd.sum(),
            "regions to ignore": (self.labels < 0).sum(),
            "truncated": (self.truncation > 0).sum(),
            "occluded": (self.occlusion > 0).sum(),
            "images without boxes": len(self) == 0,
        }
        return Counter({name: int(count) for name, count in counts.items() if count})


@dataclass(frozen=True, eq=False)
class Truth:
    """An image's name, its size in pixels as stored, and its objects."""

    name: str
    width: int
    height: int
    objects: Objects


class Annotation(NamedTuple):
    """Boxes as an annotation file has them. rows: float64 (n, 10), made by `annotation_row`, in pixels.

    width, height: of the image, as the annotation says; 0: it does not.
    """

    rows: np.ndarray
    width: int = 0
    height: int = 0


def annotation_row(
    box, label: int, *, difficult=False, crowd=False, area=np.nan, truncation=0.0, occlusion=0
) -> tuple[float, ...]:
    """A row of an `Annotation`; box: x_min, y_min, x_max, y_max in pixels from 0, where x_max is past the last one."""
    return (*box, label, difficult, crowd, area, truncation, occlusion)


def annotation(rows: list[tuple[float, ...]], width: int = 0, height: int = 0) -> Annotation:
    return Annotation(np.array(rows, np.float64).reshape(-1, _COLUMNS), width, height)


def place(annotation: Annotation, width: int, height: int, orientation: int = 1) -> tuple[Objects, Counter]:
    """The objects of an image of width x height pixels as it is stored, and how many of each kind there were.

    orientation: of the image file, in EXIF's numbers; it is turned upright when it is stored. Boxes are those of the
    upright image, unless the size that the annotation gives is that of the image before it was turned.
    An annotation of an image of another size but the same shape is taken as relative to that size.
    """
    rows, tally = annotation.rows, Counter()
    shown = (annotation.width, annotation.height)
    boxes, size = rows[:, :4], (width, height)
    if 5 <= orientation <= 8 and shown == (height, width) != size:
        boxes, size = _turned(boxes, shown, orientation), size
        tally["boxes turned with the image"] += len(boxes)
    elif min(shown) > 0 and shown != size:
        tally["images of another size than annotated"] += 1
        if abs(shown[0] * height - shown[1] * width) <= max(*shown, *size):  # the same shape, up to a pixel
            size = shown
    known = rows[:, 4] > OTHER_CLASS
    tally["dropped: another class"] += int((~known).sum())
    area = rows[:, 7] * (width * height / (size[0] * size[1]))
    columns = (rows[:, 4], rows[:, 5] > 0, rows[:, 6] > 0, area, rows[:, 8], rows[:, 9])
    relative = boxes / (*size, *size)
    objects, dropped = clean(relative[known], *(column[known] for column in columns), width, height)
    return objects, +(tally + dropped)


def clean(
    boxes, labels, difficult, crowd, area, truncation, occlusion, width: int, height: int
) -> tuple[Objects, Counter]:
    """Objects of relative boxes (n, 4) of any kind: clipped to the image; those that leave nothing are dropped.

    area: NaN where it is that of the box. Boxes that are sound already come back bit for bit.
    """
    finite = np.isfinite(boxes).all(1)
    extent = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    bounded = np.clip(boxes, 0, 1)
    clipped = bounded.astype(np.float32)
    left = (clipped[:, 2] > clipped[:, 0]) & (clipped[:, 3] > clipped[:, 1])
    keep = finite & extent & left
    pixels = np.array((width, height, width, height), np.float64)
    moved = (np.abs(boxes - bounded) * pixels > _TOLERANCE).any(1)
    sides = (bounded[:, 2:] - bounded[:, :2]) * pixels[:2]
    area = np.where(np.isfinite(area), area, sides.prod(1))
    objects = Objects(
        clipped[keep],
        np.maximum(labels[keep], REGION).astype(np.int32),
        difficult[keep].astype(bool),
        crowd[keep].astype(bool),
        area[keep].astype(np.float32),
        np.clip(truncation[keep], 0, 1).astype(np.float32),
        np.clip(occlusion[keep], 0, 3).astype(np.int32),
    )
    tally = objects.tally()
    tally["clipped to the image"] = int((keep & moved).sum())
    tally["dropped: not four numbers"] = int((~finite).sum())
    tally["dropped: without an area"] = int((finite & ~extent).sum())
    tally["dropped: outside the image"] = int((finite & extent & ~left).sum())
    return objects, +tally


def _turned(boxes: np.ndarray, size: tuple[int, int], orientation: int) -> np.ndarray:
    """Boxes in pixels of an image of `size` (width, height) after it was turned by EXIF's orientation 5, 6, 7, or 8."""
    width, height = size
    x0, y0, x1, y1 = boxes.T
    if orientation in (6, 7):
        y0, y1 = height - y1, height - y0
    if orientation in (7, 8):
        x0, x1 = width - x1, width - x0
    return np.stack([y0, x0, y1, x1], 1)
