"""Average precision as the PASCAL VOC development kit computes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mnext_tf.boxes import Detections, iou
from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection.curves import RECALLS, at_recalls, curve, pixels, precision_recall
from mnext_tf.tasks.binned_ap import best_from_here

_OVERLAP = 0.5
_ELEVEN = np.arange(11) / 10


def measure(
    truths: Sequence[Truth], detections: Sequence[Detections], class_names: Sequence[str], eleven_points: bool
) -> tuple[list[dict], list[dict | None]]:
    """For each class its AP, and its curve (None without objects).

    A detection belongs to the object of its class that it overlaps most; it is right from an IoU of 0.5 on, once an
    object. Difficult objects (also crowds, and regions without a class) are neither to be found nor wrong.

    The kit's pixels count from 1 and a box includes its last one, so that a side is x_max - x_min + 1. Ours are edges:
    x_min - 1 and x_max of the kit, with the same sides and overlaps.

    Args:
      eleven_points: the mean precision at recalls 0, 0.1, ..., 1 (VOC 2007), or the area under the curve (2010 on).
    """
    scores, labels, owners, wrong = _claims(truths, detections)
    wanted = np.concatenate([t.objects.labels[~t.objects.ignored] for t in truths] or [np.zeros(0, int)])
    rows, curves = [], []
    for k in range(len(class_names)):
        objects = int((wanted == k).sum())
        if not objects:
            rows.append({"AP": None})
            curves.append(None)
            continue
        right, best_first = _right(scores[labels == k], owners[labels == k], wrong[labels == k])
        precision, recall = precision_recall(right, objects)
        precision = best_from_here(precision)
        if eleven_points:
            ap = at_recalls(precision, recall, _ELEVEN).mean()
        else:
            ap = (np.diff(recall, prepend=0) * precision).sum()
        rows.append({"AP": float(ap)})
        curves.append(curve(RECALLS, at_recalls(precision, recall, RECALLS), at_recalls(best_first, recall, RECALLS)))
    return rows, curves


def _claims(truths: Sequence[Truth], detections: Sequence[Detections]):
    """Of all detections: score, label, the object claimed (-1: one to ignore), and whether there is none."""
    parts, first = [(np.zeros(0, np.float32), np.zeros(0, int), np.zeros(0, int), np.zeros(0, bool))], 0
    for truth, found in zip(truths, detections, strict=True):
        o = truth.objects
        overlap = iou(*(pixels(boxes, truth.width, truth.height) for boxes in (found.boxes, o.boxes)))
        same = (found.labels[:, None] == o.labels) | (o.labels < 0)
        overlap = np.hstack([np.where(same, overlap, 0), np.zeros((len(found), 1))])  # a column for "none"
        best = overlap.argmax(1)
        owner = np.where(np.append(o.ignored, False)[best], -1, first + best)
        parts.append((found.scores, found.labels, owner, overlap.max(1) < _OVERLAP))
        first += len(o.labels)
    return (np.concatenate(values) for values in zip(*parts, strict=True))


def _right(scores: np.ndarray, owners: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a class's detections, best first and without those to ignore: which are right, and their scores."""
    order = np.argsort(-scores, kind="stable")
    order = order[wrong[order] | (owners[order] >= 0)]
    claimed = np.where(wrong[order], -1, owners[order])
    right = np.zeros(len(order), bool)
    right[np.unique(claimed, return_index=True)[1]] = True  # the first to claim an object
    return right & (claimed >= 0), scores[order]
