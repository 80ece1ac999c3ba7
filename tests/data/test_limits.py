"""Files that would start programs, take gigabytes, or end as something that cannot be decoded."""

import io
import resource
import struct
import subprocess
import zlib

import numpy as np
import pytest

from mnext_tf.data import Augment, Preprocess, open_dataset, tfrecord
from mnext_tf.data.image_files import MEGAPIXEL, read_image
from mnext_tf.data.prepare import prepare
from mnext_tf.data.preprocess import encoded_size, eval_image, train_image
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError
from mnext_tf.inference.image_stream import images_in_folder, images_of_dataset, images_of_paths, preprocessed

SMALL = Preprocess(8, 1.0)


def png_bomb(width, height):
    """A PNG of zeros: a few kilobytes for many megapixels of one bit."""
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    rows = zlib.compressobj(9)
    data = b"".join(rows.compress(bytes(1 + (width + 7) // 8)) for _ in range(height)) + rows.flush()
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + kind + d + struct.pack(">I", zlib.crc32(kind + d)) for kind, d in chunks
    )


def webp_bomb(side):
    from PIL import Image

    encoded = io.BytesIO()
    Image.new("RGB", (64, 64)).save(encoded, "WEBP", lossless=True)
    data = bytearray(encoded.getvalue())
    data[21:25] = struct.pack("<I", side - 1 | side - 1 << 14)  # VP8L: width - 1 and height - 1 in 14 bits each
    return bytes(data)


@pytest.fixture(scope="module")
def large():
    return png_bomb(9000, 8000)  # 68.7 megapixels


def read(tmp_path, data, **options):
    path = tmp_path / "holiday.jpg"
    path.write_bytes(data)
    return read_image(path, "cat", 0, "holiday.jpg", **options)


def test_postscript_starts_no_program(tmp_path, monkeypatch):
    def started(*arguments, **_):
        raise AssertionError(f"a program was started: {arguments}")

    monkeypatch.setattr(subprocess, "Popen", started)
    monkeypatch.setattr(subprocess, "check_call", started)
    monkeypatch.setattr("shutil.which", lambda *_: "/usr/bin/gs")
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n0 0 moveto showpage\n%%EOF\n"
    with pytest.raises(DataError, match="not an image in one of the formats JPEG, PNG, WEBP, GIF, BMP, TIFF"):
        read(tmp_path, eps)


@pytest.mark.parametrize("format", ["PPM", "ICO", "PCX", "TGA", "JPEG2000"])
def test_other_formats_of_pillow_are_not_opened(tmp_path, encode, format):
    with pytest.raises(DataError, match="not an image in one of the formats"):
        read(tmp_path, encode(format))


def test_mpo_is_a_jpeg(tmp_path, encode):
    from PIL import Image

    encoded = io.BytesIO()
    frames = [Image.open(io.BytesIO(encode("JPEG", seed=i))) for i in range(2)]
    frames[0].save(encoded, "MPO", save_all=True, append_images=frames[1:])
    assert read(tmp_path, encoded.getvalue()).format == "JPEG"


def test_bombs_are_refused_before_they_are_decoded(tmp_path, large):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(DataError, match=r"9000 x 8000 pixels are more than the limit of 64 megapixels; raise max_mega"):
        read(tmp_path, large)
    with pytest.raises(DataError, match="more pixels than max_megapixels allows"):
        read(tmp_path, webp_bomb(16_383))
    with pytest.raises(DataError, match="12000 x 12000 pixels are more"):
        read(tmp_path, webp_bomb(12_000))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kilobytes; decoded: 210 MB
    assert read(tmp_path, large, max_pixels=80 * MEGAPIXEL).width == 9000
    small = png_bomb(300, 200)
    assert read(tmp_path, small, max_pixels=60_000).height == 200
    with pytest.raises(DataError, match="300 x 200"):
        read(tmp_path, small, max_pixels=59_999)


def test_a_bomb_among_images_is_skipped_and_counted(tmp_path, photographs, large):
    (photographs / "train/cat/bomb.png").write_bytes(large)
    record = prepare(list_images(photographs), tmp_path / "out")
    ((name, reason),) = record["skipped"]
    assert (name, record["splits"]["train"]) == ("train/cat/bomb.png", 6)
    assert "more than the limit of 64 megapixels" in reason
    with pytest.raises(DataError, match="made with other settings"):
        prepare(list_images(photographs), tmp_path / "out", max_pixels=80 * MEGAPIXEL)
    few = open_dataset(photographs, tmp_path / "cache", max_pixels=1300)
    assert (few.skipped, open_dataset(photographs, tmp_path / "cache", max_pixels=1200).skipped) == (1, 1)
    with pytest.raises(DataError, match="cannot be used"):
        open_dataset(photographs, tmp_path / "cache", max_pixels=1199)


def test_bombs_in_inference(tmp_path, encode, large):
    for name, data in (("cat/a.jpg", encode("JPEG")), ("dog/b.png", large), ("dog/c.jpg", encode("JPEG"))):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(data)
    for images in (images_of_paths([tmp_path / "in"]), images_in_folder(tmp_path / "in", ["cat", "dog"])):
        (batch,) = preprocessed(images, [SMALL], 4, progress=False)
        assert len(batch.names) == 2
        ((name, reason),) = images.skipped
        assert name.endswith("dog/b.png")
        assert "more than the limit of 64 megapixels" in reason
    images = images_of_paths([tmp_path / "in"], max_pixels=1199)
    with pytest.raises(DataError, match="no image can be read"):
        list(preprocessed(images, [SMALL], 4, progress=False))


def test_bombs_in_records(tmp_path, encode, large):
    folder = tmp_path / "records"
    for split in tfrecord.SPLITS:
        images = [encode("JPEG"), large, encode("PNG")]
        examples = [tfrecord.Example(d, "", 0, 0, 3, i % 2, "", f"{i}.png") for i, d in enumerate(images)]
        tfrecord.write_shards(examples, folder, split, 1)
    given = {"label_offset": 1, "num_classes": 2}
    with pytest.raises(DataError, match=r"Record 1 of .*train-00000-of-00001 \(1\.png\): 9000 x 8000 pixels are more"):
        open_dataset(folder, tmp_path / "cache", **given)
    dataset = open_dataset(folder, tmp_path / "cache", max_pixels=80 * MEGAPIXEL, **given)
    images = images_of_dataset(dataset)
    (batch,) = preprocessed(images, [SMALL], 4, progress=False)
    assert (len(batch.names), [name for name, _ in images.skipped]) == (2, ["1.png"])


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"exif": b"Exif\0\0" + bytes(9000)}, {"comment": b"c"}])
def test_sizes_come_from_the_header(encode, mode, options):
    data = encode("JPEG", mode=mode, size=(41, 33), **options)
    assert encoded_size(data) == encoded_size(data[:-300]) == (41, 33)
    assert encoded_size(encode("PNG", mode=mode, size=(41, 33))) == (41, 33)
    for damaged in (data[:20], b"\x89PNG\r\n", b"\xff\xd8\xff", b""):
        assert encoded_size(damaged) == (0, 0)


