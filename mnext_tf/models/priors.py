"""The boxes that a detector's regression starts from: SSD's, on the six feature maps of SSDLite. NumPy only."""

from __future__ import annotations

import itertools

import numpy as np

from mnext_tf.errors import one_of

PRIORS = ("voc", "coco")  # kinds
STRIDES = (16, 32)  # of the feature maps that the backbone gives; the extra ones halve the last of these, rounded up
LEVELS = 6
_RATIOS = (2, 3)
# Of a square of 320 pixels: sides of the smaller square of each map, and, with it, of the larger one
_SMALL = (45, 90, 135, 180, 225, 270)
_LARGE = {"voc": (120, 180, 220, 260, 300, 320), "coco": (90, 135, 180, 225, 270, 315)}
_OF = 320
_AUTHORS_CELLS = {320: (20, 10, 5, 320 / 120, 2, 1)}  # to a side of the image, where that is not the map's side


def map_sides(input_size: int) -> list[int]:
    """Sides of the feature maps: 20, 10, 5, 3, 2, 1 at 320 pixels."""
    sides = [-(-input_size // stride) for stride in STRIDES]
    while len(sides) < LEVELS:
        sides.append(-(-sides[-1] // 2))
    return sides


def ratios(kind: str, level: int) -> tuple[int, ...]:
    """Aspect ratios beside 1 of a feature map, each with its reciprocal."""
    return _RATIOS[:1] if kind == "coco" and level == LEVELS - 1 else _RATIOS


def priors_per_cell(kind: str) -> list[int]:
    """How many priors each position of a feature map has, by feature map."""
    return [2 + 2 * len(ratios(kind, level)) for level in range(LEVELS)]


def make_priors(kind: str, input_size: int) -> np.ndarray:
    """(priors, 4), float32: center x, center y, width, height, relative to the image and clipped to it, in 0..1.

    The order is that of the network's outputs: feature map, row, column, shape. At other sizes than 320 pixels the
    shapes are the same shares of the image.
    """
    one_of("priors", kind, PRIORS)
    sides, found = map_sides(input_size), []
    cells = _AUTHORS_CELLS.get(input_size, sides)
    for level, (side, per_image) in enumerate(zip(sides, cells, strict=True)):
        small, large = _SMALL[level] / _OF, _LARGE[kind][level] / _OF
        shapes = [(small, small), ((small * large) ** 0.5,) * 2]
        for ratio in ratios(kind, level):
            long, short = small * ratio**0.5, small / ratio**0.5
            shapes += [(long, short), (short, long)]
        centers = itertools.product((np.arange(side) + 0.5) / per_image, repeat=2)
        found += [(x, y, *shape) for y, x in centers for shape in shapes]
    return np.clip(np.array(found, np.float32), 0, 1)
