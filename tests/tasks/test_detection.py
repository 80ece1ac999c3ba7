"""The task of detectors: what training and verification ask of it."""

import numpy as np
import pytest
import tensorflow as tf

from mnext_tf.boxes import DetectionSettings, encode
from mnext_tf.models.priors import make_priors
from mnext_tf.tasks import Tolerance, detection_task
from mnext_tf.tasks.detection_targets import match

PRIORS = make_priors("voc", 64)
CLASSES = 3
OBJECTS = np.array([[0.1, 0.2, 0.5, 0.7, 1, 0], [0.6, 0.5, 0.9, 0.95, 2, 0]], np.float32)
PADDING = np.array([0, 0, 0, 0, -1, 0], np.float32)


@pytest.fixture
def task():
    return detection_task("voc", 64, DetectionSettings(score_threshold=0.05))


def answer(objects: np.ndarray, sure: float = 12.0) -> np.ndarray:
    """Packed outputs (priors, classes + 5) that give these objects and nothing else."""
    targets = match(objects[:, :4], objects[:, 4].astype(np.int32), PRIORS).numpy()
    logits = sure * np.eye(CLASSES + 1)[targets[:, 0].astype(int)]
    return np.concatenate([logits, targets[:, 1:]], 1).astype(np.float32)


def test_right_answers_have_map50_1_and_wrong_ones_0(task):
    rows = np.stack([OBJECTS, np.stack([OBJECTS[0], PADDING])])
    packed = np.stack([answer(OBJECTS), answer(OBJECTS[:1])])
    sums = {k: v.numpy() for k, v in task.batch_metrics(tf.constant(rows), tf.constant(packed)).items()}
    found = task.metrics(sums)
    assert found["map50"] == pytest.approx(1)
    assert found["loss"] < 0.01
    moved = packed.copy()
    moved[..., -4:] += 30
    sums = {k: v.numpy() for k, v in task.batch_metrics(tf.constant(rows), tf.constant(moved)).items()}
    assert task.metrics(sums)["map50"] == 0


def test_sums_of_batches_are_those_of_all_images(task):
    rng = np.random.default_rng(0)
    packed = (answer(OBJECTS)[None] + rng.normal(0, 3, (6, len(PRIORS), CLASSES + 5))).astype(np.float32)
    rows = np.repeat(OBJECTS[None], 6, 0)
    whole, parts = (
        task.batch_metrics(rows, packed),
        [task.batch_metrics(rows[i : i + 2], packed[i : i + 2]) for i in (0, 2, 4)],
    )
    for name in ("images", "right", "wrong", "objects"):
        np.testing.assert_array_equal(whole[name], sum(part[name].numpy() for part in parts))


def test_an_image_without_objects_counts_only_its_false_alarms(task):
    rows, packed = PADDING[None, None], answer(OBJECTS)[None]
    sums = task.batch_metrics(rows, packed)
    assert float(tf.reduce_sum(sums["objects"])) == 0
    assert float(tf.reduce_sum(sums["wrong"])) == 2
    assert task.metrics({k: v.numpy() for k, v in sums.items()})["map50"] == 0


def test_correct_is_the_share_of_the_priors_with_an_object(task):
    targets = match(OBJECTS[:, :4], OBJECTS[:, 4].astype(np.int32), PRIORS).numpy()[None]
    packed = answer(OBJECTS)[None]
    assert float(task.correct(targets, packed)) == 1
    first = np.flatnonzero(targets[0, :, 0])[0]
    packed[0, first, :4] = [9, 0, 0, 0]
    positives = (targets[..., 0] > 0).sum()
    assert float(task.correct(targets, packed)) == pytest.approx(1 - 1 / positives)


