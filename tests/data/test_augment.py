"""The random crop decoded at JPEG's reduced scales, and the colour changes."""

import numpy as np
import pytest

from mnext_tf.data import Augment, Preprocess
from mnext_tf.data.augment import change_color, random_window
from mnext_tf.data.preprocess import _decode_random_window, train_image

CROP_ONLY = Augment(flip=False, color_jitter=0)


@pytest.fixture
def picture():
    return np.random.default_rng(0).uniform(60, 160, (24, 20, 3)).astype(np.float32)


def scaled_window(window, side):
    """The window in pixels of JPEG's reduced scale, and that scale: begin and end (2,), ratio."""
    begin, size = window[:2], window[2:]
    ratio = max(r for r in (1, 2, 4, 8) if r == 1 or min(size) // r >= side)
    return (begin + ratio // 2) // ratio, (begin + size + ratio // 2) // ratio, ratio


def test_crop_is_decoded_at_the_smallest_scale_that_suffices(encode):
    import tensorflow as tf

    encoded, ratios = encode("JPEG", size=(1003, 801)), set()
    for side in (16, 80, 200, 600):
        for i in range(6):
            window = random_window((801, 1003, 3), CROP_ONLY, [5, i]).numpy()
            begin, end, ratio = scaled_window(window, side)
            crop = _decode_random_window(encoded, side, CROP_ONLY, tf.constant([5, i])).numpy()
            assert crop.shape == (*(end - begin), 3)
            assert min(crop.shape[:2]) >= min(side, *window[2:])
            ratios.add(ratio)
    assert ratios == {1, 2, 4, 8}


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_scaled_crop_looks_like_the_full_crop_resized(encode, interpolation):
    import tensorflow as tf

    encoded, side = encode("JPEG", size=(1003, 801), quality=95), 48
    image = tf.cast(tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE"), tf.float32)
    for i in range(12):
        begin, end, ratio = scaled_window(random_window((801, 1003, 3), CROP_ONLY, [9, i]).numpy(), side)
        (y, x), (bottom, right) = begin * ratio, end * ratio
        expected = tf.image.resize(image[y:bottom, x:right], (side, side), interpolation, antialias=True).numpy()
        got = train_image(encoded, Preprocess(side, interpolation=interpolation), CROP_ONLY, [9, i]).numpy()
        assert np.abs(got - expected).mean() < 1.5
        assert np.abs(got - expected[::-1]).mean() > 10


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("size", [(8, 8), (1, 1), (1, 300), (300, 1), (301, 17), (9, 1000)])
def test_every_shape_of_jpeg(encode, mode, size):
    encoded = encode("JPEG", mode=mode, size=size)
    for i in range(4):
        image = train_image(encoded, Preprocess(16), Augment(), [1, i]).numpy()
        assert image.shape == (16, 16, 3)
        assert image.dtype == np.float32
        assert np.isfinite(image).all()
        assert 0 <= image.min() <= image.max() <= 255


def test_progressive_jpeg_at_reduced_scale(encode):
    kinds = [encode("JPEG", size=(640, 480), quality=95, progressive=progressive) for progressive in (False, True)]
    plain, progressive = (train_image(encoded, Preprocess(32), CROP_ONLY, [1, 2]).numpy() for encoded in kinds)
    np.testing.assert_allclose(plain, progressive, atol=2)


def test_large_png_is_shrunk_with_antialiasing():
    """Stripes two pixels wide come out grey, not as stripes."""
    import tensorflow as tf

    stripes = np.zeros((400, 400, 3), np.uint8)
    stripes[:, ::4] = stripes[:, 1::4] = 200
    encoded = tf.io.encode_png(stripes)
    image = train_image(encoded, Preprocess(16), Augment(0.9, flip=False, color_jitter=0), [0, 0]).numpy()
    assert np.abs(image - 100).max() < 12


def test_each_color_change_alone(picture):
    weights = np.array([0.2989, 0.587, 0.114], np.float32)
    grey = picture @ weights
    np.testing.assert_allclose(change_color(picture_tensor(picture), 1.3, 1.0, 1.0), picture * 1.3, rtol=1e-3)
    np.testing.assert_allclose(change_color(picture_tensor(picture), 1.0, 0.0, 1.0), grey.mean(), rtol=1e-3)
    np.testing.assert_allclose(
        change_color(picture_tensor(picture), 1.0, 1.0, 0.0), np.repeat(grey[..., None], 3, -1), rtol=1e-3
    )
    np.testing.assert_allclose(change_color(picture_tensor(picture), 1.0, 1.0, 1.0), picture, rtol=1e-3)


def test_color_changes_equal_pillows(picture):
    """While nothing leaves [0, 255] the order is Pillow's: brightness, contrast, saturation."""
    from PIL import Image, ImageEnhance

    image = Image.fromarray(picture.astype(np.uint8))
    got = change_color(picture_tensor(np.asarray(image, np.float32)), 1.2, 0.7, 1.4).numpy()
    for enhance, factor in ((ImageEnhance.Brightness, 1.2), (ImageEnhance.Contrast, 0.7), (ImageEnhance.Color, 1.4)):
        image = enhance(image).enhance(factor)
    assert np.abs(got - np.asarray(image, np.float32)).max() <= 3  # Pillow rounds after each step


def test_jitter_stays_in_its_range():
    """A grey image shows brightness alone: contrast and saturation keep it."""
    import tensorflow as tf

    encoded = tf.io.encode_png(np.full((8, 8, 3), 100, np.uint8))
    augment = Augment(crop_scale_min=1.0, flip=False, color_jitter=0.3)
    values = [train_image(encoded, Preprocess(8, 1.0), augment, [4, i]).numpy().mean() for i in range(60)]
    assert 69.9 < min(values) < 80
    assert 120 < max(values) < 130.1


def picture_tensor(picture):
    import tensorflow as tf

    return tf.constant(picture)


def expected_share(tries=20_000):
    """Mean share of 400 x 300 pixels under the published rule, by simulation: large areas fit less often."""
    rng, shares = np.random.default_rng(0), []
    for _ in range(tries):
        for _ in range(10):
            area, ratio = 120_000 * rng.uniform(0.08, 1), np.exp(rng.uniform(-1, 1) * np.log(4 / 3))
            if np.sqrt(area * ratio) <= 400 and np.sqrt(area / ratio) <= 300:
                shares.append(area / 120_000)
                break
    return np.mean(shares)


def test_windows_have_the_published_distribution():
    """Area uniform between its bounds where it fits, the ratio's logarithm symmetric, positions everywhere."""
    import tensorflow as tf

    augment = Augment(crop_scale_min=0.08, crop_ratio_max=4 / 3)
    draw = tf.function(lambda i: random_window((300, 400, 3), augment, tf.stack([3, i])))
    y, x, h, w = tf.map_fn(draw, tf.range(2000), fn_output_signature=tf.int32).numpy().T
    assert min(y.min(), x.min()) >= 0
    assert (y + h).max() <= 300
    assert (x + w).max() <= 400
    share, ratio = h * w / 120_000, w / h
    assert 0.075 < share.min() < 0.1
    assert 0.95 < share.max() <= 1
    assert share.mean() == pytest.approx(expected_share(), abs=0.02)  # TensorFlow's own operator: 0.36
    assert 0.74 < ratio.min() < 0.77
    assert 1.31 < ratio.max() < 1.35
    small = share < 0.3  # these fit at any ratio
    assert abs(np.log(ratio[small]).mean()) < 0.03
    assert (y[small] == 0).mean() < 0.05
    assert np.ptp(x[small]) > 200


@pytest.mark.parametrize(("shape", "expected"), [((10, 1000, 3), (0, 494, 10, 13)), ((1000, 10, 3), (494, 0, 13, 10))])
def test_an_image_too_long_for_any_ratio_gives_its_centre(shape, expected):
    window = random_window(shape, Augment(crop_scale_min=0.5), [0, 1]).numpy()
    assert np.abs(window - expected).max() <= 1