def test_an_image_of_a_shape_that_cannot_be_decoded_is_left_out(tmp_path):
    """libpng reads up to a million pixels in one direction; what is written in its place must not be the same again."""
    with pytest.raises(DataError, match="1 x 2000000 pixels are a shape that TensorFlow does not decode"):
        read(tmp_path, png_bomb(1, 2_000_000))


def test_large_images_are_resized_without_a_copy_of_floats(tmp_path):
    """The values are those of Pillow all the same; see test_preprocess."""
    import tensorflow as tf

    image = np.zeros((6000, 6000, 3), np.uint8)
    encoded = tf.io.encode_png(image, compression=1).numpy()
    eval_image(encoded, SMALL)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    eval_image(encoded, SMALL)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(3000, 1), (1, 3000), (3000, 2), (1, 1)])
def test_strips_give_finite_pixels_and_a_finite_loss(encode, format, size):
    import tensorflow as tf

    encoded = encode(format, size=size)
    images = [train_image(encoded, Preprocess(32), Augment(crop_ratio_max=10), [1, i]) for i in range(8)]
    images = np.stack([*images, eval_image(encoded, Preprocess(32))])
    assert images.shape == (9, 32, 32, 3)
    assert np.isfinite(images).all()
    assert 0 <= images.min() <= images.max() <= 255
    model = tf.keras.Sequential(
        [tf.keras.layers.Conv2D(4, 3, 2), tf.keras.layers.BatchNormalization(), tf.keras.layers.ReLU(6),
         tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(2)]
    )  # fmt: skip
    model.compile("sgd", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    assert np.isfinite(model.train_on_batch(images / 127.5 - 1, np.arange(9) % 2))
