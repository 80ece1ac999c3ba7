"""What classification means: loss, decoding, and when two forms are the same network."""

from __future__ import annotations

import functools
import types

import numpy as np
import pytest
import tensorflow as tf

from mnext_tf.tasks import Classification
from mnext_tf.tasks.classification import Comparison, wilson_interval

TASK = Classification()
LOGITS = np.array([[1000.0, 1000.0, -1000.0], [0.0, np.log(3), 0.0]], np.float32)


def test_logits_become_probabilities_and_probabilities_stay():
    probabilities = TASK.decode(LOGITS)
    np.testing.assert_allclose(probabilities, [[0.5, 0.5, 0], [0.2, 0.6, 0.2]], atol=1e-7)
    np.testing.assert_array_equal(TASK.decode(probabilities, "probabilities"), probabilities)


def test_the_loss_is_cross_entropy_with_smoothing():
    logits, labels = np.array([[2.0, 0.0, 0.0], [0.0, 1.0, 0.0]], np.float32), np.array([0, 2])
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    target = np.full((2, 3), 0.1 / 3)
    target[[0, 1], labels] += 0.9
    model, recipe = types.SimpleNamespace(output_shape=(None, 3)), types.SimpleNamespace(label_smoothing=0.1)
    loss = functools.partial(TASK.loss, model, recipe)
    assert float(loss()(labels, logits)) == pytest.approx(-(target * log_p).sum(1).mean(), rel=1e-5)
    shares = np.array([[0.7, 0.3, 0], [0, 0.2, 0.8]], np.float32)
    mixed = -((0.9 * shares + 0.1 / 3) * log_p).sum(1).mean()
    assert float(loss()(tf.constant(shares), logits)) == pytest.approx(mixed, rel=1e-5)
    weighted = -(target * log_p).sum(1) @ [2.0, 0.5] / 2
    assert float(loss([2.0, 7.0, 0.5])(tf.constant(labels), logits)) == pytest.approx(weighted, rel=1e-5)
    assert float(TASK.correct(tf.constant(shares), logits)) == float(TASK.correct(tf.constant(labels), logits)) == 1


@pytest.mark.parametrize("classes", [4, 7])
def test_metrics_of_batches_are_those_of_scikit_learn(classes):
    from sklearn.metrics import accuracy_score, f1_score, log_loss, top_k_accuracy_score

    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(60, classes)).astype(np.float32), rng.integers(0, classes - 1, 60)
    logits[np.arange(60), labels] += 1
    logits[:, -1] -= 9  # a class that occurs neither among the labels nor among the predictions
    sums = [TASK.batch_metrics(tf.constant(labels[i : i + 25], tf.int32), logits[i : i + 25]) for i in (0, 25, 50)]
    found = TASK.metrics({name: sum(s[name].numpy() for s in sums) for name in sums[0]})
    probabilities, every = TASK.decode(logits), np.arange(classes)
    expected = {
        "loss": log_loss(labels, probabilities, labels=every),
        "accuracy": accuracy_score(labels, logits.argmax(1)),
        "macro_f1": f1_score(labels, logits.argmax(1), average="macro"),
    }
    if classes > 5:
        expected["top5_accuracy"] = top_k_accuracy_score(labels, logits, k=5, labels=every)
    assert found == pytest.approx(expected, rel=1e-5)


def test_distillation_is_least_where_student_and_teacher_agree():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 5, 3)).astype(np.float32)
    soft = np.exp(teacher / 2) / np.exp(teacher / 2).sum(1, keepdims=True)
    log_p = student / 2 - np.log(np.exp(student / 2).sum(1, keepdims=True))
    assert float(TASK.distillation(student, teacher, 2.0)) == pytest.approx(-4 * (soft * log_p).sum(1).mean(), rel=1e-5)
    assert float(TASK.distillation(teacher, teacher, 2.0)) < float(TASK.distillation(student, teacher, 2.0))


def test_a_comparison_in_batches_is_that_of_the_whole():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(50, 4))
    outputs, labels = reference + 0.5 * rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    whole = TASK.compare(outputs, reference, labels)
    parts = Comparison()
    for low, high in ((0, 7), (7, 8), (8, 50)):
        parts.update(outputs[low:high], reference[low:high], labels[low:high])
    assert parts.result() == whole
    right, was_right = outputs.argmax(1) == labels, reference.argmax(1) == labels
    assert whole["accuracy"] == right.mean()
    assert (whole["lost"], whole["gained"]) == ((was_right & ~right).sum(), (right & ~was_right).sum())
    assert whole["top1_agreement"] == (outputs.argmax(1) == reference.argmax(1)).mean()
    largest = np.abs(outputs - reference).max()
    assert whole["max_abs_difference"] == pytest.approx(largest)
    assert whole["max_relative_difference"] == pytest.approx(largest / np.abs(reference).max())


def test_numbers_that_are_none_are_not_lost_between_batches():
    comparison = Comparison()
    comparison.update(np.array([[np.nan, 1.0]]), np.ones((1, 2)), None)
    comparison.update(np.ones((1, 2)), np.ones((1, 2)), None)
    assert np.isnan(comparison.result()["max_abs_difference"])
    assert comparison.result()["accuracy"] is None


@pytest.mark.parametrize(
    ("share", "n", "low", "high"), [(0.9, 500, 0.8706, 0.9233), (1.0, 10, 0.7225, 1.0), (0.0, 10, 0, 0.2775)]
)
def test_wilson_interval(share, n, low, high):
    # the published formula, worked out by hand for these
    assert wilson_interval(share, n) == pytest.approx((low, high), abs=2e-4)
