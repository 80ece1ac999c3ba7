"""The page's pixels against Python's, one by one."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from mnext_tf.data.image_files import read_image
from mnext_tf.data.preprocess import Preprocess, eval_image

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Of 255. The page computes in float32 and in the order of TensorFlow.
TOLERANCE = 1e-6

RUN = """async ({ encoded, record }) => {
  const { readImage, preprocess } = await import('/preprocess.js');
  const bytes = Uint8Array.from(atob(encoded), (c) => c.charCodeAt(0));
  const image = await readImage(new Blob([bytes]));
  return Array.from(preprocess(image, record));
}"""


@pytest.fixture(scope="module")
def page(serve, open_page, app_files):
    with serve(app_files[:1]) as server, open_page(server) as page:
        yield page


def pixels_of(page, encoded: bytes, record: Preprocess) -> np.ndarray:
    import base64

    side = record.input_size
    values = page.evaluate(RUN, {"encoded": base64.b64encode(encoded).decode(), "record": record.to_dict()})
    return np.array(values, np.float32).reshape(side, side, 3)


def picture(width: int, height: int) -> np.ndarray:
    """Noise over a gradient: every pixel counts, and none is like another."""
    rng = np.random.default_rng(width * 10_000 + height)
    gradient = np.linspace(0, 255, width)[None, :, None] * np.linspace(0.2, 1, height)[:, None, None]
    return np.clip(gradient + rng.normal(0, 40, (height, width, 3)), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray, **options) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG", **options)
    return encoded.getvalue()


@pytest.mark.parametrize("fit", ["crop", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
@pytest.mark.parametrize("size", [(640, 427), (427, 640), (64, 64), (33, 20), (1000, 31), (257, 1501), (1, 7)], ids=str)
def test_every_pixel_is_that_of_python(page, size, interpolation, fit):
    record = Preprocess(input_size=64, crop_fraction=0.875, interpolation=interpolation, fit=fit)
    encoded = png(picture(*size))
    expected = eval_image(encoded, record).numpy()
    assert np.abs(pixels_of(page, encoded, record) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("crop_fraction", [1.0, 0.9, 0.5])
@pytest.mark.parametrize("side", [31, 224])
def test_sizes_and_offsets_are_rounded_alike(page, side, crop_fraction):
    record = Preprocess(input_size=side, crop_fraction=crop_fraction)
    encoded = png(picture(301, 199))
    expected = eval_image(encoded, record).numpy()
    assert np.abs(pixels_of(page, encoded, record) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_turned_upright(page, tmp_path, orientation):
    """By the browser before the page sees a pixel; the PNG has no losses that would differ."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.png"
    path.write_bytes(png(picture(120, 80), exif=exif))
    record = Preprocess(input_size=48)
    upright = read_image(path, "", 0, path.name, lossless=True).encoded
    expected = eval_image(upright, record).numpy()
    assert np.abs(pixels_of(page, path.read_bytes(), record) - expected).max() <= TOLERANCE


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_jpeg(page, tmp_path, mode, orientation):
    """Chromium decodes JPEG with the library that TensorFlow uses; a decoder may differ by a step or two."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    Image.fromarray(picture(640, 480)).convert(mode).save(path, "JPEG", quality=90, exif=exif)
    record = Preprocess(input_size=224)
    expected = eval_image(read_image(path, "", 0, path.name, lossless=True).encoded, record).numpy()
    difference = np.abs(pixels_of(page, path.read_bytes(), record) - expected)
    assert difference.max() <= 3
    assert difference.mean() <= 0.1


def test_gray_palette_and_transparent_pngs(page):
    record = Preprocess(input_size=32)
    image = Image.fromarray(picture(60, 50))
    for converted in (image.convert("L"), image.convert("P"), image.convert("RGBA")):
        encoded = io.BytesIO()
        converted.save(encoded, "PNG")
        expected = eval_image(encoded.getvalue(), record).numpy()
        assert np.abs(pixels_of(page, encoded.getvalue(), record) - expected).max() <= TOLERANCE


def test_a_record_of_a_later_version_is_refused(page):
    later = {**Preprocess().to_dict(), "version": 3}
    check = "async (record) => { (await import('/preprocess.js')).checkRecord(record); }"
    with pytest.raises(Exception, match="cannot follow"):
        page.evaluate(check, later)
