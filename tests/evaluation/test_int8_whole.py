"""Logits of a file against those of its float network: numbers computed by hand."""

import math

import numpy as np
import pytest

from mnext_tf.evaluation.int8_whole import compare_logits, sqnr_interval


def logits_of(classes, high=2.0):
    return high * np.eye(3, dtype=np.float32)[list(classes)]


def test_agreement_and_mcnemar():
    labels = np.zeros(20, int)
    before = logits_of([0] * 15 + [1] * 5)
    after = logits_of([0] * 9 + [1] * 6 + [0] * 1 + [1] * 3 + [2] * 1)
    found = compare_logits(after, before, labels)
    assert found["images"] == 20
    assert found["top1_agreement"] == (9 + 3) / 20
    assert (found["lost"], found["gained"]) == (6, 1)
    assert (found["float_accuracy"], found["accuracy"]) == (0.75, 0.5)
    assert found["accuracy_drop"] == pytest.approx(25)
    assert found["mcnemar_p"] == pytest.approx(2 * (1 + 7) / 2**7)  # two tails of 7 coins with at most one head
    low, high = found["top1_agreement_interval"]
    z, p, n = 1.96, 0.6, 20
    middle, half = (p + z * z / 2 / n), z * math.sqrt(p * (1 - p) / n + z * z / 4 / n / n)
    assert (low, high) == (
        pytest.approx((middle - half) / (1 + z * z / n)),
        pytest.approx((middle + half) / (1 + z * z / n)),
    )


def test_an_even_split_and_no_difference_are_no_evidence():
    labels = np.zeros(4, int)
    assert compare_logits(logits_of([0, 1, 0, 0]), logits_of([1, 0, 0, 0]), labels)["mcnemar_p"] == 1
    assert compare_logits(logits_of([0, 1, 0, 0]), logits_of([0, 1, 0, 0]), labels)["mcnemar_p"] == 1


def test_confidence_and_cross_entropy():
    before, after = logits_of([0, 0], math.log(2)), logits_of([0, 1], math.log(6))
    found = compare_logits(after, before)  # probabilities 1/2, 1/4, 1/4 and 6/8, 1/8, 1/8
    assert found["float_confidence"] == pytest.approx(1 / 2)
    assert found["confidence"] == pytest.approx(3 / 4)
    assert found["confidence_change"] == pytest.approx(1 / 4)
    assert found["entropy"] == pytest.approx(1.5 * math.log(2))
    first = -(math.log(3 / 4) / 2 + math.log(1 / 8) / 2)
    second = -(math.log(1 / 8) * 3 / 4 + math.log(3 / 4) / 4)
    assert found["cross_entropy"] == pytest.approx((first + second) / 2)
    assert not {"accuracy", "mcnemar_p", "lost"} & found.keys()


def test_the_interval_of_the_sqnr_narrows_with_more_images():
    rng = np.random.default_rng(1)
    expected = rng.normal(size=(4000, 5))
    found = expected + 0.1 * rng.normal(size=expected.shape)  # 20 dB
    (low, high), (lower, higher) = sqnr_interval(found, expected), sqnr_interval(found[:40], expected[:40])
    assert low < 20 < high
    assert lower < compare_logits(found[:40], expected[:40])["sqnr_db"] < higher
    assert high - low < 0.2 * (higher - lower)
    assert sqnr_interval(found, expected) == (low, high)
