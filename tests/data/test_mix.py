import numpy as np
import pytest
from test_batches import PLAIN, SMALL, epoch_of

from mnext_tf.data import Augment, train_batches
from mnext_tf.data.mix import draw_mixes, mix

MIXED = {"crop_scale_min": 1.0, "flip": False, "color_jitter": 0}


def draws(side=224, count=4000, **alphas):
    return draw_mixes(Augment(**alphas), side, count, np.random.default_rng(0))


def test_mixup_shares_are_beta():
    share, outside, *box = draws(mixup=0.2).T
    np.testing.assert_array_equal(share, outside)
    assert not np.any(box)
    assert share.mean() == pytest.approx(0.5, abs=0.02)
    assert share.var() == pytest.approx(1 / (4 * (2 * 0.2 + 1)), abs=0.01)  # of Beta(alpha, alpha)


def test_cutmix_share_is_the_area_that_is_left():
    share, outside, top, left, bottom, right = draws(cutmix=1.0).T
    assert (outside == 1).all()
    np.testing.assert_allclose(share, 1 - (bottom - top) * (right - left) / 224**2, atol=1e-6)
    whole = (top > 0) & (left > 0) & (bottom < 224) & (right < 224)
    np.testing.assert_array_equal((bottom - top)[whole], (right - left)[whole])
    assert whole.mean() == pytest.approx(1 / 6, abs=0.03)  # the others are cut off: E[(1 - s)^2] for Beta(1, 1)
    assert top.min() == 0
    assert bottom.max() == 224


def test_both_take_turns():
    cuts = draws(mixup=0.4, cutmix=1.0)[:, 1] == 1
    assert cuts.mean() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("batch", [4, 5])
def test_what_a_mix_is(batch):
    import tensorflow as tf

    images = np.random.default_rng(1).uniform(0, 255, (batch, 6, 6, 3)).astype(np.float32)
    labels = np.arange(batch, dtype=np.int32)
    blended, targets = mix(tf.constant(images), tf.constant(labels), tf.constant([0.3, 0.3, 0, 0, 0, 0]), 7)
    np.testing.assert_allclose(blended[0], 0.3 * images[0] + 0.7 * images[1], rtol=1e-4)
    np.testing.assert_allclose(blended[3], 0.3 * images[3] + 0.7 * images[2], rtol=1e-4)
    np.testing.assert_allclose(targets[3], [0, 0, 0.7, 0.3, 0, 0, 0], atol=1e-6)
    cut, targets = mix(tf.constant(images), tf.constant(labels), tf.constant([0.75, 1.0, 2, 3, 5, 6]), 7)
    expected = images[1].copy()
    expected[2:5, 3:6] = images[0, 2:5, 3:6]
    np.testing.assert_allclose(cut[1], expected, rtol=1e-4)
    np.testing.assert_allclose(targets[1], [0.25, 0.75, 0, 0, 0, 0, 0], atol=1e-6)
    if batch == 5:  # nobody is left for the last
        np.testing.assert_array_equal(cut[4], images[4])
        np.testing.assert_array_equal(targets[4], np.eye(7)[4])


def test_batches_of_targets(digits):
    """Each target sums to 1, in the classes of the image and its neighbor; another epoch mixes otherwise."""
    augment = Augment(**MIXED, mixup=0.8, cutmix=1.0)
    images, targets = epoch_of(digits, augment)
    plain, labels = epoch_of(digits, PLAIN)
    assert targets.shape == (1400, 10)
    assert targets.dtype == images.dtype == np.float32
    np.testing.assert_allclose(targets.sum(1), 1, atol=1e-6)
    own, other = targets[np.arange(1400), labels], targets[np.arange(1400), labels[np.arange(1400) ^ 1]]
    mates = labels != labels[np.arange(1400) ^ 1]
    np.testing.assert_allclose((own + other)[mates], 1, atol=1e-6)
    assert np.abs(images - plain).mean() > 5
    shares = np.where(mates, own, np.nan).reshape(14, 100)
    np.testing.assert_allclose(np.nanmax(shares, 1), np.nanmin(shares, 1), atol=1e-6)  # one for the whole batch
    assert len(set(np.nanmax(shares, 1).round(4))) > 7  # 8 x 8 pixels: few areas
    next_epoch = epoch_of(digits, augment, epoch=1)[1]
    assert not np.array_equal(next_epoch, targets)


def test_start_step_and_shares_see_the_same_mixes(digits):
    augment = Augment(**MIXED, mixup=0.8, cutmix=1.0)
    images, targets = epoch_of(digits, augment)
    late_images, late_targets = epoch_of(digits, augment, start_step=9)
    np.testing.assert_array_equal(late_images, images[900:])
    np.testing.assert_array_equal(late_targets, targets[900:])
    parts = [epoch_of(digits, augment, share=(i, 2)) for i in range(2)]
    for whole, halves in zip((images, targets), zip(*parts, strict=True), strict=True):
        joined = np.concatenate([half.reshape(14, 50, *half.shape[1:]) for half in halves], 1)
        np.testing.assert_array_equal(joined.reshape(whole.shape), whole)


def test_pairs_do_not_cross_workers(digits):
    from mnext_tf.errors import ConfigError

    with pytest.raises(ConfigError, match="twice the 4 workers"):
        train_batches(digits, SMALL, Augment(mixup=0.2), 100, seed=0, epoch=0, share=(0, 4))
