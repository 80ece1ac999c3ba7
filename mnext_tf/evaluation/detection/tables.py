"""Detections and per-class numbers as rows for files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from mnext_tf.boxes import Detections
from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection.coco import objects
from mnext_tf.evaluation.detection.curves import pixels
from mnext_tf.files import atomic_write, plain, write_csv

_NOT_USED_BY_COCO = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)  # category ids of 1..90
_COCO_IDS = [i for i in range(1, 91) if i not in _NOT_USED_BY_COCO]


def class_rows(result: dict) -> list[dict]:
    """The rows of `evaluate_detections` for a CSV file, rounded."""
    return [
        {name: round(value, 6) if isinstance(value, float) else value for name, value in row.items()}
        for row in result["classes"]
    ]


def detection_rows(
    names: Sequence[str], sizes: Sequence[tuple[int, int]], detections: Iterable[Detections], class_names: Sequence[str]
) -> list[dict]:
    """file, class, name, score, x_min, y_min, x_max, y_max: a row for each detection, in pixels of the image.

    Args:
      names, sizes, detections: one of each per image; sizes are (width, height).
    """
    rows = []
    for file, size, found in zip(names, sizes, detections, strict=True):
        for box, score, label in zip(pixels(found.boxes, *size), found.scores, found.labels, strict=True):
            edges = dict(zip(("x_min", "y_min", "x_max", "y_max"), (round(v, 2) for v in box.tolist()), strict=True))
            about = {"file": file, "class": int(label), "name": class_names[label], "score": round(float(score), 6)}
            rows.append(about | edges)
    return rows


def coco_results(
    names: Sequence[str],
    sizes: Sequence[tuple[int, int]],
    detections: Iterable[Detections],
    class_names: Sequence[str],
) -> list[dict]:
    """COCO's results format: image_id, category_id, bbox (x, y, width, height in pixels), score.

    image_id and category_id are those of `coco_truth`; name, the class's, and file_name come in addition.
    """
    categories, rows = category_ids(class_names), []
    for image_id, file, size, found in zip(image_ids(names), names, sizes, detections, strict=True):
        for box, score, label in zip(pixels(found.boxes, *size), found.scores, found.labels, strict=True):
            x, y, x_max, y_max = box.tolist()
            rows.append(
                {
                    "image_id": image_id,
                    "category_id": categories[label],
                    "name": class_names[label],
                    "bbox": [round(v, 4) for v in (x, y, x_max - x, y_max - y)],
                    "score": round(float(score), 8),
                    "file_name": file,
                }
            )
    return rows


def coco_truth(truths: Sequence[Truth], class_names: Sequence[str]) -> dict:
    """What is in the images, in COCO's format: with it anyone's pycocotools evaluates rows of `coco_results`."""
    images, categories = image_ids([truth.name for truth in truths]), category_ids(class_names)
    return {
        "info": {},  # pycocotools fails without it
        "images": [
            {"id": image_id, "file_name": truth.name, "width": truth.width, "height": truth.height}
            for image_id, truth in zip(images, truths, strict=True)
        ],
        "categories": [{"id": k, "name": name} for k, name in zip(categories, class_names, strict=True)],
        "annotations": [
            {"id": n, **row, "image_id": images[row["image_id"]], "category_id": categories[row["category_id"]]}
            for n, row in enumerate(objects(truths, len(class_names)), 1)
        ],
    }


def category_ids(class_names: Sequence[str]) -> Sequence[int]:
    """COCO's own for its 80 classes, else the classes' positions, from 1."""
    whole = len(class_names) == 80 and (class_names[0], class_names[-1]) == ("person", "toothbrush")
    return _COCO_IDS if whole else range(1, len(class_names) + 1)


def image_ids(names: Sequence[str]) -> list[int]:
    """The numbers in the files' names, as COCO's are, where all have one of their own; else their positions, from 1."""
    stems = [Path(name).stem for name in names]
    numbers = [int(stem) for stem in stems if stem.isascii() and stem.isdigit()]
    return numbers if len(set(numbers)) == len(stems) else list(range(1, len(stems) + 1))


def write_coco_results(path: Path, rows: list[dict]) -> None:
    """Rows of `coco_results` as JSON, one a line."""
    import json

    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as f:
        f.write("[\n" + ",\n".join(json.dumps(plain(row), ensure_ascii=False) for row in rows) + "\n]\n")


def write_detections(path: Path, rows: list[dict]) -> None:
    """Rows of `detection_rows` as CSV, with a header even where nothing was found."""
    if rows:
        return write_csv(path, rows)
    with atomic_write(path) as temporary:
        temporary.write_text("file,class,name,score,x_min,y_min,x_max,y_max\n", encoding="utf-8")
