"""RandAugment: its operations beside Pillow's, the strengths and the draws of timm."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from mnext_tf.data import Augment, Preprocess
from mnext_tf.data import image_operations as ops
from mnext_tf.data.preprocess import train_image
from mnext_tf.data.rand_augment import RandAugment, _levels, _operations, parse_rand_augment, rand_augment
from mnext_tf.errors import ConfigError

SIDE, FILL = 60, (124, 116, 104)
NAMES = [
    *("auto_contrast", "equalize", "invert", "rotate", "posterize", "solarize", "solarize_add", "color", "contrast"),
    *("brightness", "sharpness", "shear_x", "shear_y", "translate_x", "translate_y"),
]


def picture(seed, low=0, high=256):
    coarse = np.random.default_rng(seed).integers(low, high, (7, 6, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@pytest.fixture(params=["full", "dull", "plain"])
def image(request):
    return {"full": picture(0), "dull": picture(1, 60, 120), "plain": Image.new("RGB", (SIDE, SIDE), (9, 200, 9))}[
        request.param
    ]


def affine(image, matrix):
    return image.transform(image.size, Image.AFFINE, matrix, resample=Image.BILINEAR, fillcolor=FILL)


def pillows(image, name, level, sign, increasing):
    """What timm makes of an image: Pillow's operations with the arguments for a magnitude of 10 `level`."""
    factor = max(0.1, 1 + sign * level * 0.9) if increasing else 0.1 + level * 1.8
    bits, threshold = int(level * 4), int(level * 256)
    table = [min(255, i + int(level * 110)) if i < 128 else i for i in range(256)]
    return {
        "auto_contrast": lambda: ImageOps.autocontrast(image),
        "equalize": lambda: ImageOps.equalize(image),
        "invert": lambda: ImageOps.invert(image),
        "rotate": lambda: image.rotate(sign * level * 30, resample=Image.BILINEAR, fillcolor=FILL),
        "posterize": lambda: ImageOps.posterize(image, 4 - bits if increasing else bits),
        "solarize": lambda: ImageOps.solarize(image, 256 - threshold if increasing else threshold),
        "solarize_add": lambda: image.point(table * 3),
        "color": lambda: ImageEnhance.Color(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
        "shear_x": lambda: affine(image, (1, sign * level * 0.3, 0, 0, 1, 0)),
        "shear_y": lambda: affine(image, (1, 0, 0, sign * level * 0.3, 1, 0)),
        "translate_x": lambda: affine(image, (1, 0, sign * level * 0.45 * SIDE, 0, 1, 0)),
        "translate_y": lambda: affine(image, (1, 0, 0, 0, 1, sign * level * 0.45 * SIDE)),
    }[name]()


@pytest.mark.parametrize("increasing", [False, True])
@pytest.mark.parametrize(("level", "sign"), [(0.3, 1), (0.9, -1)])
def test_every_operation_equals_pillows(image, level, sign, increasing):
    import tensorflow as tf

    assert list(_operations(increasing)) == NAMES
    for name, change in _operations(increasing).items():
        got = change(tf.constant(np.asarray(image)), tf.constant(level), tf.constant(sign * level)).numpy()
        difference = np.abs(got.astype(int) - np.asarray(pillows(image, name, level, sign, increasing)))
        assert got.dtype == np.uint8
        assert difference.max() <= 1, name
        assert difference.mean() < 0.05, name


def test_operations_do_what_their_names_say():
    """The comparison with Pillow could not see an operation that both sides lack."""
    import tensorflow as tf

    image = tf.constant(np.asarray(picture(1, 10, 250)))
    for name, change in _operations(False).items():
        changed = change(image, tf.constant(0.9), tf.constant(0.9)).numpy()
        assert (changed != image.numpy()).mean() > 0.02, name
    assert ops.posterize(image, 0).numpy().max() == 0  # Pillow refuses; timm's m0 asks for it
    np.testing.assert_array_equal(ops.solarize(image, 0), 255 - image.numpy())


def test_whole_arguments_are_those_of_double_precision():
    """Thresholds are cut off to whole numbers: a level a hair below would give another."""
    import tensorflow as tf

    for magnitude in range(11):
        level = tf.constant(magnitude) / 10
        for most in (4, 110, 256):
            assert int(tf.cast(most * tf.cast(level, tf.float32), tf.int32)) == int(magnitude / 10 * most)


def test_text_of_timm():
    assert parse_rand_augment("") is None
    assert parse_rand_augment("rand") == RandAugment(10, 2, 0.0, False)
    assert parse_rand_augment("rand-m9-mstd0.5") == RandAugment(9, 2, 0.5, False)
    assert parse_rand_augment("rand-inc1-mstd101-n3-m10") == RandAugment(10, 3, 101.0, True)


@pytest.mark.parametrize(
    "text", ["m9", "rand-", "rand-m11", "rand-m9-m9", "rand-n0", "rand-inc0", "rand-w0", "rand-mstd", "v0-mstd0.5", " "]
)
def test_other_text_is_refused(text):
    with pytest.raises(ConfigError, match=r"rand-m9-mstd0\.5; received"):
        Augment(rand_augment=text)


def test_levels_follow_timm():
    import tensorflow as tf

    def draw(*settings):
        settings = RandAugment(*settings)
        return (
            10 * _levels(settings, tf.random.stateless_uniform((settings.count,), [1, 2]), tf.constant([3, 4])).numpy()
        )

    normal = draw(9, 2000, 0.5)
    assert normal.mean() == pytest.approx(9, abs=0.05)
    assert normal.std() == pytest.approx(0.5, abs=0.05)
    assert draw(10, 50, 1.0).max() == 10
    assert set(draw(7, 3, 0.0).round(4)) == {7}
    uniform = draw(8, 2000, 101.0)
    assert np.quantile(uniform, [0, 0.5, 1]) == pytest.approx([0, 4, 8], abs=0.3)


def test_a_quarter_stays_and_every_operation_comes():
    """Two operations, each made half of the time; single ones are told apart by their results."""
    import tensorflow as tf

    image = np.asarray(picture(3))
    draw = tf.function(lambda i: rand_augment(tf.constant(image), RandAugment(9), tf.stack([7, i])))
    results = [draw(tf.constant(i)).numpy() for i in range(600)]
    same = np.mean([np.array_equal(result, image) for result in results])
    assert same == pytest.approx(0.25, abs=0.06)
    for name, change in _operations(False).items():
        for sign in (1, -1):
            single = change(tf.constant(image), tf.constant(0.9), tf.constant(sign * 0.9)).numpy()
            assert any(np.abs(result.astype(int) - single).max() <= 1 for result in results), name
    np.testing.assert_array_equal(results[5], draw(tf.constant(5)).numpy())


def test_it_replaces_color_jitter(encode):
    encoded, preprocess = encode("PNG", size=(20, 20)), Preprocess(20, 1.0)
    common = {"crop_scale_min": 1.0, "flip": False, "rand_augment": "rand-m5"}
    for i in range(8):
        jittered, plain = (
            train_image(encoded, preprocess, Augment(color_jitter=jitter, **common), [2, i]).numpy()
            for jitter in (0.4, 0)
        )
        np.testing.assert_array_equal(jittered, plain)
        np.testing.assert_array_equal(plain, np.rint(plain))


def test_rotation_is_counterclockwise_as_pillows():
    import tensorflow as tf

    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    image[25:35, 45:55] = 255  # right of the middle
    turned = _operations(False)["rotate"](tf.constant(image), tf.constant(1.0), tf.constant(1.0)).numpy()
    y, x = np.argwhere(turned[..., 0] == 255).mean(0) + 0.5 - SIDE / 2
    assert math.degrees(math.atan2(-y, x)) == pytest.approx(30, abs=1)
