"""KITTI's AP, against its evaluation procedure in loops over objects and detections."""

import numpy as np
import pytest
from support.detections import detected, objects, scene

from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection import evaluate_detections

NAMES = ("Car", "Pedestrian", "Van", "Person_sitting", "Cyclist")
NEIGHBORS = {"Car": "Van", "Pedestrian": "Person_sitting"}
OVERLAPS = {"Car": 0.7, "Pedestrian": 0.5, "Cyclist": 0.5}
LEVELS = {"easy": (40, 0, 0.15), "moderate": (25, 1, 0.3), "hard": (25, 2, 0.5)}


def kitti_box(truth, box):
    return np.asarray(box, np.float64) * [truth.width, truth.height, truth.width, truth.height]


def overlap(a, b, of_first):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    first, second = ((x[2] - x[0]) * (x[3] - x[1]) for x in (a, b))
    return w * h / (first if of_first else first + second - w * h)


def clean(truth, found, name, level):
    """Objects as (box, ignored), detections as (box, score, ignored), regions; what plays no part is left out."""
    least, occlusion, truncation = LEVELS[level]
    targets, regions = [], []
    for j, label in enumerate(truth.objects.labels):
        box = np.round(kitti_box(truth, truth.objects.boxes[j]), 2)
        if label < 0:
            regions.append(box)
            continue
        hard = (
            truth.objects.occlusion[j] > occlusion
            or truth.objects.truncation[j] > truncation
            or box[3] - box[1] <= least
            or truth.objects.ignored[j]
        )
        if NAMES[label] == name:
            targets.append((box, hard))
        elif NAMES[label] == NEIGHBORS.get(name):
            targets.append((box, True))
    candidates = []
    for i, label in enumerate(found.labels):
        box = kitti_box(truth, found.boxes[i])
        if int(box[3] - box[1]) < least:
            candidates.append((box, float(found.scores[i]), True))
        elif NAMES[label] == name:
            candidates.append((box, float(found.scores[i]), False))
    return targets, candidates, regions


def statistics(image, least_overlap, threshold):
    """Right, wrong, missed, scores of the right ones; without a threshold the wrong ones are not counted."""
    targets, candidates, regions = image
    assigned = [threshold is not None and c[1] < threshold for c in candidates]
    dropped = list(assigned)
    right, missed, scores = 0, 0, []
    for box, ignored in targets:
        chosen, best, of_small = None, 0.0, False
        for j, (other, score, small) in enumerate(candidates):
            value = overlap(other, box, False)
            if assigned[j] or value <= least_overlap:
                continue
            if threshold is None:
                if chosen is None or score > candidates[chosen][1]:
                    chosen = j
            elif not small and (value > best or of_small):
                chosen, best, of_small = j, value, False
            elif small and chosen is None:
                chosen, of_small = j, True
        if chosen is None:
            missed += not ignored
            continue
        assigned[chosen] = True
        if not ignored and not candidates[chosen][2]:
            right += 1
            scores.append(candidates[chosen][1])
    wrong = 0
    for j, (other, _, small) in enumerate(candidates):
        if not (assigned[j] or small or dropped[j]):
            wrong += not any(overlap(other, region, True) > least_overlap for region in regions)
    return right, wrong, missed, scores


def expected_precision(truths, detections, name, level):
    """At 41 recalls; None without objects."""
    images = [clean(t, d, name, level) for t, d in zip(truths, detections, strict=True)]
    wanted = sum(not ignored for targets, _, _ in images for _, ignored in targets)
    if not wanted:
        return None
    scores = sorted((s for i in images for s in statistics(i, OVERLAPS[name], None)[3]), reverse=True)
    thresholds, recall = [], 0.0
    for i, score in enumerate(scores):
        last = i == len(scores) - 1
        if not last and (i + 2) / wanted - recall < recall - (i + 1) / wanted:
            continue
        thresholds.append(score)
        recall += 1 / 40
    precision = [0.0] * 41
    for i, threshold in enumerate(thresholds):
        counts = [statistics(image, OVERLAPS[name], threshold) for image in images]
        right, wrong = sum(c[0] for c in counts), sum(c[1] for c in counts)
        precision[i] = right / (right + wrong) if right + wrong else 0.0
    return [max(precision[i:]) for i in range(41)]


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_that_of_the_procedure(seed):
    truths, detections = scene(seed, images=120)
    result = evaluate_detections(truths, detections, NAMES, "kitti")
    for k, name in enumerate(NAMES):
        row = result["classes"][k]
        for level in LEVELS:
            precision = expected_precision(truths, detections, name, level) if name in OVERLAPS else None
            forty = None if precision is None else np.mean(precision[1:])
            eleven = None if precision is None else np.mean(precision[::4])
            assert row[f"AP_{level}"] == pytest.approx(forty, abs=1e-9), (name, level)
            assert row[f"AP11_{level}"] == pytest.approx(eleven, abs=1e-9), (name, level)
        assert row["AP"] == row["AP_moderate"]
    rows = result["classes"]
    assert rows[1]["AP"] > 0.05
    assert [rows[k]["AP"] for k in (2, 3, 4)] == [None, None, None]  # not the benchmark's, and a class without objects
    assert result["summary"]["AP"] == pytest.approx((rows[0]["AP"] + rows[1]["AP"]) / 2)
    assert len(result["curves"][1]["precision"]) == 41


