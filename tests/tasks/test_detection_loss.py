"""Losses of detectors against PyTorch's operators and plain NumPy."""

import numpy as np
import pytest

from mnext_tf.tasks.detection_loss import detection_loss, focal_loss, multibox_loss

BATCH, PRIORS, CLASSES = 4, 300, 6


def make_batch(seed=0, objects=(12, 1, 0, 100)):
    """Targets with that many matched priors in each image, and packed outputs."""
    rng = np.random.default_rng(seed)
    targets = np.zeros((BATCH, PRIORS, 5), np.float32)
    for image, count in zip(targets, objects, strict=True):
        where = rng.permutation(PRIORS)[:count]
        image[where, 0] = rng.integers(1, CLASSES + 1, count)
        image[where, 1:] = rng.normal(0, 2, (count, 4))
    return targets, rng.normal(0, 2, (BATCH, PRIORS, CLASSES + 5)).astype(np.float32)


def value_and_gradient(loss, targets, packed):
    import tensorflow as tf

    packed = tf.Variable(packed)
    with tf.GradientTape() as tape:
        value = tf.function(loss)(targets, packed)
    return float(value), tape.gradient(value, packed).numpy()


def torch_box_loss(torch, targets, packed):
    positive = targets[..., 0] > 0
    smooth = torch.nn.functional.smooth_l1_loss
    return smooth(packed[..., -4:][positive], targets[..., 1:][positive], reduction="sum") / positive.sum()


def torch_multibox(torch, targets, packed):
    """Hard negatives are chosen image by image from a sorted list."""
    classes, logits = targets[..., 0].long(), packed[..., :-4]
    losses = []
    for wanted, scores in zip(classes, logits, strict=True):
        each = torch.nn.functional.cross_entropy(scores, wanted, reduction="none")
        positive = wanted > 0
        negatives = torch.sort(each[~positive], descending=True).values[: 3 * int(positive.sum())]
        losses.append(each[positive].sum() + negatives.sum())
    return sum(losses) / (classes > 0).sum() + torch_box_loss(torch, targets, packed)


def torch_focal(torch, targets, packed):
    classes, logits = targets[..., 0].long(), packed[..., 1:-4]
    wanted = torch.nn.functional.one_hot(classes, CLASSES + 1)[..., 1:].float()
    p = torch.sigmoid(logits)
    right = torch.where(wanted == 1, p, 1 - p)
    alpha = torch.where(wanted == 1, 0.25, 0.75)
    focal = -(alpha * (1 - right) ** 2 * torch.log(right)).sum() / (classes > 0).sum()
    return 5 * focal + torch_box_loss(torch, targets, packed)


@pytest.mark.parametrize(("loss", "theirs"), [(multibox_loss, torch_multibox), (focal_loss, torch_focal)])
@pytest.mark.parametrize("objects", [(12, 1, 0, 100), (5, 5, 5, 5), (300, 0, 0, 0)])
def test_values_and_gradients_are_pytorchs(loss, theirs, objects):
    torch = pytest.importorskip("torch")
    targets, packed = make_batch(objects=objects)
    value, gradient = value_and_gradient(loss, targets, packed)
    expected = torch.tensor(packed, requires_grad=True)
    result = theirs(torch, torch.tensor(targets), expected)
    result.backward()
    assert value == pytest.approx(float(result.detach()), rel=1e-5)
    np.testing.assert_allclose(gradient, expected.grad.numpy(), rtol=1e-3, atol=1e-6)


def test_three_negatives_for_each_object_are_the_hardest_of_its_image():
    """One object in the first image; the second has none, and its easy errors do not count."""
    targets, packed = make_batch(objects=(1, 0, 0, 0))
    _, gradient = value_and_gradient(multibox_loss, targets, packed)
    counted = np.abs(gradient[..., :-4]).sum(-1) > 0
    assert counted.sum(1).tolist() == [4, 0, 0, 0]
    scores = packed[0, :, :-4].astype(np.float64)
    background = np.log(np.exp(scores).sum(1)) - scores[:, 0]
    background[targets[0, :, 0] > 0] = -1
    assert set(np.argsort(-background)[:3]) < set(np.flatnonzero(counted[0]))
    assert (np.abs(gradient[..., -4:]).sum(-1) > 0).sum() == 1


def test_images_without_objects_count_where_a_recipe_says_so():
    targets, packed = make_batch(objects=(1, 0, 0, 0))
    _, gradient = value_and_gradient(detection_loss("softmax", 7), targets, packed)
    counted = np.abs(gradient[..., :-4]).sum(-1) > 0
    assert counted.sum(1).tolist() == [4, 7, 7, 7]


def test_equal_scores_choose_no_more_than_three():
    targets, packed = make_batch(objects=(2, 0, 0, 0))
    _, gradient = value_and_gradient(multibox_loss, targets, np.zeros_like(packed))
    assert (np.abs(gradient[0, :, 0]) > 0).sum() == 2 + 6


@pytest.mark.parametrize("loss", [multibox_loss, focal_loss])
@pytest.mark.parametrize("scale", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("objects", [(0, 0, 0, 0), (3, 0, 1, 300)])
def test_any_batch_and_any_scores_give_numbers(loss, scale, objects):
    targets, packed = make_batch(objects=objects)
    value, gradient = value_and_gradient(loss, targets, packed * scale)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("loss", [multibox_loss, focal_loss])
def test_half_precision_is_summed_in_float32(loss):
    import tensorflow as tf

    targets, packed = make_batch()
    whole, half = float(loss(targets, packed)), loss(targets, tf.cast(packed, tf.float16))
    assert half.dtype == tf.float32
    assert float(half) == pytest.approx(whole, rel=2e-3)


def test_the_background_column_takes_no_part_in_sigmoid_scores():
    targets, packed = make_batch()
    _, gradient = value_and_gradient(detection_loss("sigmoid"), targets, packed)
    assert (gradient[..., 0] == 0).all()
    assert (gradient[..., 1:-4] != 0).all()


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_parts_of_as_many_objects_have_the_loss_of_the_whole(scoring):
    """The training step takes the mean over parts; each counts its own objects."""
    loss = detection_loss(scoring)
    targets, packed = make_batch(objects=(6, 2, 4, 4))
    parts = [float(loss(targets[i : i + 2], packed[i : i + 2])) for i in (0, 2)]
    assert np.mean(parts) == pytest.approx(float(loss(targets, packed)), rel=1e-5)
