"""Matching priors with objects, against the same rule written with loops in NumPy."""

import numpy as np
import pytest

from mnext_tf.tasks.detection_targets import match


def make_priors(count=600, seed=0):
    """Centers on a grid and random sides, clipped, as (cx, cy, w, h)."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.uniform(0, 1, (count, 2)), rng.uniform(0.05, 0.9, (count, 2))], 1).astype(np.float32)


def make_objects(count, seed=1, least=0.002):
    rng = np.random.default_rng(seed)
    begin = rng.uniform(0, 0.7, (count, 2))
    boxes = np.concatenate([begin, begin + rng.uniform(least, 0.3, (count, 2))], 1).astype(np.float32)
    return boxes, rng.integers(0, 20, count).astype(np.int32)


def reference(boxes, labels, priors):
    corners = np.concatenate([priors[:, :2] - priors[:, 2:] / 2, priors[:, :2] + priors[:, 2:] / 2], 1)
    largest, owner = np.zeros(len(priors)), np.full(len(priors), -1)
    forced = {}
    for i, box in enumerate(boxes):
        sides = np.minimum(box[2:], corners[:, 2:]) - np.maximum(box[:2], corners[:, :2])
        common = np.maximum(sides, 0).prod(1)
        iou = common / ((box[2:] - box[:2]).prod() + priors[:, 2:].prod(1) - common)
        owner = np.where(iou > largest, i, owner)
        largest = np.maximum(iou, largest)
        forced[int(iou.argmax())] = i  # the last one stays
    owner[largest < 0.5] = -1
    for prior, i in forced.items():
        owner[prior] = i
    targets = np.zeros((len(priors), 5))
    for p in np.flatnonzero(owner >= 0):
        box, prior = boxes[owner[p]].astype(np.float64), priors[p].astype(np.float64)
        center, size = (box[:2] + box[2:]) / 2, box[2:] - box[:2]
        targets[p] = [labels[owner[p]] + 1, *(center - prior[:2]) / prior[2:] / 0.1, *np.log(size / prior[2:]) / 0.2]
    return targets


@pytest.mark.parametrize("count", [0, 1, 5, 255, 256, 257, 1000])
def test_targets_are_those_of_the_plain_rule(count):
    boxes, labels = make_objects(count)
    priors = make_priors()
    found, expected = match(boxes, labels, priors).numpy(), reference(boxes, labels, priors)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    assert (found[:, 0] > 0).any() == bool(count)


def test_ten_thousand_objects():
    import tensorflow as tf

    boxes, labels = make_objects(10_000, least=1e-4)
    priors = make_priors(3234)
    found = tf.function(match)(boxes, labels, priors).numpy()
    expected = reference(boxes, labels, priors)
    same = found[:, 0] == expected[:, 0]  # equal to rounding, a few objects are as good as each other
    assert same.mean() > 0.999
    np.testing.assert_allclose(found[same], expected[same], rtol=1e-4, atol=2e-3)


def test_an_object_far_from_every_prior_has_its_best_one_and_the_last_of_two_wins():
    priors = np.array([[0.25, 0.25, 0.5, 0.5], [0.75, 0.75, 0.5, 0.5]], np.float32)
    small = [[0.6, 0.6, 0.7, 0.7], [0.8, 0.8, 0.9, 0.9]]
    found = match(np.array(small, np.float32), np.array([3, 7]), priors).numpy()
    assert found[:, 0].tolist() == [0, 8]
    np.testing.assert_allclose(found[1, 1:], [0.1 / 0.5 / 0.1, 0.1 / 0.5 / 0.1, *[np.log(0.2) / 0.2] * 2], rtol=1e-5)
    assert (found[0] == 0).all()


def test_a_forced_match_takes_a_prior_from_the_object_that_fits_it_better():
    priors = np.array([[0.5, 0.5, 0.4, 0.4]], np.float32)
    boxes = np.array([[0.3, 0.3, 0.7, 0.7], [0.3, 0.3, 0.4, 0.4]], np.float32)
    assert match(boxes, np.array([0, 1]), priors).numpy()[0, 0] == 2
    assert match(boxes[::-1], np.array([1, 0]), priors).numpy()[0, 0] == 1


def test_a_box_without_area_is_matched_with_nothing_and_targets_stay_numbers():
    boxes = np.array([[0.2, 0.2, 0.2, 0.2], [0.5, 0.5, 0.5, 0.9], [0.1, 0.1, 0.1001, 0.1001]], np.float32)
    found = match(boxes, np.array([0, 1, 2]), make_priors()).numpy()
    assert np.isfinite(found).all()
    assert set(found[:, 0]) == {0, 3}


def test_a_box_comes_back_from_its_targets():
    boxes, labels = make_objects(30)
    priors = make_priors()
    found = match(boxes, labels, priors).numpy()
    matched = found[:, 0] > 0
    center = found[matched, 1:3] * 0.1 * priors[matched, 2:] + priors[matched, :2]
    size = np.exp(found[matched, 3:] * 0.2) * priors[matched, 2:]
    decoded = np.concatenate([center - size / 2, center + size / 2], 1)
    distance = np.abs(decoded[:, None] - boxes).max(-1)
    assert distance.min(1).max() < 1e-5
    assert len(set(distance.argmin(1))) > 15  # the others share their best prior with a later one
