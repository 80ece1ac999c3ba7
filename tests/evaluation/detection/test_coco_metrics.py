"""COCO's numbers, against an implementation of the definition in loops that does not know pycocotools."""

import numpy as np
import pytest
from support.detection_data import coco128
from support.detections import detected, guesses, objects, scene

from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection import evaluate_detections

NAMES = ("a", "b", "c", "silent", "absent")
OVERLAPS = [0.5 + 0.05 * i for i in range(10)]
AREAS = {"": (0, 1e10), "_small": (0, 32**2), "_medium": (32**2, 96**2), "_large": (96**2, 1e10)}


def to_pixels(truth, boxes):
    return np.asarray(boxes, np.float64) * [truth.width, truth.height, truth.width, truth.height]


def side_area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def overlap(box, other, crowd):
    w = min(box[2], other[2]) - max(box[0], other[0])
    h = min(box[3], other[3]) - max(box[1], other[1])
    shared = max(w, 0) * max(h, 0)
    whole = side_area(box) if crowd else side_area(box) + side_area(other) - shared
    return shared / whole


def outcomes_of_image(truth, found, label, threshold, limits, most):
    """[(score, right or None for ignored)], and the number of objects to be found."""
    o = truth.objects
    edges = to_pixels(truth, o.boxes)
    targets = []
    for j in range(len(o.labels)):
        if o.labels[j] in (label, -1):
            out_of_range = not limits[0] <= o.area[j] <= limits[1]
            targets.append({"box": edges[j], "crowd": o.ignored[j], "ignore": o.ignored[j] or out_of_range})
    outcomes = []
    boxes = to_pixels(truth, found.boxes)
    candidates = [i for i in range(len(found)) if found.labels[i] == label][:most]
    for i in candidates:
        best, best_overlap = None, threshold
        for ignore in (False, True):
            for target in targets:
                taken = target.get("taken") and not target["crowd"]
                value = overlap(boxes[i], target["box"], target["crowd"])
                if target["ignore"] == ignore and not taken and value >= best_overlap:
                    best, best_overlap = target, value
            if best is not None:
                break
        if best is not None:
            best["taken"] = True
            right = None if best["ignore"] else True
        else:
            right = False if limits[0] <= side_area(boxes[i]) <= limits[1] else None
        outcomes.append((found.scores[i], right))
    return outcomes, sum(not t["ignore"] for t in targets)


def precision_and_recall(truths, detections, label, threshold, limits=(0, 1e10), most=100):
    """Mean precision at 101 recalls, and the recall reached; None without objects."""
    outcomes, objects = [], 0
    for truth, found in zip(truths, detections, strict=True):
        of_image, n = outcomes_of_image(truth, found, label, threshold, limits, most)
        outcomes += of_image
        objects += n
    if not objects:
        return None
    points, true, false = [], 0, 0
    for _, right in sorted(outcomes, key=lambda o: -o[0]):
        true += right is True
        false += right is False
        if true + false:
            points.append((true / objects, true / (true + false)))
    at = [max([p for r, p in points if r >= wanted], default=0) for wanted in np.linspace(0, 1, 101)]
    return np.mean(at), max([r for r, _ in points], default=0)


def mean_over_overlaps(truths, detections, label, which, **more):
    values = [precision_and_recall(truths, detections, label, t, **more) for t in OVERLAPS]
    return None if values[0] is None else np.mean([v[which] for v in values])


def expected_numbers(truths, detections, label):
    def at(threshold):
        found = precision_and_recall(truths, detections, label, threshold)
        return None if found is None else found[0]

    numbers = {"AP50": at(OVERLAPS[0]), "AP75": at(OVERLAPS[5])}
    for name, limits in AREAS.items():
        numbers[f"AP{name}"] = mean_over_overlaps(truths, detections, label, 0, limits=limits)
        numbers[f"AR{name or 100}"] = mean_over_overlaps(truths, detections, label, 1, limits=limits)
    for most in (1, 10):
        numbers[f"AR{most}"] = mean_over_overlaps(truths, detections, label, 1, most=most)
    return numbers


@pytest.mark.parametrize("seed", [0, 1])
def test_every_number_is_that_of_the_definition(seed):
    truths, detections = scene(seed)
    result = evaluate_detections(truths, detections, NAMES, "coco")
    rows = [expected_numbers(truths, detections, k) for k in range(5)]
    for k, row in enumerate(rows):
        for name, value in row.items():
            assert result["classes"][k][name] == pytest.approx(value, abs=1e-6), (k, name)
    for name in rows[0]:
        present = [row[name] for row in rows if row[name] is not None]
        assert result["summary"][name] == pytest.approx(np.mean(present), abs=1e-6), name
    assert 0.1 < result["summary"]["AP"] < result["summary"]["AP50"] < 0.9
    assert [row["AP"] for row in result["classes"][3:]] == [0.0, None]


def test_counts_and_curves():
    truths, detections = scene(0)
    result = evaluate_detections(truths, detections, NAMES, "coco")
    wanted = sum(int((~t.objects.ignored).sum()) for t in truths)
    assert (result["images"], result["objects"]) == (40, wanted)
    assert result["detections"] == sum(len(d) for d in detections)
    assert [c["name"] for c in result["curves"]] == ["a", "b", "c", "silent"]
    curve = result["curves"][0]
    assert np.mean(curve["precision"]) == pytest.approx(result["classes"][0]["AP50"], abs=1e-5)
    assert len(curve["recall"]) == len(curve["score"]) == 101
    assert sorted(curve["score"], reverse=True) == curve["score"]


def test_nothing_found_and_nothing_to_find():
    empty = detected(np.zeros((0, 4)), [], [])
    nothing = Truth("a", 100, 150, objects(np.zeros((0, 4)), []))
    one = Truth("b", 100, 150, objects([[0.1, 0.1, 0.5, 0.5]], [0], area=[2400]))
    box = detected([[0.1, 0.1, 0.5, 0.5]], [0.5], [0])
    for metrics in ("coco", "voc07", "voc", "kitti"):
        assert evaluate_detections([nothing], [empty], "x", metrics)["summary"]["AP"] is None
        assert evaluate_detections([nothing], [box], "x", metrics)["summary"]["AP"] is None
        assert evaluate_detections([one], [empty], "x", metrics)["summary"]["AP"] == 0
    for metrics in ("coco", "voc07", "voc"):
        assert evaluate_detections([one, nothing], [box, empty], "x", metrics)["summary"]["AP"] == pytest.approx(1)


def test_nothing_is_printed(capsys):
    evaluate_detections(*scene(2, images=3), NAMES, "coco")
    assert capsys.readouterr().out == ""


@pytest.mark.shared
def test_photographs_of_80_classes_and_crowds(detection_data):
    truths, names = coco128(detection_data / "coco128")
    rng = np.random.default_rng(0)
    detections = [guesses(rng, t.objects, 80) for t in truths]
    result = evaluate_detections(truths, detections, names, "coco")
    assert sum(int(t.objects.crowd.sum()) for t in truths) == 10
    for k in (names.index(name) for name in ("person", "book", "toaster")):
        for name, value in expected_numbers(truths, detections, k).items():
            assert result["classes"][k][name] == pytest.approx(value, abs=1e-6), (names[k], name)
