"""Augmentation of images with boxes: pixels and boxes move together, and draws are SSD's."""

import colorsys

import numpy as np
import pytest

from mnext_tf.data.box_augment import MEAN_COLOR, BoxAugment, boxes_in_view, distort, random_view, train_example
from mnext_tf.data.preprocess import Preprocess, eval_image
from mnext_tf.errors import ConfigError

NOTHING = BoxAugment(distortion=0, swap_channels=0, expand=0, crop_side_min=1.0, flip=False)
MOVES = BoxAugment(distortion=0, swap_channels=0, expand=0.7)
OBJECT = (0.3, 0.25, 0.7, 0.6)


def encoded_object(format, size, box=OBJECT):
    """A black image with a white rectangle, as bytes, and its box."""
    import tensorflow as tf

    width, height = size
    x0, y0, x1, y1 = (round(v * s) for v, s in zip(box, (width, height) * 2, strict=True))
    image = np.zeros((height, width, 3), np.uint8)
    image[y0:y1, x0:x1] = 255
    encoded = tf.io.encode_png(image) if format == "PNG" else tf.io.encode_jpeg(image, quality=100)
    return encoded, np.array([[x0 / width, y0 / height, x1 / width, y1 / height]], np.float32)


def views(boxes, augment, count=1500, shape=(300, 400, 3)):
    """float32 (count, 4)"""
    import tensorflow as tf

    draws = tf.random.stateless_uniform((count, 211), [1, 2])
    boxes = tf.constant(boxes, tf.float32)
    draw = tf.function(lambda d: random_view(boxes, shape, augment, d))
    return tf.map_fn(draw, draws).numpy()


def test_with_nothing_on_it_is_the_image_of_evaluation(encode):
    boxes, labels = np.array([[0.1, 0.2, 0.5, 0.9], [0, 0, 1, 1]], np.float32), np.array([4, 2])
    for interpolation in ("bilinear", "bicubic"):
        preprocess = Preprocess(48, 1.0, interpolation, "squash")
        encoded = encode("PNG", size=(200, 150))
        image, found, kept = train_example(encoded, boxes, labels, preprocess, NOTHING, [0, 0])
        np.testing.assert_allclose(image, eval_image(encoded, preprocess), atol=0.1)
        np.testing.assert_array_equal(found, boxes)
        np.testing.assert_array_equal(kept, labels)


@pytest.mark.parametrize(("format", "size"), [("PNG", (90, 70)), ("JPEG", (801, 603)), ("JPEG", (2003, 1501))])
def test_a_box_is_where_its_object_is(format, size):
    """JPEGs of these sizes are decoded at several scales."""
    encoded, box = encoded_object(format, size)
    seen = 0
    for i in range(40):
        image, boxes, _ = train_example(encoded, box, np.array([0]), Preprocess(64, 1.0, "bilinear"), MOVES, [9, i])
        bright = image.numpy()[..., 0] > 190
        rows, columns = np.flatnonzero(bright.any(1)), np.flatnonzero(bright.any(0))
        assert len(boxes) == 1
        if len(rows):  # else smaller than a pixel
            found = [columns[0] / 64, rows[0] / 64, (columns[-1] + 1) / 64, (rows[-1] + 1) / 64]
            assert np.abs(boxes[0] - found).max() < 1.2 / 64
            seen += 1
    assert seen >= 38


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(640, 480), (77, 1001), (5, 5), (1, 1), (1, 300)])
def test_there_is_no_seam_between_image_and_canvas(encode, format, size):
    """Beside white and the mean color nothing darker or lighter appears."""
    import tensorflow as tf

    white = np.full((size[1], size[0], 3), 255, np.uint8)
    encoded = tf.io.encode_png(white) if format == "PNG" else tf.io.encode_jpeg(white)
    whole, shares = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32), []
    for i in range(15):
        image, _, _ = train_example(encoded, whole, np.array([0]), Preprocess(40, 1.0, "bilinear"), MOVES, [3, i])
        canvas = (image.numpy() == MEAN_COLOR).all(-1)
        assert image.numpy()[~canvas].min(initial=255) > 254
        shares.append(canvas.mean())
    assert min(shares) == 0
    assert max(shares) > 0.3


