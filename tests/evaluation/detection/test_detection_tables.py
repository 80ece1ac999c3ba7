"""Detections and numbers in files, as others read them."""

import csv
import json

import numpy as np
import pytest
from support.detections import detected, scene

from mnext_tf.evaluation.detection import evaluate_detections, tables
from mnext_tf.files import write_csv, write_json

NAMES = ("a", "b", "c", "silent", "absent")
EMPTY = detected(np.zeros((0, 4)), [], [])
FOUND = detected([[0.1, 0.2, 0.5, 0.6], [0.0, 0.0, 1.0, 1.0]], [0.25, 0.75], [1, 0])


def test_detections_as_csv(tmp_path):
    rows = tables.detection_rows(["x/1.jpg", "2.jpg"], [(640, 480), (10, 10)], [FOUND, EMPTY], ["cat", "dog, big"])
    tables.write_detections(tmp_path / "d.csv", rows)
    text = (tmp_path / "d.csv").read_text()
    assert text.splitlines()[0] == "file,class,name,score,x_min,y_min,x_max,y_max"
    read = list(csv.DictReader(text.splitlines()))
    assert [r["name"] for r in read] == ["cat", "dog, big"]
    assert [float(read[1][c]) for c in ("x_min", "y_min", "x_max", "y_max")] == [64, 96, 320, 288]
    tables.write_detections(tmp_path / "none.csv", [])
    assert (tmp_path / "none.csv").read_text() == text.splitlines()[0] + "\n"


def test_pycocotools_measures_in_the_files_what_we_did(tmp_path):
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truths, found = scene(0)
    names, sizes = [t.name for t in truths], [(t.width, t.height) for t in truths]
    write_json(tmp_path / "truth.json", tables.coco_truth(truths, NAMES))
    tables.write_coco_results(tmp_path / "r.json", tables.coco_results(names, sizes, found, NAMES))
    truth = COCO(str(tmp_path / "truth.json"))
    measured = COCOeval(truth, truth.loadRes(str(tmp_path / "r.json")), "bbox")
    measured.evaluate()
    measured.accumulate()
    measured.summarize()
    summary = evaluate_detections(truths, found, NAMES, "coco")["summary"]
    assert measured.stats[:3] == pytest.approx([summary[k] for k in ("AP", "AP50", "AP75")], abs=1e-6)
    assert 0.1 < summary["AP"] < 0.9


def test_coco_results(tmp_path):
    names = ["val/000000000139.jpg", "val/000000000285.jpg"]
    rows = tables.coco_results(names, [(640, 480), (10, 10)], [FOUND, FOUND], ["cat", "dog"])
    assert rows[1]["bbox"] == pytest.approx([64, 96, 256, 192])
    assert [(row["image_id"], row["category_id"], row["score"]) for row in rows] == [
        (139, 1, 0.75),
        (139, 2, 0.25),
        (285, 1, 0.75),
        (285, 2, 0.25),
    ]
    tables.write_coco_results(tmp_path / "none.json", [])
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_images_are_numbered_by_name_or_else_by_position():
    assert tables.image_ids(["000000000139.jpg", "7.png"]) == [139, 7]
    assert tables.image_ids(["a/1.jpg", "b/1.jpg"]) == [1, 2]
    assert tables.image_ids(["b.jpg", "a.jpg"]) == [1, 2]


def test_coco_has_ids_of_its_own_for_its_80_classes():
    names = ["person", *map(str, range(78)), "toothbrush"]
    found = detected([[0, 0, 1, 1]] * 3, [0.9, 0.8, 0.7], [0, 11, 79])
    rows = tables.coco_results(["1.jpg"], [(5, 5)], [found], names)
    assert [row["category_id"] for row in rows] == [1, 13, 90]


@pytest.mark.parametrize("metrics", ["coco", "kitti"])
def test_class_table_and_result_fit_their_files(tmp_path, metrics):
    result = evaluate_detections(*scene(0), NAMES, metrics)
    json.dumps(result, allow_nan=False)
    write_csv(tmp_path / "c.csv", tables.class_rows(result))
    read = list(csv.DictReader((tmp_path / "c.csv").read_text().splitlines()))
    assert [r["name"] for r in read] == list(NAMES)
    assert read[4]["AP"] == ""
    assert int(read[0]["objects"]) == result["classes"][0]["objects"]
