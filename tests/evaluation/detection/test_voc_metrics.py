"""VOC's AP, against the development kit's procedure in its own pixels, step by step."""

import numpy as np
import pytest
from support.detection_data import bccd
from support.detections import detected, guesses, objects, scene

from mnext_tf.data.objects import Truth
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.evaluation.detection import evaluate_detections

NAMES = ("a", "b", "c", "silent", "absent")


def kit_box(truth, box):
    """Pixels count from 1 and the last one belongs to the box."""
    x_min, y_min, x_max, y_max = (float(v) for v in box)
    return x_min * truth.width + 1, y_min * truth.height + 1, x_max * truth.width, y_max * truth.height


def kit_overlap(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0]) + 1
    h = min(a[3], b[3]) - max(a[1], b[1]) + 1
    if w <= 0 or h <= 0:
        return 0.0
    sizes = [(x[2] - x[0] + 1) * (x[3] - x[1] + 1) for x in (a, b)]
    return w * h / (sum(sizes) - w * h)


def kit_curve(truths, detections, label):
    """Recall and precision after each detection, best first; None without objects."""
    wanted = sum(int(((t.objects.labels == label) & ~t.objects.ignored).sum()) for t in truths)
    if not wanted:
        return None
    lines = []
    for image, found in enumerate(detections):
        lines += [(found.scores[i], image, found.boxes[i]) for i in range(len(found)) if found.labels[i] == label]
    lines.sort(key=lambda line: -line[0])
    taken, true, false, points = set(), 0, 0, []
    for _, image, box in lines:
        truth, best, best_overlap = truths[image], None, 0.0
        for j, other in enumerate(truth.objects.boxes):
            value = kit_overlap(kit_box(truth, box), kit_box(truth, other))
            if truth.objects.labels[j] in (label, -1) and value > best_overlap:
                best, best_overlap = j, value
        if best_overlap < 0.5:
            false += 1
        elif not truth.objects.ignored[best]:
            if (image, best) in taken:
                false += 1
            else:
                true += 1
                taken.add((image, best))
        if true + false:
            points.append((true / wanted, true / (true + false)))
    return points


def kit_eleven_points(points):
    return sum(max([p for r, p in points if r >= i / 10], default=0) for i in range(11)) / 11


def kit_area(points):
    recall = [0.0, *(r for r, _ in points), 1.0]
    precision = [0.0, *(p for _, p in points), 0.0]
    for i in range(len(precision) - 2, -1, -1):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("metrics", "kit"), [("voc07", kit_eleven_points), ("voc", kit_area)])
def test_ap_is_that_of_the_kit(seed, metrics, kit):
    truths, detections = scene(seed)
    result = evaluate_detections(truths, detections, NAMES, metrics)
    points = [kit_curve(truths, detections, k) for k in range(5)]
    expected = [None if p is None else kit(p) for p in points]
    assert [row["AP"] for row in result["classes"]] == pytest.approx(expected, abs=1e-9)
    assert result["summary"]["AP"] == pytest.approx(np.mean([e for e in expected if e is not None]))
    assert expected[3:] == [0, None]
    assert 0.2 < expected[0] < 0.95
    curve = result["curves"][0]
    assert curve["precision"][30] == pytest.approx(max(p for r, p in points[0] if r >= 0.3), abs=1e-6)


def test_a_recall_of_just_three_tenths_counts():
    boxes = [[x / 20, 0.1, x / 20 + 0.04, 0.2] for x in range(10)]
    truth = Truth("a", 400, 400, objects(boxes, [0] * 10))
    found = detected(boxes[:3], [0.9, 0.8, 0.7], [0] * 3)
    assert evaluate_detections([truth], [found], ["x"], "voc07")["summary"]["AP"] == pytest.approx(4 / 11)
    assert evaluate_detections([truth], [found], ["x"], "voc")["summary"]["AP"] == pytest.approx(0.3)


def test_the_second_to_find_an_object_is_wrong_and_difficult_ones_do_not_count():
    box, other = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    truth = Truth("a", 400, 400, objects([box, other], [0, 0], difficult=[False, True]))
    found = detected([other, other, box, box], [0.9, 0.8, 0.7, 0.6], [0] * 4)
    assert evaluate_detections([truth], [found], ["x"], "voc")["classes"][0] == {
        "class": 0,
        "name": "x",
        "objects": 1,
        "detections": 4,
        "AP": 1.0,
    }
    twice = detected([box, box, other], [0.9, 0.8, 0.7], [0] * 3)
    plain = Truth("a", 400, 400, objects([box, other], [0, 0]))
    assert evaluate_detections([plain], [twice], ["x"], "voc")["summary"]["AP"] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_what_does_not_fit_is_refused():
    truths, detections = scene(0, images=3)
    with pytest.raises(ConfigError, match="received 3 images and detections for 2"):
        evaluate_detections(truths, detections[:2], NAMES, "voc")
    with pytest.raises(ConfigError, match="metrics must be one of"):
        evaluate_detections(truths, detections, NAMES, "voc2007")
    with pytest.raises(DataError, match="has the class"):
        evaluate_detections(truths, detections, NAMES[:1], "voc")


@pytest.mark.shared
@pytest.mark.parametrize(("metrics", "kit"), [("voc07", kit_eleven_points), ("voc", kit_area)])
def test_photographs_of_blood_cells(detection_data, metrics, kit):
    truths, names = bccd(detection_data / "bccd", 40)
    rng = np.random.default_rng(0)
    detections = [guesses(rng, t.objects, 3) for t in truths]
    result = evaluate_detections(truths, detections, names, metrics)
    expected = [kit(kit_curve(truths, detections, k)) for k in range(3)]
    assert [row["AP"] for row in result["classes"]] == pytest.approx(expected, abs=1e-9)
    assert result["objects"] > 400