def cars(count, **more):
    boxes = [[0.1 * i, 0.2, 0.1 * i + 0.08, 0.2 + 50 / 375] for i in range(count)]
    return Truth("0", 1242, 375, objects(boxes, [0] * count, **more)), boxes


def test_perfect_detections_of_many_objects_are_near_one():
    truth, boxes = cars(9)
    found = detected(boxes, np.linspace(0.9, 0.5, 9), [0] * 9)
    result = evaluate_detections([truth] * 10, [found] * 10, NAMES, "kitti")
    assert result["summary"]["AP_easy"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("more", "levels"),
    [
        ({"occlusion": [1] * 5}, ["moderate", "hard"]),
        ({"truncation": [0.4] * 5}, ["hard"]),
        ({"occlusion": [3] * 5}, []),
    ],
)
def test_difficulties(more, levels):
    truth, boxes = cars(5, **more)
    found = detected(boxes, [0.5] * 5, [0] * 5)
    row = evaluate_detections([truth], [found], NAMES, "kitti")["classes"][0]
    assert [level for level in LEVELS if row[f"AP_{level}"] is not None] == levels


def test_a_height_of_just_forty_pixels_is_not_easy():
    boxes = [[0.1, y / 375, 0.3, (y + 40) / 375] for y in (11, 111, 211)]
    truth = Truth("0", 1242, 375, objects(boxes, [0] * 3))
    found = detected(boxes, [0.5] * 3, [0] * 3)
    row = evaluate_detections([truth], [found], NAMES, "kitti")["classes"][0]
    assert row["AP_easy"] is None
    assert row["AP_moderate"] > 0


def test_vans_and_regions_are_not_wrong_and_other_data_have_all_classes_measured():
    truth, boxes = cars(4)
    truth = Truth("0", 1242, 375, objects(boxes, [0, 0, 2, -1]))
    best = detected(boxes, [0.5, 0.6, 0.9, 0.8], [0] * 4)
    curve = evaluate_detections([truth], [best], NAMES, "kitti")["curves"][0]
    assert curve["precision"][:2] == [1.0, 1.0]
    other = evaluate_detections([truth], [best], ["x", "y", "z"], "kitti")
    assert [row["AP"] is not None for row in other["classes"]] == [True, False, True]
    assert other["curves"][0]["precision"][0] == pytest.approx(2 / 3, abs=1e-6)


def in_pixels(*boxes):
    return np.array(boxes) / np.array([1242, 375, 1242, 375])


def test_a_small_detection_of_any_class_takes_an_object():
    car, small = in_pixels([100, 100, 200, 141], [100, 101, 200, 140])
    truth = Truth("0", 1242, 375, objects([car], [0]))
    alone, beside = detected([car], [0.5], [0]), detected([small, car], [0.9, 0.5], [1, 0])
    ap = [evaluate_detections([truth], [d], NAMES, "kitti")["summary"]["AP11_easy"] for d in (alone, beside)]
    assert ap == pytest.approx([1 / 11, 0])


def test_precision_gives_an_object_the_detection_that_overlaps_it_most():
    a, b, c = in_pixels([100, 100, 200, 160], [128, 100, 228, 160], [500, 100, 600, 160])
    between, at_a = in_pixels([114, 100, 214, 160], [101, 100, 201, 160])
    truth = Truth("0", 1242, 375, objects([a, b, c], [0, 0, 0]))
    found = detected([between, at_a, c], [0.9, 0.8, 0.1], [0, 0, 0])
    curve = evaluate_detections([truth], [found], NAMES, "kitti")["curves"][0]
    assert curve["score"][:2] == pytest.approx([0.9, 0.1])
    assert curve["precision"][:3] == [1.0, 1.0, 0.0]