def test_everything_follows_from_the_seed(encode):
    import tensorflow as tf

    encoded, boxes = encode("JPEG", size=(320, 240)), np.array([[0.1, 0.2, 0.5, 0.9]], np.float32)
    draw = tf.function(lambda seed: train_example(encoded, boxes, [3], Preprocess(32), BoxAugment(), seed))
    images = [draw(tf.constant([5, i]))[0].numpy() for i in range(8)]
    again = [train_example(encoded, boxes, [3], Preprocess(32), BoxAugment(), [5, i])[0].numpy() for i in range(8)]
    np.testing.assert_allclose(images, again, atol=1e-3)
    assert len({image.tobytes() for image in images}) == 8
    assert 0 <= np.min(images) < np.max(images) <= 255


def test_mirrored_images_have_mirrored_boxes():
    encoded, box = encoded_object("PNG", (60, 40), (0.1, 0.2, 0.3, 0.5))
    augment = BoxAugment(distortion=0, swap_channels=0, expand=0, crop_side_min=1.0)
    lefts = set()
    for i in range(20):
        image, boxes, _ = train_example(encoded, box, np.array([0]), Preprocess(60, 1.0, "bilinear"), augment, [0, i])
        bright = np.flatnonzero(image.numpy()[..., 0].max(0) > 128)
        np.testing.assert_allclose(boxes[0, ::2], [bright[0] / 60, (bright[-1] + 1) / 60], atol=1e-6)
        lefts.add(int(bright[0]))
    assert lefts == {6, 42}


def test_half_of_the_images_are_on_a_canvas_up_to_four_times_as_large():
    found = views([OBJECT], BoxAugment(crop_side_min=1.0))
    sides = found[:, 2:] - found[:, :2]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1], rtol=1e-5)
    larger = sides[:, 0] > 1
    assert larger.mean() == pytest.approx(0.5, abs=0.04)
    assert sides[larger, 0].mean() == pytest.approx(2.5, abs=0.1)
    assert 3.9 < sides.max() <= 4
    assert (found[:, :2] <= 0).all()
    assert (found[:, 2:] >= 1 - 1e-5).all()
    place = -found[larger, 0] / (sides[larger, 0] - 1)  # 0..1, uniform
    assert place.mean() == pytest.approx(0.5, abs=0.04)
    assert place.std() == pytest.approx(12**-0.5, abs=0.02)


def test_crops_have_an_object_in_them_and_shapes_in_their_bounds():
    boxes = np.array([OBJECT, (0.0, 0.0, 0.1, 0.1)], np.float32)
    found = views(boxes, BoxAugment(expand=0))
    sides = found[:, 2:] - found[:, :2]
    cropped = (sides < 1).any(1)
    aspect = sides[cropped, 1] * 300 / (sides[cropped, 0] * 400)
    assert (aspect.min() >= 0.5) & (aspect.max() <= 2)
    assert 0.3 <= sides.min() < 0.31
    assert found.min() >= 0
    assert found.max() <= 1 + 1e-6
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = ((center > found[:, None, :2]) & (center < found[:, None, 2:])).all(-1)
    assert inside.any(1).all()
    assert not inside.all(1).all()


def simulated_views(box, count, rng):
    """SSD's rule with its loops: of one object in a square image, the crops and whether they are the whole."""
    area, found = (box[2] - box[0]) * (box[3] - box[1]), []
    while len(found) < count:
        least = [None, 0, 0.1, 0.3, 0.5, 0.7, 0.9][rng.integers(7)]
        if least is None:
            found.append((0, 0, 1, 1))
            continue
        for _ in range(50):
            w, h = rng.uniform(0.3, 1, 2)
            x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
            common = max(0, min(box[2], x + w) - max(box[0], x)) * max(0, min(box[3], y + h) - max(box[1], y))
            center = x < (box[0] + box[2]) / 2 < x + w and y < (box[1] + box[3]) / 2 < y + h
            if 0.5 <= h / w <= 2 and center and common / (area + w * h - common) >= least:
                found.append((x, y, x + w, y + h))
                break
    return np.array(found)


@pytest.mark.parametrize("box", [OBJECT, (0.05, 0.1, 0.95, 0.9)])
def test_crops_are_drawn_as_ssd_draws_them(box):
    found = views([box], BoxAugment(expand=0), shape=(300, 300, 3))
    expected = simulated_views(box, 1500, np.random.default_rng(0))
    for measure in (
        lambda v: (v == (0, 0, 1, 1)).all(1),
        lambda v: v[:, 2] - v[:, 0],
        lambda v: v[:, 0],
        lambda v: v[:, 3],
        lambda v: (v[:, 2] - v[:, 0]) * (v[:, 3] - v[:, 1]),
    ):
        assert measure(found).mean() == pytest.approx(measure(expected).mean(), abs=0.035)


