"""Boxes: overlap, coding, suppression, and detections, each against a loop that follows its definition."""

import math

import numpy as np
import pytest

from mnext_tf.boxes import DETECTION_SETTINGS, DetectionSettings, decode, detect, encode, iou, suppress
from mnext_tf.errors import ConfigError, ExportError


def random_boxes(rng, n, smallest=0.05):
    corner = rng.uniform(0, 0.7, (n, 2))
    return np.hstack([corner, corner + rng.uniform(smallest, 0.3, (n, 2))]).astype(np.float32)


def slow_iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def slow_suppress(boxes, scores, labels, threshold, most, candidates):
    """Class by class, then the best of all classes."""
    kept = []
    for label in sorted(set(labels.tolist())):
        of_class = [i for i in range(len(scores)) if labels[i] == label]
        of_class.sort(key=lambda i: -scores[i])
        chosen = []
        for i in of_class[:candidates]:
            if all(slow_iou(boxes[i], boxes[j]) <= threshold for j in chosen):
                chosen.append(i)
        kept += chosen
    return sorted(kept, key=lambda i: -scores[i])[:most]


def random_priors(rng, n):
    return np.hstack([rng.uniform(0.1, 0.9, (n, 2)), rng.uniform(0.05, 0.5, (n, 2))]).astype(np.float32)


def test_iou_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 13), random_boxes(rng, 9)
    b[0], b[1] = a[0], [0.5, 0.5, 0.5, 0.9]  # the same, and an empty one
    expected = [[slow_iou(x, y) for y in b.astype(np.float64)] for x in a.astype(np.float64)]
    np.testing.assert_allclose(iou(a, b), expected, atol=1e-6)
    assert iou(b[1:2], b[1:2]) == 0
    assert iou(a, b[:0]).shape == (13, 0)


def test_decode_undoes_encode_and_the_variances_are_those_of_ssd():
    rng = np.random.default_rng(1)
    boxes, priors = random_boxes(rng, 50), random_priors(rng, 50)
    np.testing.assert_allclose(decode(encode(boxes, priors), priors), boxes, atol=1e-6)
    prior = np.array([[0.5, 0.5, 0.2, 0.4]], np.float32)
    box = decode(np.array([[1.0, -2.0, 5 * math.log(2), 0.0]], np.float32), prior)
    np.testing.assert_allclose(box, [[0.52 - 0.2, 0.42 - 0.2, 0.52 + 0.2, 0.42 + 0.2]], atol=1e-6)


def test_decode_stays_finite():
    assert np.isfinite(decode(np.full((1, 4), 1e4, np.float32), np.full((1, 4), 0.5, np.float32))).all()


@pytest.mark.parametrize("seed", range(8))
def test_suppression_is_that_of_each_class_with_ties_in_order(seed):
    rng = np.random.default_rng(seed)
    boxes = random_boxes(rng, 120)
    boxes[60:90] = boxes[:30] + rng.uniform(-0.01, 0.01, (30, 4))  # near duplicates
    boxes[90:] = boxes[:30]
    scores = rng.integers(1, 12, 120) / np.float32(12)  # many ties
    labels = rng.integers(0, 4, 120)
    for threshold, most, candidates in ((0.45, 100, 400), (0.3, 20, 400), (0.45, 100, 10), (1.0, 200, 400)):
        kept = suppress(boxes, scores, labels, threshold, most, candidates)
        assert kept.tolist() == slow_suppress(boxes, scores, labels, threshold, most, candidates)


def test_nothing_to_suppress():
    empty = np.zeros((0, 4), np.float32)
    assert suppress(empty, empty[:, 0], np.zeros(0, int), 0.5, 10).tolist() == []


