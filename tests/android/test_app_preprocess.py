"""The app's preprocessing on a desktop JVM, compared with Python's."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest

from mnext_tf.data.preprocess import INTERPOLATIONS, Preprocess, eval_image

pytestmark = pytest.mark.android

# width, height, EXIF orientation, chroma subsampling of the JPEG (0: 4:4:4, 1: 4:2:2, 2: 4:2:0)
IMAGES = (
    (641, 427, 1, 2),
    (37, 501, 2, 2),
    (224, 224, 3, 0),
    (225, 223, 4, 2),
    (1000, 333, 5, 2),
    (3000, 2001, 6, 2),
    (427, 640, 7, 1),
    (333, 77, 8, 0),
    (1, 1, 1, 0),
    (1501, 31, 6, 2),
)
SIZES = (32, 192, 224)
LARGE = 4_000_000  # pixels; larger images take seconds each and are tested with the last size only
TOLERANCE = 1  # of 255, after rounding


@pytest.fixture(scope="module")
def make_image():
    """`make_image(width, height)`: a resized sample image of scikit-learn."""
    from PIL import Image
    from sklearn.datasets import load_sample_images

    images = [Image.fromarray(image) for image in load_sample_images().images]

    def make_image(width: int, height: int):
        return images[(width + height) % 2].resize((width, height), Image.Resampling.BICUBIC)

    return make_image


@pytest.fixture(scope="module")
def prepared(jvm, tmp_path_factory):
    """`prepared(preprocess, "jpeg", path)`: the network input that the app computes."""
    out = tmp_path_factory.mktemp("prepared") / "out.f32"

    def prepared(preprocess: Preprocess, *source) -> np.ndarray:
        p = preprocess
        ok, output = jvm(*source, p.input_size, p.crop_fraction, p.interpolation, p.fit, out)
        assert ok, output
        return np.fromfile(out, "<f4").reshape(p.input_size, p.input_size, 3)

    return prepared


def encoded(image, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def combinations(width: int, height: int):
    """The pairs (input size, interpolation) to test."""
    return itertools.product(SIZES[-1:] if width * height > LARGE else SIZES, INTERPOLATIONS)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """The largest absolute difference after rounding to integers."""
    assert a.shape == b.shape
    return float(np.abs(np.rint(a) - np.rint(b)).max())


@pytest.mark.parametrize(("width", "height"), [p[:2] for p in IMAGES] + [(9000, 7), (3, 8000)])
def test_resize_and_crop_match_tensorflow(make_image, prepared, tmp_path, record_property, width, height):
    image = make_image(width, height)
    png = encoded(image, "PNG", compress_level=1)
    (tmp_path / "pixels.rgb").write_bytes(image.tobytes())

    largest = 0.0
    for size, interpolation in combinations(width, height):
        preprocess = Preprocess(size, 0.875, interpolation)
        expected = eval_image(png, preprocess).numpy()
        received = prepared(preprocess, "raw", tmp_path / "pixels.rgb", width, height)
        assert difference(received, expected) <= TOLERANCE, (size, interpolation)
        largest = max(largest, float(np.abs(received - expected).max()))
    record_property("largest_difference", largest)
    assert largest < 1e-3  # 0 if the machine's kernels add in the same order


@pytest.mark.parametrize(
    ("width", "height"), [(641, 427), (37, 501), (224, 224), (1000, 333), (1, 1), (3000, 2001), (2000, 7), (3, 1500)]
)
def test_squashed_images_match_tensorflow(make_image, prepared, tmp_path, width, height):
    """Also those that are longer than the crop of a classifier may be."""
    image = make_image(width, height)
    png = encoded(image, "PNG", compress_level=1)
    (tmp_path / "pixels.rgb").write_bytes(image.tobytes())
    for size, interpolation in combinations(width, height):
        preprocess = Preprocess(size, 1.0, interpolation, "squash")
        expected = eval_image(png, preprocess).numpy()
        received = prepared(preprocess, "raw", tmp_path / "pixels.rgb", width, height)
        assert np.abs(received - expected).max() < 1e-3, (size, interpolation)


def test_a_squashed_photo_is_upright(make_image, prepared, tmp_path):
    from PIL import Image

    from mnext_tf.inference.image_stream import images_of_paths, preprocessed

    exif = Image.Exif()
    exif[0x0112] = 8
    make_image(641, 427).save(tmp_path / "photo.jpg", quality=92, exif=exif)
    preprocess = Preprocess(192, 1.0, "bilinear", "squash")
    (batch,) = preprocessed(images_of_paths([tmp_path / "photo.jpg"]), [preprocess], 1, progress=False)
    assert difference(prepared(preprocess, "jpeg", tmp_path / "photo.jpg"), batch.pixels[preprocess][0]) <= TOLERANCE


@pytest.mark.parametrize("fraction", [0.5, 0.8, 0.87, 0.9, 1.0])
def test_sizes_and_offsets_round_like_python(make_image, prepared, tmp_path, fraction):
    for width, height, size in (
        (101, 75, 33),
        (75, 102, 31),
        (64, 64, 35),
        (90, 61, 34),
    ):  # odd, even, and exact halves
        image = make_image(width, height)
        (tmp_path / "pixels.rgb").write_bytes(image.tobytes())
        preprocess = Preprocess(size, fraction, "bilinear")
        expected = eval_image(encoded(image, "PNG"), preprocess).numpy()
        received = prepared(preprocess, "raw", tmp_path / "pixels.rgb", width, height)
        assert np.abs(received - expected).max() < 1e-3, (width, height, size)


@pytest.mark.parametrize(("width", "height", "orientation", "subsampling"), IMAGES)
def test_jpegs_with_exif_match_python(
    make_image, prepared, tmp_path, record_property, width, height, orientation, subsampling
):
    from PIL import Image, ImageOps

    from mnext_tf.data.preprocess import decode

    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = encoded(make_image(width, height), "JPEG", quality=92, subsampling=subsampling, exif=exif)
    (tmp_path / "photo.jpg").write_bytes(jpeg)
    stored = Image.fromarray(decode(jpeg).numpy())
    stored.getexif()[0x0112] = orientation
    upright = encoded(ImageOps.exif_transpose(stored), "PNG", compress_level=1)

    largest = 0.0
    for size, interpolation in combinations(width, height):
        preprocess = Preprocess(size, 0.875, interpolation)
        expected = eval_image(jpeg if orientation == 1 else upright, preprocess).numpy()
        received = prepared(preprocess, "jpeg", tmp_path / "photo.jpg")
        assert difference(received, expected) <= TOLERANCE, (size, interpolation)
        largest = max(largest, float(np.abs(received - expected).max()))
    record_property("largest_difference", largest)


def test_a_rotated_photo_matches_predict(make_image, prepared, tmp_path):
    from PIL import Image

    from mnext_tf.inference.image_stream import images_of_paths, preprocessed

    exif = Image.Exif()
    exif[0x0112] = 6
    make_image(641, 427).save(tmp_path / "photo.jpg", quality=92, exif=exif)
    preprocess = Preprocess(224, 0.875, "bicubic")

    (batch,) = preprocessed(images_of_paths([tmp_path / "photo.jpg"]), [preprocess], 1, progress=False)
    received = prepared(preprocess, "jpeg", tmp_path / "photo.jpg")
    assert difference(received, batch.pixels[preprocess][0]) <= TOLERANCE
