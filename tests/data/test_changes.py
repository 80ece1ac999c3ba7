"""Shards that are replaced under the same name, and class names that do not fit into a file of lines."""

import json
import os

import pytest

from mnext_tf.data import open_dataset, tfrecord
from mnext_tf.data.dataset import read_dataset
from mnext_tf.data.prepare import prepare
from mnext_tf.data.sources import tfrecords
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

BREAKS = ["a\nb", "a\rb", "a\x0bb", "a\x0cb", "a\x1cb", "a\x85b", "a\u2028b", "a\u2029b", "a\x1b[2Jb"]


@pytest.fixture
def write(tmp_path, encode):
    """`write(seed, text=…)`: a folder of shards without dataset.json; other seeds give other bytes."""

    def write(seed=0, *, text=("cat", "dog"), count=40):
        for split in tfrecord.SPLITS:
            examples = [
                tfrecord.Example(encode("BMP", seed=seed + i), "PNG", 30, 40, 3, i % 2, text[i % 2], f"{i:02d}.png")
                for i in range(count)
            ]
            examples = [
                tfrecord.Example(_png(e.encoded), "PNG", 30, 40, 3, e.label, e.class_name, e.filename) for e in examples
            ]
            tfrecord.write_shards(examples, tmp_path / "records", split, 1)
        return tmp_path / "records"

    return write


def _png(bmp):
    """An uncompressed PNG: of the same length for all images of a size."""
    import io

    from PIL import Image

    encoded = io.BytesIO()
    Image.open(io.BytesIO(bmp)).save(encoded, "PNG", compress_level=0)
    return encoded.getvalue()


def swap(shard, other):
    """Replace a shard by another of the same size and, as `cp -p` does, of the same time."""
    stat = shard.stat()
    shard.write_bytes(other)
    assert shard.stat().st_size == stat.st_size
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def open_records(folder, **options):
    return open_dataset(folder, folder.parent / "cache", label_offset=1, num_classes=2, **options)


def test_replaced_records_are_read_again_and_named(write, log_lines):
    folder = write()
    shard = folder / "train-00000-of-00001"
    old, before = shard.read_bytes(), open_records(folder)
    write(100)
    new = shard.read_bytes()
    write()
    open_records(folder)
    log_lines.clear()
    swap(shard, new)
    after = open_records(folder)
    assert after.fingerprint != before.fingerprint
    assert "train-00000-of-00001 is as long as before but holds other bytes" in log_lines[0]
    shard.write_bytes(old)
    assert open_records(folder).fingerprint == before.fingerprint
    log_lines.clear()
    assert open_records(folder) == open_records(folder) == before
    assert not log_lines
    write(count=42)
    open_records(folder)
    assert "train-00000-of-00001 had" in log_lines[0]
    os.utime(shard, (1, 1))
    open_records(folder)
    assert "train-00000-of-00001 was written again, or copied" in log_lines[-1]


def test_an_edit_between_the_samples_is_found_by_verify(write, log_lines):
    import tensorflow as tf

    folder = write(count=80)
    shard = folder / "train-00000-of-00001"
    before, records = open_records(folder), list(tfrecord.read_records(shard))
    offset = sum(len(r) + 16 for r in records[:9])  # of record 9, which no sample shows
    example = tf.train.Example.FromString(records[9])
    example.features.feature["image/class/label"].int64_list.value[0] ^= 3
    records[9] = example.SerializeToString(deterministic=True)
    with tf.io.TFRecordWriter(str(shard) + ".new") as writer:
        for record in records:
            writer.write(record)
    edited = (folder / "train-00000-of-00001.new").read_bytes()
    (folder / "train-00000-of-00001.new").unlink()
    assert 16_384 < offset < shard.stat().st_size // 3
    swap(shard, edited)
    assert open_records(folder) == before  # a sample cannot see it
    assert open_records(folder, verify=True).fingerprint != before.fingerprint
    assert "other records, in shards of the same sizes and times" in log_lines[-1]


def test_a_kept_scan_that_is_damaged_is_made_again(write):
    folder = write()
    before = open_records(folder)
    (kept,) = (folder.parent / "cache").glob("records-*/scan.json")
    for text in ("{", "[]", json.dumps({"label_counts": {}, "digests": {}})):
        kept.write_text(text)
        assert open_records(folder) == before


