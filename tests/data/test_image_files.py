import errno
import json
import os

import numpy as np
import pytest

from mnext_tf.data import Preprocess, eval_batches, image_files, open_dataset, tfrecord
from mnext_tf.data.image_files import read_image
from mnext_tf.data.preprocess import decode
from mnext_tf.errors import DataError


def stored(dataset, split="train"):
    """File name to (bytes, format, channels, label) of every record."""
    import tensorflow as tf

    records = {}
    for shard in tfrecord.find_shards(dataset.folder)[split]:
        for record in tfrecord.read_records(shard):
            feature = tf.train.Example.FromString(record).features.feature
            records[feature["image/filename"].bytes_list.value[0].decode()] = (
                feature["image/encoded"].bytes_list.value[0],
                feature["image/format"].bytes_list.value[0].decode(),
                feature["image/channels"].int64_list.value[0],
                feature["image/class/label"].int64_list.value[0],
            )
    return records


def read(tmp_path, data, name="x.jpg"):
    path = tmp_path / name
    path.write_bytes(data)
    return read_image(path, "cat", 0, name)


def test_sound_files_are_stored_byte_for_byte(photographs, tmp_path, encode):
    (photographs / "train/cat/really.jpg").write_bytes(encode("PNG"))
    (photographs / "train/dog/grey.jpeg").write_bytes(encode("JPEG", mode="L"))
    dataset = open_dataset(photographs, tmp_path / "cache")
    records = stored(dataset)
    assert len(records) == dataset.splits["train"] == 8
    for name, (data, _, _, label) in records.items():
        assert data == (photographs / name).read_bytes()
        assert label == 1 + ("dog" in name)
    assert records["train/cat/really.jpg"][1:3] == ("PNG", 3)
    assert records["train/dog/grey.jpeg"][1:3] == ("JPEG", 1)
    assert dataset.class_names == ("cat", "dog")
    assert dataset.class_counts == {"train": (4, 4), "validation": (1, 1)}
    images, labels = next(iter(eval_batches(dataset, Preprocess(16), 8)))
    assert images.shape == (2, 16, 16, 3)
    assert sorted(labels.numpy()) == [0, 1]


