"""Which detections of one image are right, and which objects are found, at one overlap."""

from __future__ import annotations

import numpy as np

from mnext_tf.boxes import Detections, area, intersection, iou

RIGHT, WRONG, IGNORED = 1, 0, -1


def match_detections(
    found: Detections, boxes: np.ndarray, labels: np.ndarray, ignored: np.ndarray, overlap: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    """What became of each detection (n,), and the detection that found each object (m,), -1 for none.

    The best-scored detection chooses first: of the objects of its class that are left, the one that it overlaps most,
    from an IoU of `overlap` on. One that finds none is ignored where an ignored object of its class, or a region of no
    class (label -1), has that IoU or holds that share of the detection.

    Args:
      boxes, labels, ignored: (m, 4), (m,), (m,): the objects, in the detections' coordinates.
    """
    same = (found.labels[:, None] == labels) | (labels < 0)
    overlaps = np.where(same, iou(found.boxes, boxes), 0)
    inside = intersection(found.boxes, boxes) / np.maximum(area(found.boxes)[:, None], 1e-12)
    in_ignored = (np.maximum(overlaps, np.where(same, inside, 0)) >= overlap)[:, ignored].any(1)
    fate = np.where(in_ignored, IGNORED, WRONG)
    free = np.where(ignored, 0.0, overlaps)
    finder = np.full(len(labels), -1)
    for i in np.flatnonzero((free >= overlap).any(1)):
        best = int(free[i].argmax())
        if free[i, best] >= overlap:
            fate[i], finder[best] = RIGHT, i
            free[:, best] = 0
    return fate, finder