def test_a_replaced_shard_of_a_described_set_is_named(photographs, tmp_path):
    dataset = open_dataset(photographs, tmp_path / "cache")
    shard = dataset.folder / "train-00000-of-00001"
    data = shard.read_bytes()
    swap(shard, data[:40] + bytes([data[40] ^ 1]) + data[41:])
    with pytest.raises(DataError, match="train-00000-of-00001 has changed: it is as long as before, but holds other"):
        open_dataset(dataset.folder)
    sidecar = dataset.folder / "dataset.json"
    record = json.loads(sidecar.read_text())
    del record["samples"]  # as version 0.1 wrote it
    sidecar.write_text(json.dumps(record))
    assert open_dataset(dataset.folder).fingerprint == dataset.fingerprint
    shard.write_bytes(data)
    assert read_dataset(dataset.folder, verify=True) == dataset
    record["fingerprint"] = "0" * 64
    sidecar.write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"are not those that dataset\.json was written for"):
        open_dataset(dataset.folder, verify=True)


def test_the_fingerprint_of_an_embedded_set_is_its_records(digits):
    assert read_dataset(digits.folder, verify=True) == digits


@pytest.mark.parametrize("name", BREAKS)
def test_class_folders_with_control_characters_are_refused(tmp_path, encode, name):
    for folder in (name, "other"):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for i in range(2):
            (tmp_path / "in" / folder / f"{i}.jpg").write_bytes(encode("JPEG", seed=i))
    with pytest.raises(DataError) as e:
        list_images(tmp_path / "in")
    assert f"the class name {name!r}, which contains a line break" in str(e.value)
    assert len(str(e.value).splitlines()) == 1
    listing = list_images(tmp_path / "in", class_names=[" ".join(name.split()), "other"]) if name == "a\nb" else None
    assert listing is None or listing.class_names == ("a b", "other")


@pytest.mark.parametrize("name", ["a\x85b", "a\u2028b", "a\x0cb"])
def test_class_names_from_lists_and_name_files_are_checked(tmp_path, name):
    (tmp_path / "labels.csv").write_text(f"file,label\na.jpg,{name}\nb.jpg,other\n", encoding="utf-8")
    with pytest.raises(DataError, match="contains a line break"):
        list_images(tmp_path)
    (tmp_path / "labels.csv").write_text("file,class_index\na.jpg,0\nb.jpg,1\n")
    (tmp_path / "labels.txt").write_text(f"{name}\nother\n", encoding="utf-8")
    with pytest.raises(DataError, match="contains a line break"):
        list_images(tmp_path)


def test_class_names_of_records_and_descriptions_are_checked(write, photographs, tmp_path):
    with pytest.raises(DataError, match=r"the class name 'c\\nat', which contains a line break"):
        open_records(write(text=("c\nat", "dog")))
    prepare(list_images(photographs), tmp_path / "out")
    sidecar = tmp_path / "out/dataset.json"
    sidecar.write_text(sidecar.read_text().replace('"cat"', '"c\\u2028at"'))
    with pytest.raises(DataError, match=r"the class name .* contains a line break"):
        open_dataset(tmp_path / "out")


def test_names_in_messages_have_no_control_characters(tmp_path, encode):
    for i, name in enumerate(["train/a/\x1b[2J.jpg", "train/b/1.jpg", "val/a/\u202e.jpg"]):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode("JPEG", seed=i) if i else b"damaged")
    (tmp_path / "in/train/a/2.jpg").write_bytes(encode("JPEG"))
    record = prepare(list_images(tmp_path / "in"), tmp_path / "out")
    assert [name for name, _ in record["skipped"]] == ["train/a/\\x1b[2J.jpg"]
    tfrecords_names = [
        name for shard in (tmp_path / "out").glob("val*") for record in tfrecord.read_records(shard)
        for name in [_name(record)]
    ]  # fmt: skip
    assert tfrecords_names == ["val/a/\\u202e.jpg"]
    assert tfrecords.matches(tmp_path / "out")


def _name(record):
    import tensorflow as tf

    return tfrecord.file_name(tf.train.Example.FromString(record).features.feature)
