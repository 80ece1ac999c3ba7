"""COCO's average precision and recall, computed by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection.curves import RECALLS, curve, pixels

_AREAS = ("", "_small", "_medium", "_large")  # in the order of pycocotools: all, below 32², below 96², above
_MOST = (1, 10, 100)  # detections of a class in an image


def measure(
    truths: Sequence[Truth], detections: Sequence[Detections], class_names: Sequence[str]
) -> tuple[list[dict], list[dict | None]]:
    """For each class its numbers, and its curve at IoU 0.5 (None without objects).

    AP is the mean over IoU 0.5 to 0.95 at 101 recalls, AP50 and AP75 at one; AR1, AR10, AR100 the mean of the recall
    with as many detections of a class in an image; sizes are those of the object's area. Crowds, objects marked
    difficult, and regions without a class are ignored: a detection that lies in one by enough is neither right nor
    wrong.
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def dataset(annotations: Iterator[dict]) -> COCO:
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(len(truths))],
            "categories": [{"id": k} for k in range(len(class_names))],
            # from 1, because pycocotools takes an object 0 for none
            "annotations": [{"id": n, **a} for n, a in enumerate(annotations, 1)],
        }
        coco.createIndex()
        return coco

    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(dataset(objects(truths, len(class_names))), dataset(_found(truths, detections)), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    # (IoU, recall, class, area, most), (IoU, class, area, most); -1 without objects
    precision, recall = evaluation.eval["precision"], evaluation.eval["recall"]
    rows = [_numbers(precision[:, :, k], recall[:, k]) for k in range(len(class_names))]
    curves = [
        curve(RECALLS, precision[0, :, k, 0, -1], evaluation.eval["scores"][0, :, k, 0, -1])
        if rows[k]["AP"] is not None
        else None
        for k in range(len(class_names))
    ]
    return rows, curves


def objects(truths: Sequence[Truth], classes: int) -> Iterator[dict]:
    """COCO's annotations; images and classes by their positions. A region without a class is a crowd of every class."""
    for image, truth in enumerate(truths):
        o = truth.objects
        boxes = pixels(o.boxes, truth.width, truth.height)
        for box, label, ignored, area in zip(boxes, o.labels, o.ignored, o.area, strict=True):
            for category in range(classes) if label < 0 else (int(label),):
                yield _annotation(image, category, box, float(area), int(ignored))


def _found(truths: Sequence[Truth], detections: Sequence[Detections]) -> Iterator[dict]:
    for image, (truth, found) in enumerate(zip(truths, detections, strict=True)):
        boxes = pixels(found.boxes, truth.width, truth.height)
        for box, label, score in zip(boxes, found.labels, found.scores, strict=True):
            area = float((box[2] - box[0]) * (box[3] - box[1]))
            yield {**_annotation(image, int(label), box, area, 0), "score": float(score)}


def _annotation(image: int, category: int, box: np.ndarray, area: float, crowd: int) -> dict:
    x, y, x_max, y_max = box.tolist()
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [x, y, x_max - x, y_max - y],
        "area": area,
        "iscrowd": crowd,
    }


def _numbers(precision: np.ndarray, recall: np.ndarray) -> dict[str, float | None]:
    """Of one class: precision (IoU, recall, area, most), recall (IoU, area, most)."""

    def mean(values: np.ndarray) -> float | None:
        return float(values.mean()) if values.min() > -1 else None

    found = {"AP": mean(precision[..., 0, -1]), "AP50": mean(precision[0, :, 0, -1])}
    found["AP75"] = mean(precision[5, :, 0, -1])
    found |= {f"AP{name}": mean(precision[..., a, -1]) for a, name in enumerate(_AREAS) if a}
    found |= {f"AR{most}": mean(recall[:, 0, m]) for m, most in enumerate(_MOST)}
    return found | {f"AR{name}": mean(recall[:, a, -1]) for a, name in enumerate(_AREAS) if a}
