"""AP from counts that are added up, against the exact area under the same curve."""

import numpy as np
import pytest
from support.detections import detected, objects, scene

from mnext_tf.boxes import Detections
from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection import evaluate_detections
from mnext_tf.tasks.binned_ap import BINS, binned_ap, binned_counts
from mnext_tf.tasks.box_matching import match_detections


def rows_of(truths) -> np.ndarray:
    """As evaluation batches have them: padded, label -1."""
    most = max(len(t.objects.labels) for t in truths)
    rows = np.zeros((len(truths), most, 6), np.float32)
    rows[..., 4] = -1
    for row, t in zip(rows, truths, strict=True):
        o = t.objects
        row[: len(o.labels)] = np.column_stack([o.boxes, o.labels, o.ignored])
    return rows


def spread(detections, seed=0):
    """The same boxes with scores of many bins."""
    rng = np.random.default_rng(seed)
    return [detected(d.boxes, rng.random(len(d)), d.labels) for d in detections]


def sums_of(truths, detections, batch):
    sums: dict = {}
    for start in range(0, len(truths), batch):
        part = slice(start, start + batch)
        for name, counts in binned_counts(detections[part], rows_of(truths[part]), 5).items():
            sums[name] = sums.get(name, 0) + counts
    return sums


def test_counts_of_batches_add_up():
    truths, detections = scene(1)
    one, several = sums_of(truths, detections, 40), sums_of(truths, detections, 7)
    for name in one:
        np.testing.assert_array_equal(one[name], several[name])
    assert one["right"].shape == (5, BINS)
    assert one["objects"].sum() == sum(int((~t.objects.ignored).sum()) for t in truths)
    assert 0 < one["right"].sum() <= one["objects"].sum()


@pytest.mark.parametrize("seed", range(3))
def test_it_is_below_the_exact_area_by_no_more_than_the_order_within_bins(seed):
    truths, detections = scene(seed, images=60)
    for found in (detections, spread(detections)):
        sums = sums_of(truths, found, 16)
        low, high = binned_ap(sums), right_ones_first(sums)
        outcomes = [
            (score, label, fate)
            for t, d in zip(truths, found, strict=True)
            for score, label, fate in zip(
                d.scores,
                d.labels,
                match_detections(d, t.objects.boxes, t.objects.labels, t.objects.ignored)[0],
                strict=True,
            )
        ]
        for k in range(4):
            exact = exact_area([(s, f) for s, label, f in outcomes if label == k and f >= 0], sums["objects"][k])
            assert low[k] - 1e-9 <= exact <= high[k] + 1e-9
            if found is not detections:
                assert exact - low[k] < 0.02
        assert np.isnan(low[4])


def exact_area(outcomes, objects):
    """Of (score, right), each step of recall times the best precision from there on."""
    outcomes = sorted(
        outcomes, key=lambda o: (-o[0], o[1])
    )  # of equal scores the wrong ones first, as the bins have it
    true, points = 0, []
    for n, (_, right) in enumerate(outcomes, 1):
        true += right
        points.append((right, true / n))
    return sum(right * max(p for _, p in points[i:]) for i, (right, _) in enumerate(points)) / objects


def right_ones_first(sums):
    """The area if in each bin the right ones came first."""
    areas = []
    for right, wrong, wanted in zip(sums["right"][:, ::-1], sums["wrong"][:, ::-1], sums["objects"], strict=True):
        outcomes = []
        for i, (t, f) in enumerate(zip(right.tolist(), wrong.tolist(), strict=True)):
            outcomes += [(BINS - i, 1)] * t + [(BINS - i - 0.5, 0)] * f
        areas.append(exact_area(outcomes, wanted) if wanted else np.nan)
    return areas


def test_it_is_near_the_benchmarks_numbers():
    truths, detections = scene(5, images=200)
    detections = spread(detections)
    ours = np.nanmean(binned_ap(sums_of(truths, detections, 32)))
    assert ours == pytest.approx(evaluate_detections(truths, detections, "abcde", "coco")["summary"]["AP50"], abs=0.01)
    assert ours == pytest.approx(evaluate_detections(truths, detections, "abcde", "voc")["summary"]["AP"], abs=0.03)


def test_perfect_scores_fill_the_last_bin():
    truth = Truth("a", 9, 9, objects([[0.1, 0.1, 0.5, 0.5]], [0]))
    found = Detections(truth.objects.boxes, np.ones(1, np.float32), np.zeros(1, np.int32))
    sums = binned_counts([found], rows_of([truth]), 1)
    assert sums["right"][0, -1] == 1
    assert binned_ap(sums).tolist() == [1.0]


def test_matching_prefers_the_object_of_its_class_that_is_left():
    boxes = np.array([[0.1, 0.1, 0.5, 0.5], [0.12, 0.1, 0.52, 0.5], [0.1, 0.6, 0.5, 0.9], [0.5, 0.5, 1, 1]])
    labels, ignored = np.array([0, 0, 1, -1]), np.array([False, False, False, True])
    found = detected(
        [boxes[0], boxes[0], boxes[0], boxes[2], [0.6, 0.6, 0.7, 0.7], [0.0, 0.0, 0.1, 0.1]],
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        [0, 0, 0, 0, 0, 0],
    )
    fate, finder = match_detections(found, boxes, labels, ignored)
    assert fate.tolist() == [1, 1, 0, 0, -1, 0]  # the third is one too many, the fourth has the wrong class
    assert finder.tolist() == [0, 1, -1, -1]