def test_a_turned_jpeg_that_is_only_looked_at_loses_nothing(tmp_path):
    from PIL import Image, ImageOps

    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (31, 23, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.jpg", quality=80, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "x.jpg")))
    for lossless, largest in ((True, 0), (False, 255)):
        encoded = read_image(tmp_path / "x.jpg", "cat", 0, "x.jpg", lossless=lossless).encoded
        difference = np.abs(decode(encoded).numpy().astype(int) - upright).max()
        assert difference <= largest
        assert lossless or difference > 0


def test_cmyk_jpeg_is_converted(tmp_path, encode):
    data = encode("JPEG", mode="CMYK", quality=95)
    example = read(tmp_path, data)
    assert example.format == "PNG"
    rgb = decode(encode("JPEG", quality=95)).numpy().astype(int)
    assert np.abs(decode(example.encoded).numpy() - rgb).mean() < 4


@pytest.mark.parametrize("format", ["WEBP", "BMP", "GIF", "TIFF"])
def test_other_formats_become_png(tmp_path, encode, format):
    example = read(tmp_path, encode(format))
    assert (example.format, example.height, example.width) == ("PNG", 30, 40)
    assert decode(example.encoded).shape == (30, 40, 3)


def test_sixteen_bit_png_becomes_eight_bit(tmp_path):
    import tensorflow as tf

    values = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    for channels in (1, 3):
        data = tf.io.encode_png(np.repeat(values[..., None], channels, 2)).numpy()
        example = read(tmp_path, data, "deep.png")
        assert example.encoded[24] == 8
        assert np.abs(decode(example.encoded).numpy()[..., 0].astype(int) - (values >> 8)).max() <= 1


@pytest.mark.parametrize(("format", "kept"), [("JPEG", "JPEG"), ("WEBP", "PNG")])
def test_exif_rotation_is_applied(tmp_path, encode, format, kept):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 6  # to be shown turned a quarter clockwise
    example = read(tmp_path, encode(format, exif=exif, quality=95))
    assert (example.format, example.height, example.width) == (kept, 40, 30)
    upright = np.rot90(decode(encode("PNG")).numpy().astype(int), -1)
    assert np.abs(decode(example.encoded).numpy() - upright).mean() < 6
    assert Image.open(tmp_path / "x.jpg").size == (40, 30)


def test_damaged_files_are_skipped_and_listed(photographs, tmp_path, encode, log_lines):
    cat = photographs / "train/cat"
    (cat / "cut.jpg").write_bytes(encode("JPEG")[:-100])
    (cat / "cut.png").write_bytes(encode("PNG")[:-300])
    (cat / "empty.jpg").touch()
    (cat / "text.jpg").write_text("no image")
    (cat / "link.jpg").symlink_to(cat / "nowhere.jpg")
    (cat / "notes.txt").touch()
    (cat / ".hidden.jpg").touch()
    lines = log_lines
    dataset = open_dataset(photographs, tmp_path / "cache")
    assert (dataset.splits["train"], dataset.skipped) == (6, 5)
    record = json.loads((dataset.folder / "dataset.json").read_text())
    reasons = dict(record["skipped"])
    assert set(reasons) == {f"train/cat/{n}" for n in ("cut.jpg", "cut.png", "empty.jpg", "text.jpg", "link.jpg")}
    assert "truncated" in reasons["train/cat/cut.jpg"]
    assert reasons["train/cat/empty.jpg"] == "empty file"
    assert reasons["train/cat/link.jpg"] == "No such file or directory"
    assert record["ignored"] == 2
    assert "5 files skipped: train/cat/cut.jpg" in lines[-1]
    assert str(dataset.folder / "dataset.json") in lines[-1]


def test_conversion_is_reused_until_something_changes(photographs, tmp_path):
    first = open_dataset(photographs, tmp_path / "cache")
    written = (first.folder / "train-00000-of-00001").stat().st_mtime_ns
    again = open_dataset(photographs, tmp_path / "cache")
    assert again == first
    assert (again.folder / "train-00000-of-00001").stat().st_mtime_ns == written
    os.utime(photographs / "train/cat/0.jpg", (1, 1))
    touched = open_dataset(photographs, tmp_path / "cache")
    assert touched.folder != first.folder
    assert touched.fingerprint == first.fingerprint
    assert open_dataset(first.folder, tmp_path / "cache") == first


def test_interrupted_conversion_goes_on(photographs, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tfrecord, "write_sidecar", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_dataset(photographs, tmp_path / "cache")
    (half,) = (tmp_path / "cache").iterdir()
    written = (half / "train-00000-of-00001").stat().st_mtime_ns
    dataset = open_dataset(photographs, tmp_path / "cache")
    assert dataset.folder == half
    assert (half / "train-00000-of-00001").stat().st_mtime_ns == written


def test_validation_may_be_called_validation(photographs, tmp_path):
    (photographs / "val").rename(photographs / "validation")
    assert open_dataset(photographs, tmp_path / "cache").splits["validation"] == 2


def remove(folder):
    for path in folder.iterdir():
        remove(path) if path.is_dir() else path.unlink()
    folder.rmdir()


def empty_files(folder):
    for path in folder.iterdir():
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda root: remove(root / "val"),
            r"no val, .*valid, test or testing folder; found train/.*layout is train/",
        ),
        (lambda root: remove(root / "train"), r"no train or training folder; found val/"),
        (lambda root: remove(root / "train/dog"), "1 class folders .cat.; at least 2"),
        (lambda root: (root / "val/bird").mkdir(), "lacks: bird"),
        (lambda root: [remove(root / "train/dog"), (root / "train/dog").mkdir()], "train has no image of dog"),
        (
            lambda root: empty_files(root / "train/dog"),
            r"train has no sound image of dog[\s\S]*train/dog/[0-2].jpg: empty file",
        ),
        (lambda root: [remove(root / f"val/{c}") for c in ("cat", "dog")], "val has no image"),
        (lambda root: [empty_files(root / f"val/{c}") for c in ("cat", "dog")], "validation has no sound image"),
    ],
)
def test_layout_errors(photographs, tmp_path, change, message):
    change(photographs)
    with pytest.raises(DataError, match=message):
        open_dataset(photographs, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*/dataset.json"))


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EMFILE, "Too many open files")])
def test_what_the_machine_lacks_is_no_damage(photographs, monkeypatch, error):
    def failing(data):
        raise error

    monkeypatch.setattr(image_files, "_tensorflow_decodes", failing)
    with pytest.raises(type(error)):
        read_image(photographs / "train/cat/0.jpg", "cat", 0, "0.jpg")


def test_names_with_spaces_and_umlauts(photographs, tmp_path, encode):
    for split in ("train", "val"):
        (photographs / split / "Grüner Baum").mkdir()
        (photographs / split / "Grüner Baum" / "ein Bild é.jpg").write_bytes(encode("JPEG"))
    dataset = open_dataset(photographs, tmp_path / "cache")
    assert dataset.class_names == ("Grüner Baum", "cat", "dog")
    assert "train/Grüner Baum/ein Bild é.jpg" in stored(dataset)
