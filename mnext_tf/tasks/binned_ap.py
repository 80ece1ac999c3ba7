"""AP at IoU 0.5 from counts that can be added up over batches and workers, for validation while training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.tasks.box_matching import RIGHT, WRONG, match_detections

BINS = 1000  # of scores, 0..1


def best_from_here(precision: np.ndarray) -> np.ndarray:
    """The best precision at this recall or a higher one, on the last axis."""
    return np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]


def binned_counts(detections: Sequence[Detections], objects: np.ndarray, num_classes: int) -> dict[str, np.ndarray]:
    """Counts of a batch, int64, that may be added up.

    Args:
      detections: one record an image.
      objects: (images, M, 6): x_min, y_min, x_max, y_max, label, ignored (0 or 1); rows of label -1 that are not
        ignored are padding.

    Returns "right" and "wrong" (num_classes, BINS), detections by class and score, and "objects" (num_classes,).
    """
    sums = {name: np.zeros((num_classes, BINS), np.int64) for name in ("right", "wrong")}
    sums["objects"] = np.zeros(num_classes, np.int64)
    for found, rows in zip(detections, np.asarray(objects), strict=True):
        labels, ignored = rows[:, 4].astype(int), rows[:, 5] > 0
        real = (labels >= 0) | ignored
        fate, _ = match_detections(found, rows[real, :4], labels[real], ignored[real])
        bins = np.clip((found.scores * BINS).astype(int), 0, BINS - 1)
        for name, value in (("right", RIGHT), ("wrong", WRONG)):
            np.add.at(sums[name], (found.labels[fate == value], bins[fate == value]), 1)
        sums["objects"] += np.bincount(labels[real & ~ignored], minlength=num_classes)
    return sums


def binned_ap(sums: dict[str, np.ndarray]) -> np.ndarray:
    """AP (num_classes,) at IoU 0.5, the area under the best precision over recall; NaN for classes without objects.

    Within a bin of scores the order is not known; the wrong ones count as the better. So this is never above the exact
    area, and equals it where no bin has both kinds. With scores that spread over many bins the difference is small; it
    is large where all scores are in few bins, as in the first steps of a training. COCO's AP50 samples the same curve
    at 101 recalls and differs by that, too.
    """
    right, wrong = (np.asarray(sums[name], np.float64)[:, ::-1] for name in ("right", "wrong"))
    true, all_of_them = right.cumsum(1), (right + wrong).cumsum(1)
    precision = best_from_here(true / np.maximum(all_of_them, 1))
    objects = np.asarray(sums["objects"], np.float64)
    share = np.divide(1, objects, out=np.full_like(objects, np.nan), where=objects > 0)
    return (precision * right).sum(1) * share


def mean_ap(sums: dict[str, np.ndarray]) -> float:
    """The mean of `binned_ap` over the classes that have objects; 0 where none has."""
    ap = binned_ap(sums)
    return float(np.nanmean(ap)) if np.isfinite(ap).any() else 0.0
