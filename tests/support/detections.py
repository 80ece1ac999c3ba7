"""Random objects, and what a detector might make of them: duplicates, ties, wrong classes, empty images and classes."""

from __future__ import annotations

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.objects import Objects, Truth


def objects(boxes, labels, **more) -> Objects:
    """Boxes (n, 4) relative; whatever is not given is as of an ordinary object."""
    n = len(boxes)
    boxes = np.asarray(boxes, np.float32).reshape(n, 4)
    fields = {
        "difficult": (bool, False),
        "crowd": (bool, False),
        "area": (np.float32, 0),
        "truncation": (np.float32, 0),
        "occlusion": (np.int32, 0),
    }
    values = {name: np.asarray(more.get(name, [default] * n), kind) for name, (kind, default) in fields.items()}
    return Objects(boxes, np.asarray(labels, np.int32), **values)


def detected(boxes, scores, labels) -> Detections:
    """Best first, as `detect` gives them."""
    boxes, scores = np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32)
    order = np.argsort(-scores, kind="stable")
    return Detections(boxes[order], scores[order], np.asarray(labels, np.int32)[order])


def jittered(rng, boxes) -> np.ndarray:
    """Boxes (n, 4), their edges moved by a normal 8 % of their sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.clip(boxes + rng.normal(0, 0.08, boxes.shape) * np.tile(sides, 2), 0, 1).astype(np.float32)


def guesses(rng, truth: Objects, classes: int, silent: int | None = None) -> Detections:
    """Some objects found, some twice, some as another class, and boxes of nothing; never the class `silent`."""
    known = truth.labels >= 0
    boxes, labels = truth.boxes[known], truth.labels[known]
    found = np.flatnonzero(rng.random(len(boxes)) < 0.8)
    found = np.concatenate([found, found[rng.random(len(found)) < 0.4]])
    moved = jittered(rng, boxes[found])
    names = np.where(rng.random(len(found)) < 0.12, rng.integers(0, classes, len(found)), labels[found])
    corner = rng.uniform(0, 0.7, (rng.integers(0, 5), 2))
    nothing = np.hstack([corner, corner + rng.uniform(0.02, 0.3, corner.shape)])
    regions = jittered(rng, truth.boxes[~known])  # and what lies in regions to ignore
    boxes = np.concatenate([moved, nothing, regions])
    names = np.concatenate([names, rng.integers(0, classes, len(nothing) + len(regions))])
    scores = np.ceil(rng.random(len(boxes)) * 20) / 20  # ties
    heard = names != silent
    return detected(boxes[heard], scores[heard], names[heard])


def scene(seed: int, *, images: int = 40, classes: int = 5) -> tuple[list[Truth], list[Detections]]:
    """Whole-pixel boxes of every size, crowds, difficult ones, regions of no class, occlusion, and truncation.

    Class 3 is never detected, class 4 has no objects.
    """
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for i in range(images):
        width, height = (int(v) for v in rng.integers(200, 700, 2))
        n = int(rng.integers(0, 9)) if i % 7 else 0
        corner = rng.integers(0, (int(width * 0.7), int(height * 0.7)), (n, 2))
        side = rng.integers(8, (int(width * 0.3), int(height * 0.3)), (n, 2))
        edges = np.hstack([corner, corner + side])
        kind = rng.random(n)
        labels = np.where(kind < 0.1, -1, rng.integers(0, 4, n))
        truth = objects(
            edges / np.array([width, height, width, height]),
            labels,
            crowd=(kind > 0.1) & (kind < 0.2),
            difficult=(kind > 0.2) & (kind < 0.3),
            area=side.prod(1) * rng.uniform(0.5, 1, n),
            truncation=rng.choice([0, 0, 0.2, 0.4, 0.8], n),
            occlusion=rng.choice([0, 0, 1, 2, 3], n),
        )
        truths.append(Truth(f"{i}.jpg", width, height, truth))
        found.append(guesses(rng, truth, classes, silent=3))
    return truths, found
