import numpy as np
import pytest

from mnext_tf.data import Augment, Preprocess
from mnext_tf.data.erasing import erase, random_rectangle
from mnext_tf.data.preprocess import train_image
from mnext_tf.errors import ConfigError

MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's


def rectangles(probability, count=1500, side=224):
    import tensorflow as tf

    draw = tf.function(lambda i: random_rectangle(side, probability, tf.stack([3, i])))
    return tf.map_fn(draw, tf.range(count), fn_output_signature=tf.int32).numpy()


def test_rectangles_have_the_published_distribution():
    y, x, h, w = rectangles(1.0).T
    share, aspect = h * w / 224**2, np.log(h / w)
    assert min(y.min(), x.min()) >= 0
    assert max((y + h).max(), (x + w).max()) <= 224
    assert 0.018 < share.min() < 0.03
    assert 0.31 < share.max() < 0.336
    small = share < 0.25  # these fit at any aspect ratio
    assert share[small].mean() == pytest.approx((0.02 + 0.25) / 2, abs=0.01)
    assert aspect[small].mean() == pytest.approx(0, abs=0.06)
    assert aspect[small].std() == pytest.approx(-np.log(0.3) / np.sqrt(3), abs=0.04)  # of a uniform distribution
    assert (y / (224 - h)).mean() == pytest.approx(0.5, abs=0.03)
    assert (x + w == 224).any()


def test_probability():
    assert (rectangles(0.2)[:, 2] > 0).mean() == pytest.approx(0.2, abs=0.03)
    assert not rectangles(0.0, 50).any()


@pytest.mark.parametrize("mode", ["pixel", "constant"])
def test_only_the_rectangle_changes(mode):
    import tensorflow as tf

    image = np.random.default_rng(0).uniform(0, 255, (200, 200, 3)).astype(np.float32)
    rectangle = tf.constant([30, 0, 150, 200])
    erased = erase(tf.constant(image), rectangle, mode, [1, 2]).numpy()
    inside = np.zeros((200, 200), bool)
    inside[30:180] = True
    np.testing.assert_array_equal(erased[~inside], image[~inside])
    filled = erased[inside]
    assert 0 <= filled.min() <= filled.max() <= 255
    np.testing.assert_allclose(filled.mean(0), MEAN, atol=1)
    if mode == "pixel":
        np.testing.assert_allclose(filled.std(0), STD, atol=3)  # clipped at 0 and 255
        assert np.corrcoef(filled[:-1, 0], filled[1:, 0])[0, 1] < 0.02
    else:
        assert np.ptp(filled, 0).max() == 0
    np.testing.assert_array_equal(erase(tf.constant(image), tf.zeros(4, tf.int32), mode, [1, 2]), image)


def test_erasing_follows_from_the_seed(encode):
    encoded, preprocess = encode("JPEG", size=(40, 40)), Preprocess(32, 1.0)
    augment = Augment(crop_scale_min=1.0, flip=False, color_jitter=0, erasing=1.0)
    plain = train_image(encoded, preprocess, Augment(crop_scale_min=1.0, flip=False, color_jitter=0), [0, 0]).numpy()
    first, again, other = (train_image(encoded, preprocess, augment, [7, i]).numpy() for i in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    for image in (first, other):
        assert 0.01 < (image != plain).any(-1).mean() < 0.36
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(("field", "value"), [("erasing", 1.1), ("erasing_mode", "const"), ("mixup", -1.0)])
def test_refused(field, value):
    with pytest.raises(ConfigError, match=field):
        Augment(**{field: value})


def test_old_records_have_none_of_it():
    old = {"crop_scale_min": 0.3, "crop_ratio_max": 1.5, "flip": True, "color_jitter": 0.1, "shift": 0.0, "version": 1}
    augment = Augment.from_dict(old)
    assert (augment.rand_augment, augment.erasing, augment.mixes) == ("", 0, False)
    assert Augment(cutmix=0.5).mixes
