"""One entry to all benchmarks' metrics."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.objects import Truth
from mnext_tf.errors import ConfigError, DataError, one_of
from mnext_tf.evaluation.detection import coco, kitti, voc
from mnext_tf.evaluation.detection.curves import mean

METRICS = {
    "coco": coco.measure,
    "voc07": functools.partial(voc.measure, eleven_points=True),
    "voc": functools.partial(voc.measure, eleven_points=False),
    "kitti": kitti.measure,
}


def evaluate_detections(
    truths: Sequence[Truth], detections: Sequence[Detections], class_names: Sequence[str], metrics: str
) -> dict:
    """Average precision of detections, by a benchmark's rules; shares of 1, None where there are no objects.

    Args:
      truths, detections: one of each per image, in the same order.
      metrics: "coco", "voc07" (11 points), "voc" (area under the curve), or "kitti"; see these modules' `measure`.

    Returns what JSON can hold:
      metrics, images, objects (those to be found), detections: the counts.
      summary: "AP", by which networks are compared, and the benchmark's other numbers: means over the classes.
      classes: for each class {class, name, objects, detections, AP, ...}.
      curves: for each class with objects {class, name, recall, precision, score}, sampled at 101 recalls (KITTI: 41);
        precision is the best at that recall or a higher one.

    Raises ConfigError for lists of other lengths, DataError for labels without a name.
    """
    one_of("metrics", metrics, METRICS)
    counts = _checked(truths, detections, len(class_names))
    numbers, curves = METRICS[metrics](truths, detections, class_names)
    identity = [{"class": k, "name": name} for k, name in enumerate(class_names)]
    rows = [i | c | n for i, c, n in zip(identity, counts, numbers, strict=True)]
    return {
        "metrics": metrics,
        "images": len(truths),
        **{what: sum(c[what] for c in counts) for what in ("objects", "detections")},
        "summary": {name: mean([n[name] for n in numbers]) for name in numbers[0]},
        "classes": rows,
        "curves": [i | c for i, c in zip(identity, curves, strict=True) if c is not None],
    }


def _checked(truths: Sequence[Truth], detections: Sequence[Detections], classes: int) -> list[dict[str, int]]:
    """For each class how many objects are to be found, and how many detections there are."""
    if len(truths) != len(detections) or not truths:
        raise ConfigError(
            f"There must be detections for every image, and one image at least; received {len(truths)} images "
            f"and detections for {len(detections)}."
        )
    for truth, found in zip(truths, detections, strict=True):
        most = max([-1, *truth.objects.labels.tolist(), *found.labels.tolist()])
        if most >= classes:
            raise DataError(f"{truth.name} has the class {most}; there are names for {classes} classes, from 0 on.")

    def count(labels: list[np.ndarray]) -> np.ndarray:
        return np.bincount(np.concatenate(labels).astype(int), minlength=classes)

    objects = count([t.objects.labels[~t.objects.ignored] for t in truths])
    found = count([d.labels for d in detections])
    return [{"objects": int(o), "detections": int(d)} for o, d in zip(objects, found, strict=True)]