def test_objects_in_view():
    """Those with their center inside, cut off; what has next to no side left is dropped."""
    boxes = [
        [0.0, 0.0, 0.6, 0.6],  # center inside
        [0.0, 0.0, 0.3, 0.3],  # outside
        [0.4, 0.4, 0.40001, 0.6],  # a line
        [0.5, 0.5, 0.8, 0.8],
        [0.3, 0.3, 0.3, 0.3],
    ]
    found, labels = boxes_in_view(np.array(boxes, np.float32), np.arange(5), np.array([0.25, 0.25, 0.75, 0.75]))
    np.testing.assert_array_equal(labels, [0, 3])
    np.testing.assert_allclose(found, [[0, 0, 0.7, 0.7], [0.5, 0.5, 1, 1]], atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 10_000])
def test_any_number_of_objects(count, encode):
    rng = np.random.default_rng(0)
    begin = rng.uniform(0, 0.9, (count, 2))
    boxes = np.concatenate([begin, begin + rng.uniform(0, 0.1, (count, 2))], 1).astype(np.float32)
    for i in range(6):
        image, found, labels = train_example(
            encode("JPEG"), boxes, np.arange(count), Preprocess(32), BoxAugment(), [1, i]
        )
        assert image.shape == (32, 32, 3)
        assert len(found) == len(labels) <= count
        assert np.isfinite(image).all()
        if len(found):
            assert found.numpy().min() >= 0
            assert found.numpy().max() <= 1
            assert (found[:, 2:] - found[:, :2]).numpy().min() >= 1e-3


DRAWS = np.array([0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5], np.float32)  # nothing is made


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, lambda h, s, v: (h, s, v)),
        ({0: 0.1, 5: 0.75}, None),  # brightness: half of 32 more
        ({1: 0.1, 6: 1.0}, lambda h, s, v: (h, s, 1.5 * v)),
        ({2: 0.1, 7: 0.0}, lambda h, s, v: (h, 0.5 * s, v)),
        ({3: 0.1, 8: 1.0}, lambda h, s, v: ((h + 0.05) % 1, s, v)),
        ({1: 0.1, 2: 0.1, 3: 0.1, 6: 0.25, 7: 0.75, 8: 0.0}, lambda h, s, v: ((h - 0.05) % 1, 1.25 * s, 0.75 * v)),
    ],
)
def test_each_change_of_color(changes, expected):
    image = np.random.default_rng(0).uniform(0, 160, (6, 5, 3)).astype(np.float32)
    draws = DRAWS.copy()
    draws[list(changes)] = list(changes.values())
    found = distort(image, BoxAugment(), draws).numpy()
    if expected is None:
        np.testing.assert_allclose(found, image + 16, rtol=1e-4)
        return
    pixels = [colorsys.hsv_to_rgb(*expected(*colorsys.rgb_to_hsv(*pixel))) for pixel in image.reshape(-1, 3).tolist()]
    np.testing.assert_allclose(found.reshape(-1, 3), pixels, atol=0.02)


def test_channels_are_swapped_and_strength_scales():
    image = np.random.default_rng(0).uniform(0, 255, (4, 4, 3)).astype(np.float32)
    draws = DRAWS.copy()
    draws[[4, 9]] = 0.4, 0.99
    np.testing.assert_allclose(distort(image, BoxAugment(), draws), image[..., ::-1], rtol=1e-4)
    half = BoxAugment(distortion=0.5, swap_channels=0.3)
    np.testing.assert_allclose(distort(image, half, draws), image, rtol=1e-4)
    draws[[0, 5]] = 0.1, 1.0
    np.testing.assert_allclose(distort(image, half, draws), image + 16, rtol=1e-4)


def test_damaged_bytes_are_an_error(encode):
    import tensorflow as tf

    with pytest.raises(tf.errors.InvalidArgumentError):
        train_example(encode("JPEG")[:100], np.zeros((0, 4), np.float32), [], Preprocess(32), BoxAugment(), [0, 0])


@pytest.mark.parametrize("field", [{"distortion": 1.1}, {"expand": -0.1}, {"expand_ratio_max": 0.9}])
def test_fields_out_of_range(field):
    with pytest.raises(ConfigError, match=next(iter(field))):
        BoxAugment(**field)
