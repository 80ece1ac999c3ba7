import io

import numpy as np
import pytest

from mnext_tf.data import Augment, Preprocess
from mnext_tf.data.preprocess import decode, eval_image, train_image
from mnext_tf.errors import ConfigError


def pillow(encoded):
    from PIL import Image

    return Image.open(io.BytesIO(encoded))


@pytest.mark.parametrize(
    ("field", "value"),
    [("input_size", 0), ("input_size", 32.0), ("crop_fraction", 0), ("crop_fraction", 1.2), ("interpolation", "cubic")],
)
def test_preprocess_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        Preprocess(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("crop_scale_min", 0), ("crop_scale_min", 1.1), ("crop_ratio_max", 0.5), ("color_jitter", -0.1), ("shift", 1.0)],
)
def test_augment_refuses(field, value):
    with pytest.raises(ConfigError, match=field):
        Augment(**{field: value})


def test_record_goes_there_and_back():
    preprocess = Preprocess(96, 0.9, "bilinear")
    assert Preprocess.from_dict(preprocess.to_dict()) == preprocess
    with pytest.raises(ConfigError, match="mean"):
        Preprocess.from_dict({**preprocess.to_dict(), "mean": 0})


def test_squashing_is_said_in_version_2_only():
    """What older readers, apps among them, know as version 1 is written as before."""
    assert Preprocess(96).to_dict() == {
        "version": 1, "input_size": 96, "crop_fraction": 0.875, "interpolation": "bicubic"
    }  # fmt: skip
    squashed = Preprocess(96, 1.0, fit="squash")
    assert (squashed.to_dict()["version"], squashed.to_dict()["fit"]) == (2, "squash")
    assert Preprocess.from_dict(squashed.to_dict()) == squashed
    with pytest.raises(ConfigError, match="fit must be one of crop, squash"):
        Preprocess(fit="stretch")


@pytest.mark.parametrize("size", [(161, 93), (25, 21), (56, 40), (80, 60), (90, 900)])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest", "bicubic"])
def test_squashing_antialiases_only_where_it_must(encode, size, interpolation):
    import tensorflow as tf

    encoded = encode("JPEG", size=size)
    squashed = eval_image(encoded, Preprocess(28, 0.875, interpolation, "squash"))
    assert squashed.shape == (28, 28, 3)
    must = max(size) > {"bicubic": 3, "bilinear": 2, "nearest": 2}[interpolation] * 28
    expected = tf.image.resize(decode(encoded), (28, 28), interpolation, antialias=must)
    np.testing.assert_allclose(squashed, np.clip(expected, 0, 255), atol=0.05)


@pytest.mark.parametrize(
    ("format", "mode"),
    [("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "RGBA"), ("PNG", "P")],
)
def test_decode_equals_pillow(encode, format, mode):
    encoded = encode(format, mode=mode)
    np.testing.assert_array_equal(decode(encoded), np.asarray(pillow(encoded).convert("RGB")))


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(161, 93), (93, 161), (25, 21)])
def test_eval_image_equals_pillow(encode, interpolation, size):
    from PIL import Image

    encoded = encode("JPEG", size=size)
    preprocess = Preprocess(28, 0.875, interpolation)
    short = min(size)
    width, height = (32 * side // short for side in size)
    left, top = round((width - 28) / 2), round((height - 28) / 2)
    resized = pillow(encoded).resize((width, height), getattr(Image.Resampling, interpolation.upper()))
    expected = np.asarray(resized.crop((left, top, left + 28, top + 28)), np.float32)
    got = eval_image(encoded, preprocess).numpy()
    assert got.dtype == np.float32
    assert got.min() >= 0
    assert got.max() <= 255
    assert np.abs(got - expected).max() <= 1.5  # Pillow rounds to whole numbers after each direction


def test_train_image_depends_on_seed_alone(encode):
    preprocess, augment = Preprocess(32), Augment(shift=0.1)
    for format in ("JPEG", "PNG"):
        encoded = encode(format, size=(80, 60))
        first, again, other = (train_image(encoded, preprocess, augment, [7, i]).numpy() for i in (1, 1, 2))
        assert first.shape == (32, 32, 3)
        assert first.min() >= 0
        assert first.max() <= 255
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).mean() > 1


def test_without_augmentation_train_equals_eval(encode):
    encoded, preprocess = encode("JPEG"), Preprocess(24)
    plain = Augment(crop_scale_min=1.0, flip=False, color_jitter=0, shift=0)
    np.testing.assert_array_equal(train_image(encoded, preprocess, plain, [0, 0]), eval_image(encoded, preprocess))


def test_shift_moves_and_fills_with_zeros(encode):
    encoded, preprocess = encode("PNG", size=(20, 20)), Preprocess(20, 1.0)
    augment = Augment(crop_scale_min=1.0, flip=False, color_jitter=0, shift=0.2)
    original = np.pad(eval_image(encoded, preprocess).numpy(), ((4, 4), (4, 4), (0, 0)))
    moves = set()
    for i in range(90):
        moved = train_image(encoded, preprocess, augment, [0, i]).numpy()
        matches = [
            (y, x) for y in range(9) for x in range(9) if np.array_equal(moved, original[y : y + 20, x : x + 20])
        ]
        assert len(matches) == 1
        moves.add(matches[0])
    assert {y for y, _ in moves} == set(range(9))


def test_flip_flips_about_half(encode):
    encoded, preprocess = encode("PNG", size=(20, 20)), Preprocess(20, 1.0)
    augment = Augment(crop_scale_min=1.0, color_jitter=0)
    original = eval_image(encoded, preprocess).numpy()
    flipped = 0
    for i in range(60):
        image = train_image(encoded, preprocess, augment, [3, i]).numpy()
        if not np.array_equal(image, original):
            np.testing.assert_array_equal(image, original[:, ::-1])
            flipped += 1
    assert 18 <= flipped <= 42


def test_a_long_strip_is_seen_by_its_middle():
    """And needs no memory for the rest: 20000 x 3 pixels resized whole would be 1.7 million wide."""
    import tensorflow as tf

    strip = np.zeros((3, 20_000, 3), np.uint8)
    strip[:, 9_990:10_010] = (10, 200, 90)
    image = eval_image(tf.io.encode_png(strip), Preprocess(32, crop_fraction=1.0)).numpy()
    np.testing.assert_allclose(image.reshape(-1, 3), np.tile((10, 200, 90), (1024, 1)), atol=1)