def scores_of(logits, scoring):
    if scoring == "sigmoid":
        return [1 / (1 + math.exp(-x)) for x in logits[1:]]
    total = sum(math.exp(x) for x in logits)
    return [math.exp(x) / total for x in logits[1:]]


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_detections_follow_their_definition(scoring):
    rng = np.random.default_rng(3)
    priors = random_priors(rng, 60)
    packed = rng.normal(0, 1.5, (2, 60, 3 + 5)).astype(np.float32)
    found = detect(packed, priors, scoring, 0.25, 0.45, max_detections=30)
    assert len(found) == 2
    for image, detections in zip(packed.astype(np.float64), found, strict=True):
        triples = [
            (prior, label, score)
            for prior in range(60)
            for label, score in enumerate(scores_of(image[prior, :4], scoring))
            if score >= 0.25
        ]
        prior, label, score = (np.array(values) for values in zip(*triples, strict=True))
        boxes = decode(image[:, 4:], priors)[prior]
        kept = slow_suppress(boxes, score, label, 0.45, 30, 400)
        assert 5 < len(kept) <= 30
        assert detections.labels.tolist() == label[kept].tolist()
        np.testing.assert_allclose(detections.scores, score[kept], rtol=1e-5)
        np.testing.assert_allclose(detections.boxes, np.clip(boxes[kept], 0, 1), atol=1e-6)
        assert [detections.boxes.dtype, detections.scores.dtype, detections.labels.dtype] == [
            np.float32,
            np.float32,
            np.int32,
        ]


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_many_candidates_are_cut_to_the_best_of_each_class(scoring):
    rng = np.random.default_rng(4)
    priors = random_priors(rng, 90)
    packed = rng.normal(0, 1, (1, 90, 4 + 5)).astype(np.float32)
    packed[..., :5] = np.round(packed[..., :5], 1)  # ties at the cut, too
    (found,) = detect(packed, priors, scoring, 0.01, 0.9, max_detections=1000, candidates=20)
    (every,) = detect(packed, priors, scoring, 0.01, 0.9, max_detections=1000)
    assert len(every) > 200
    assert 4 * 10 < len(found) <= 4 * 20
    for label in range(4):  # what is left is the beginning of what there is, class by class
        ours = found.boxes[found.labels == label]
        np.testing.assert_array_equal(ours, every.boxes[every.labels == label][: len(ours)])


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_logits_far_out_are_sure_scores(scoring):
    packed = np.zeros((1, 2, 7), np.float32)
    packed[0, :, :3] = [[-3e38, 3e38, -3e38], [3e38, -3e38, -3e38]]
    (found,) = detect(packed, np.full((2, 4), 0.5, np.float32), scoring, 0.01, 0.45)
    assert found.labels.tolist() == [0]
    assert found.scores.tolist() == [1.0]


def test_scores_just_at_the_threshold():
    packed = np.zeros((1, 201, 6), np.float32)
    packed[0, :, 1] = np.linspace(-0.01, 0.01, 201) + math.log(0.05 / 0.95)
    (found,) = detect(packed, random_priors(np.random.default_rng(0), 201), "sigmoid", 0.05, 1.0, 1000)
    assert len(found) in (100, 101)  # the one in the middle is either, by rounding
    assert found.scores.min() >= 0.05 - 1e-9


def test_a_threshold_of_zero_keeps_every_score():
    packed = np.full((1, 3, 7), -50, np.float32)
    priors = np.array([[0.2, 0.2, 0.1, 0.1], [0.5, 0.5, 0.1, 0.1], [0.8, 0.8, 0.1, 0.1]], np.float32)
    packed[..., -4:] = 0
    (found,) = detect(packed, priors, "sigmoid", 0.0, 0.45)
    assert len(found) == 6


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, -1])
def test_outputs_that_are_no_numbers_are_refused(value, column):
    packed = np.zeros((1, 5, 7), np.float32)
    packed[0, 2, column] = value
    with pytest.raises(ExportError, match="not finite"):
        detect(packed, np.full((5, 4), 0.5), "softmax", 0.01, 0.45)


def test_shapes_and_scorings_are_checked():
    packed = np.zeros((1, 5, 7), np.float32)
    with pytest.raises(ConfigError, match=r"packed must be \(batch, 4, num_classes \+ 5\)"):
        detect(packed, np.full((4, 4), 0.5), "softmax", 0.01, 0.45)
    with pytest.raises(ConfigError, match="scoring must be one of"):
        detect(packed, np.full((5, 4), 0.5), "max", 0.01, 0.45)


def test_settings_are_a_record_and_detect_with_it():
    settings = DETECTION_SETTINGS["coco"]
    assert DetectionSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(ConfigError, match="score_threshold"):
        DetectionSettings(score_threshold=1.0)
    rng = np.random.default_rng(5)
    packed, priors = rng.normal(0, 2, (1, 40, 9)).astype(np.float32), random_priors(rng, 40)
    (ours,), (direct,) = settings.detect(packed, priors), detect(packed, priors, "sigmoid", 0.05, 0.5, 100)
    assert len(ours) > 10
    np.testing.assert_array_equal(ours.boxes, direct.boxes)
    assert len(ours.above(0.5)) == (ours.scores >= 0.5).sum() > 0


def test_many_alike_scores_of_few_priors():
    priors = np.tile(np.float32([0.5, 0.5, 0.1, 0.1]), (300, 1))
    packed = np.zeros((1, 300, 25), np.float32)
    (found,) = detect(packed, priors, "softmax", 0.01, 0.45)
    assert len(found) == 20  # one of each class: all boxes are the same
