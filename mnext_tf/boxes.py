"""Boxes: overlap, coding against priors, suppression of duplicates, and from a network's outputs to detections.

A box is float32 (x_min, y_min, x_max, y_max), relative to the image, 0..1. Priors are (cx, cy, w, h), relative.
NumPy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mnext_tf.errors import ConfigError, ExportError, one_of
from mnext_tf.records import Record, field

CENTER_VARIANCE, SIZE_VARIANCE = 0.1, 0.2
CANDIDATES = 400  # of a class, before suppression; as SSD's first implementation
SCORINGS = ("softmax", "sigmoid")
BESIDE_CLASSES = 5  # columns of packed outputs: the background, and four of the box
_LARGEST_EXPONENT = 20.0  # of a size over its prior's: far beyond any image, and finite in float32


@dataclass(frozen=True, eq=False)
class Detections:
    """What a network found in one image, best first: boxes float32 (n, 4), scores float32 (n,), labels int32 (n,)."""

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> Detections:
        """Those of at least that score."""
        kept = self.scores >= score
        return Detections(self.boxes[kept], self.scores[kept], self.labels[kept])


@dataclass(frozen=True)
class DetectionSettings(Record):
    """How outputs become detections."""

    scoring: str = field(
        "softmax", "How logits become scores: softmax with a background, or sigmoid.", choices=SCORINGS
    )
    score_threshold: float = field(0.01, "Detections below this score are dropped.", at_least=0, below=1)
    iou_threshold: float = field(
        0.45, "Overlap above which the worse of two boxes of a class goes.", above=0, at_most=1
    )
    max_detections: int = field(100, "Detections of an image at most, of all classes together.", at_least=1)

    def detect(self, packed: np.ndarray, priors: np.ndarray) -> list[Detections]:
        """`detect` with these settings."""
        return detect(
            packed, priors, self.scoring, self.score_threshold, self.iou_threshold, max_detections=self.max_detections
        )


DETECTION_SETTINGS = {  # by the benchmark: as the authors of MobileNeXt test
    "voc": DetectionSettings(),
    "coco": DetectionSettings("sigmoid", score_threshold=0.05, iou_threshold=0.5),
}


def area(boxes: np.ndarray) -> np.ndarray:
    """(..., 4) boxes to (...,); an empty or inverted box has area 0."""
    return np.maximum(boxes[..., 2] - boxes[..., 0], 0) * np.maximum(boxes[..., 3] - boxes[..., 1], 0)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Areas (n, m) that boxes a (n, 4) share with boxes b (m, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.maximum(high - low, 0), axis=-1)


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union (n, m) of boxes a (n, 4) with boxes b (m, 4); 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def encode(boxes: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """Boxes (..., n, 4) as a network gives them for priors (n, 4): (dx, dy, dw, dh), float32. Sizes must be above 0."""
    center, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    shift = (center - priors[:, :2]) / priors[:, 2:] / CENTER_VARIANCE
    return np.concatenate([shift, np.log(size / priors[:, 2:]) / SIZE_VARIANCE], axis=-1).astype(np.float32)


def decode(regression: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """(dx, dy, dw, dh) (..., n, 4) for priors (n, 4) to boxes (..., n, 4), float32; they may leave the image."""
    center = regression[..., :2] * CENTER_VARIANCE * priors[:, 2:] + priors[:, :2]
    exponent = np.minimum(regression[..., 2:] * SIZE_VARIANCE, _LARGEST_EXPONENT)
    half = np.exp(exponent) * priors[:, 2:] / 2
    return np.concatenate([center - half, center + half], axis=-1).astype(np.float32)


def suppress(
    boxes: np.ndarray,
    scores: np.ndarray,
    labels: np.ndarray,
    iou_threshold: float,
    max_detections: int,
    candidates: int = CANDIDATES,
) -> np.ndarray:
    """Greedy suppression within each class: the indices that stay, best first, at most `max_detections` in all.

    A box goes where it overlaps a better one of its class by more than `iou_threshold`. Of each class only the best
    `candidates` are looked at. Of equal scores the smaller label comes first, then the smaller index.

    Args:
      boxes, scores, labels: (n, 4), (n,), (n,).
    """
    order = np.lexsort((-scores, labels))  # stable: by class, then best first
    labels = labels[order]
    starts = np.searchsorted(labels, labels)  # for each, where its class begins
    within = np.arange(len(order)) - starts < candidates
    order, labels = order[within], labels[within]
    boxes, left = boxes[order], scores[order].astype(np.float64)
    ends = np.searchsorted(labels, labels, side="right")
    kept = []
    # The best of all classes that is left cannot be suppressed any more: at most max_detections rounds
    while len(kept) < min(max_detections, len(order)):
        best = int(np.argmax(left))
        if left[best] == -np.inf:
            break
        kept.append(best)
        same = slice(best, ends[best])  # those before it in its class are kept or gone
        left[same][iou(boxes[best : best + 1], boxes[same])[0] > iou_threshold] = -np.inf
        left[best] = -np.inf  # an empty box does not overlap itself
    return order[kept]


def detect(
    packed: np.ndarray,
    priors: np.ndarray,
    scoring: str,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int = 100,
    candidates: int = CANDIDATES,
) -> list[Detections]:
    """A network's outputs as detections, one record an image; boxes are clipped to the image after suppression.

    Args:
      packed: (batch, priors, num_classes + 5): logits, background first, then the box regression.
      priors: (priors, 4), center form.
      scoring: "softmax" over all columns, or "sigmoid" of the classes' own (the background's is unused).
      score_threshold, iou_threshold, max_detections, candidates: see `DetectionSettings` and `suppress`.

    Raises ExportError where an output is not a finite number, ConfigError for shapes that do not fit.
    """
    one_of("scoring", scoring, SCORINGS)
    packed = np.asarray(packed)
    if packed.ndim != 3 or packed.shape[1] != len(priors) or packed.shape[2] < 6:
        raise ConfigError(f"packed must be (batch, {len(priors)}, num_classes + 5); received {packed.shape}.")
    if not np.isfinite(packed).all():
        raise ExportError("The network's outputs are not finite numbers: its weights or its ranges are broken.")
    packed = packed.astype(np.float32, copy=False)
    boxes = decode(packed[..., -4:], priors)
    found = []
    for logits, image_boxes in zip(packed[..., :-4], boxes, strict=True):
        prior, label, scores = _candidates(logits, scoring, score_threshold, candidates)
        kept = suppress(image_boxes[prior], scores, label, iou_threshold, max_detections, candidates)
        clipped = np.clip(image_boxes[prior[kept]], 0, 1)
        found.append(Detections(clipped, scores[kept], label[kept].astype(np.int32)))
    return found


def _candidates(
    logits: np.ndarray, scoring: str, threshold: float, most: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(priors, 1 + classes) logits to the prior, the label, and the score, float32, of all scores from `threshold` on.

    Of a class with more than `most` those that cannot be among its best may be left out.
    """
    if scoring == "sigmoid":  # monotonic: exponentials of the likely ones only
        values, limit = logits[:, 1:], np.log(threshold / (1 - threshold)) - 1e-3 if threshold else -np.inf
    else:
        with np.errstate(over="ignore"):  # of differences of the largest numbers, which are 0 as shares
            shares = np.exp(logits - logits.max(1, keepdims=True))
        values, limit = shares[:, 1:] / shares.sum(1, keepdims=True), threshold
    chosen = values >= limit
    # Many scores are alike, as at the start of a training, and sorting them all takes long
    if len(chosen) > most and chosen.sum() > 4 * most:
        crowded = np.flatnonzero(chosen.sum(0) > most)
        chosen[:, crowded] &= values[:, crowded] >= np.partition(values[:, crowded], -most, axis=0)[-most]
    prior, label = np.nonzero(chosen)
    scores = values[prior, label]
    if scoring == "sigmoid":
        scores = 1 / (1 + np.exp(-np.clip(scores, -80, 80)))
    likely = scores >= threshold
    return prior[likely], label[likely], scores[likely].astype(np.float32, copy=False)