def test_a_comparison_finds_the_same_boxes_and_counts_lost_ones(task):
    reference = np.stack([answer(OBJECTS), answer(OBJECTS)])
    same = task.comparison()
    same.update(reference, reference, np.repeat(OBJECTS[None], 2, 0))
    assert same.result() == {
        "images": 2,
        "map50": pytest.approx(1),
        "map50_without": [1.0, 1.0],
        "boxes": 4,
        "same_boxes": 1.0,
        "max_abs_difference": 0,
        "max_relative_difference": 0,
    }
    other = np.stack([answer(OBJECTS), answer(OBJECTS[:1])])
    comparison = task.comparison()
    comparison.update(other, reference, None)
    measured = comparison.result()
    assert (measured["boxes"], measured["same_boxes"], measured["map50"]) == (4, 0.75, None)
    assert measured["max_relative_difference"] == pytest.approx(1)
    as_detections = task.comparison("detections")
    as_detections.update(task.decode(other), reference, None)
    assert as_detections.result()["same_boxes"] == 0.75
    assert as_detections.result()["max_abs_difference"] is None


def test_what_is_asked_of_each_form(task):
    assert task.bounds("frozen", Tolerance(), trained=True) == {"max_relative_difference": 1e-4}
    assert task.bounds("int8", Tolerance(), trained=True) == {"max_accuracy_drop": 1.0, "min_agreement": 0.9}
    assert task.bounds("int8", Tolerance(), trained=False) == {"max_relative_difference": 0.5}


def test_failures_are_told_in_words(task):
    keras = {"map50": 0.8, "map50_without": [], "boxes": 100, "same_boxes": 1.0, "max_relative_difference": 0.0}
    bounds = {"max_accuracy_drop": 1.0, "min_agreement": 0.9}
    assert task.failures(keras, keras, bounds) == []
    worse = {**keras, "map50": 0.78, "same_boxes": 0.5, "max_relative_difference": 0.1}
    drop, boxes = task.failures(worse, keras, bounds)
    assert "mAP50 is 78.00 %, 2.00 points (95 % interval +- 0.00) below 80.00 %, allowed 1" in drop
    assert "finds 50.0 % of the Keras network's 100 boxes" in boxes
    assert task.failures({**keras, "max_relative_difference": np.nan}, keras, bounds) == ["its outputs are not numbers"]
    assert task.failures({**keras, "max_relative_difference": 2e-4}, keras, {"max_relative_difference": 1e-4})


def test_detections_are_described_best_first(task):
    found = task.describe(task.decode(answer(OBJECTS)[None]), ("a", "b", "c"), top=5)[0]["detections"]
    assert {d["name"] for d in found} == {"b", "c"}
    assert found == sorted(found, key=lambda d: -d["score"])
    np.testing.assert_allclose(found[0]["box"], OBJECTS[int(found[0]["class"]) - 1, :4], atol=1e-5)
    np.testing.assert_allclose(encode(OBJECTS[:1, :4], PRIORS[:1])[0], encode(OBJECTS[:, :4], PRIORS[:2])[0], atol=1e-5)


def test_a_drop_counts_where_the_images_are_enough_to_tell(task):
    keras = {"map50": 0.8, "map50_without": [0.8] * 20, "boxes": 0, "same_boxes": 1.0, "max_relative_difference": 0.0}
    steady = {**keras, "map50": 0.78, "map50_without": [0.78] * 20}
    assert len(task.failures(steady, keras, {"max_accuracy_drop": 1.0})) == 1
    shaky = {**steady, "map50_without": [0.77, 0.79] * 10}  # 95 % interval: 2.09 * sqrt(19) * 0.01
    assert task.failures(shaky, keras, {"max_accuracy_drop": 1.0}) == []


@pytest.mark.parametrize(("groups", "fails"), [(2, False), (20, True)])
def test_a_drop_on_few_images_has_to_be_larger(task, groups, fails):
    keras = {"map50": 0.8, "map50_without": [0.8] * groups, "boxes": 0, "max_relative_difference": 0.0}
    worse = {**keras, "map50": 0.765, "map50_without": [0.762, 0.768] * (groups // 2)}  # 0.038 at 2 groups, 0.027 at 20
    assert bool(task.failures(worse, keras, {"max_accuracy_drop": 1.0})) is fails


def test_leaving_out_images_tells_how_much_map50_depends_on_them(task):
    reference = np.stack([answer(OBJECTS)] * 40)
    comparison = task.comparison()
    comparison.update(reference, reference, np.repeat(OBJECTS[None], 40, 0))
    assert comparison.result()["map50_without"] == pytest.approx([1.0] * 20)
