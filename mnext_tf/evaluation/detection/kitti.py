"""Average precision as KITTI's object benchmark computes it: 2D boxes, three difficulties, at 40 and at 11 recalls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnext_tf.boxes import Detections, area, intersection, iou
from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection.curves import curve, pixels
from mnext_tf.tasks.binned_ap import best_from_here

_RULES = {"car": (0.7, "van"), "pedestrian": (0.5, "person_sitting"), "cyclist": (0.5, None)}  # overlap, neighbor
_DIFFICULTIES = {"easy": (40, 0, 0.15), "moderate": (25, 1, 0.3), "hard": (25, 2, 0.5)}  # height, occlusion, truncation
_STEPS = 40  # of recall; there is a 41st value, at 0, which only the older mean of 11 takes


@dataclass(frozen=True, eq=False)
class _Image:
    """One image as a class and a difficulty see it; n detections, best first, and m objects, in their order."""

    overlap: np.ndarray  # (n, m), 0 where it is not above the class's
    scores: np.ndarray  # (n,)
    small: np.ndarray  # (n,): not counted, whatever their class
    ignored: np.ndarray  # (m,): neither to be found nor wrong
    in_region: np.ndarray  # (n,): lies in a region to ignore


def measure(
    truths: Sequence[Truth], detections: Sequence[Detections], class_names: Sequence[str]
) -> tuple[list[dict], list[dict | None]]:
    """For each class its numbers, and its curve at difficulty moderate (None without objects).

    AP_easy, AP_moderate, AP_hard are means at 40 recalls, AP11_... at 11 (until 2019); AP is AP_moderate. Classes are
    Car (overlap above 0.7), Pedestrian, and Cyclist (0.5), in any case; others are None. A data set with none of the
    three has all its classes measured as Cyclist is. Vans are ignored for cars, and sitting persons for pedestrians.
    """
    names = [name.lower() for name in class_names]
    measured = set(names) & set(_RULES) or set(names)
    rows, curves = [], []
    for k, name in enumerate(names):
        if name not in measured:
            found = dict.fromkeys(_DIFFICULTIES, (None, None))
        else:
            found = {d: _precision(truths, detections, names, k, d) for d in _DIFFICULTIES}
        values = {d: precision for d, (precision, _) in found.items()}
        row = {f"AP_{d}": None if p is None else float(p[1:].mean()) for d, p in values.items()}
        row |= {f"AP11_{d}": None if p is None else float(p[::4].mean()) for d, p in values.items()}
        rows.append({"AP": row["AP_moderate"], **row})
        precision, thresholds = found["moderate"]
        recall = np.arange(_STEPS + 1) / _STEPS
        curves.append(None if precision is None else curve(recall, precision, thresholds))
    return rows, curves


def _precision(
    truths: Sequence[Truth], detections: Sequence[Detections], names: list[str], k: int, difficulty: str
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Precision and score (41,) at recalls 0, 1/40, ... of class k; None without objects."""
    overlap, neighbor = _RULES.get(names[k], (0.5, None))
    neighbor = names.index(neighbor) if neighbor in names else None
    images = [
        _image(truth, found, k, neighbor, overlap, _DIFFICULTIES[difficulty])
        for truth, found in zip(truths, detections, strict=True)
    ]
    objects = sum(int((~image.ignored).sum()) for image in images)
    if not objects:
        return None, None
    scores = np.concatenate([_scores_of_found(image) for image in images])
    thresholds = _thresholds(scores, objects)
    counts = sum((_counts(image, thresholds) for image in images), np.zeros((len(thresholds), 2)))
    precision, padded = np.zeros(_STEPS + 1), np.zeros(_STEPS + 1)
    precision[: len(thresholds)] = counts[:, 0] / np.maximum(counts.sum(1), 1)
    padded[: len(thresholds)] = thresholds
    return best_from_here(precision), padded


def _image(truth: Truth, found: Detections, k: int, neighbor: int | None, overlap: float, limits: tuple) -> _Image:
    least, occlusion, truncation = limits
    o = truth.objects
    # The files' two decimals: relative boxes in float32 would move a height of just 40 pixels
    boxes = np.round(pixels(o.boxes, truth.width, truth.height), 2)
    candidates = pixels(found.boxes, truth.width, truth.height)
    mine = o.labels == k
    ignored = (boxes[:, 3] - boxes[:, 1] <= least) | (o.occlusion > occlusion) | (o.truncation > truncation) | o.ignored
    kept = mine | (o.labels == neighbor if neighbor is not None else False)
    small = candidates[:, 3] - candidates[:, 1] < least
    seen = small | (found.labels == k)  # the benchmark lets small ones of any class meet an object
    candidates, regions = candidates[seen], boxes[o.labels < 0]
    shared = intersection(candidates, regions) / np.maximum(area(candidates)[:, None], 1e-12)
    values = iou(candidates, boxes[kept])
    return _Image(
        np.where(values > overlap, values, 0),
        found.scores[seen].astype(np.float64),
        small[seen],
        (ignored | ~mine)[kept],
        (shared > overlap).any(1),
    )


def _scores_of_found(image: _Image) -> np.ndarray:
    """Scores of the objects that are found: each object, in order, takes the best-scored detection left."""
    free, found = np.ones(len(image.scores), bool), []
    for m, ignored in enumerate(image.ignored):
        able = np.flatnonzero(free & (image.overlap[:, m] > 0))
        if len(able):
            chosen = able[np.argmax(image.scores[able])]
            free[chosen] = False
            if not (ignored or image.small[chosen]):
                found.append(image.scores[chosen])
    return np.array(found)


def _thresholds(scores: np.ndarray, objects: int) -> np.ndarray:
    """Of the scores of what is found, those at which recall comes nearest to 0, 1/40, 2/40, ..."""
    scores, chosen = np.sort(scores)[::-1], []
    wanted = 0.0
    for i, score in enumerate(scores):
        here, after = (i + 1) / objects, (i + 2) / objects
        if i < len(scores) - 1 and after - wanted < wanted - here:
            continue
        chosen.append(score)
        wanted += 1 / _STEPS
    return np.array(chosen)


def _counts(image: _Image, thresholds: np.ndarray) -> np.ndarray:
    """(thresholds, 2): how many detections of at least that score are right, and wrong."""
    of_set: dict[int, tuple[int, int]] = {}
    rows = []
    for threshold in thresholds:
        above = image.scores >= threshold
        size = int(above.sum())  # sets of the best: as many are the same
        if size not in of_set:
            of_set[size] = _right_and_wrong(image, above)
        rows.append(of_set[size])
    return np.array(rows).reshape(-1, 2)


def _right_and_wrong(image: _Image, above: np.ndarray) -> tuple[int, int]:
    """Each object, in order, takes the detection left that overlaps it most, or else a small one."""
    free, right = above.copy(), 0
    for m, ignored in enumerate(image.ignored):
        able = free & (image.overlap[:, m] > 0)
        large = np.flatnonzero(able & ~image.small)
        if len(large):
            free[large[np.argmax(image.overlap[large, m])]] = False
            right += not ignored
        elif able.any():
            free[np.argmax(able)] = False
    return right, int((free & ~image.small & ~image.in_region).sum())
