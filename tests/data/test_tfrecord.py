import dataclasses
import json

import numpy as np
import pytest

from mnext_tf.data import (
    Augment,
    Preprocess,
    eval_batches,
    open_dataset,
    reopen_dataset,
    report_damage,
    tfrecord,
    train_batches,
)
from mnext_tf.data.sources import tfrecords
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.runs.config import DatasetConfig


@pytest.fixture
def shards(tmp_path, encode):
    """Shards as another program leaves them: 6 training images with labels 1..3, 3 for validation, no dataset.json."""
    folder = tmp_path / "foreign"
    for split, count in (("train", 6), ("validation", 3)):
        examples = [
            tfrecord.Example(encode("JPEG", seed=i), "JPEG", 30, 40, 3, i % 3, f"kind {i % 3}", f"{split}{i}.jpg")
            for i in range(count)
        ]
        tfrecord.write_shards(examples, folder, split, 2 if split == "train" else 1)
    return folder


def open_foreign(shards, **arguments):
    return open_dataset(shards, shards.parent / "cache", **{"label_offset": 1, "num_classes": 3, **arguments})


def test_schema_on_disk(shards):
    import tensorflow as tf

    assert sorted(p.name for p in shards.iterdir()) == [
        "train-00000-of-00002",
        "train-00001-of-00002",
        "validation-00000-of-00001",
    ]
    record = next(tfrecord.read_records(shards / "train-00001-of-00002"))
    feature = tf.train.Example.FromString(record).features.feature
    assert feature["image/class/label"].int64_list.value == [2]
    assert feature["image/class/text"].bytes_list.value == [b"kind 1"]
    assert feature["image/filename"].bytes_list.value == [b"train1.jpg"]
    assert feature["image/format"].bytes_list.value == [b"JPEG"]
    assert [feature[f"image/{k}"].int64_list.value[0] for k in ("height", "width", "channels")] == [30, 40, 3]


def test_foreign_shards_need_offset_and_classes(shards):
    with pytest.raises(DataError, match=r"label_offset=1, num_classes=1000"):
        open_dataset(shards, shards.parent / "cache")


def test_foreign_shards_are_counted(shards):
    dataset = open_foreign(shards)
    assert dataset.splits == {"train": 6, "validation": 3}
    assert dataset.class_counts["train"] == (2, 2, 2)
    assert dataset.class_names == ("kind 0", "kind 1", "kind 2")
    assert not (shards / "dataset.json").exists()
    _, labels = next(iter(eval_batches(dataset, Preprocess(16), 8)))
    assert labels.numpy().tolist() == [0, 1, 2]


def test_foreign_shards_are_read_through_once(shards, monkeypatch):
    first = open_foreign(shards)
    monkeypatch.setattr(tfrecords, "_read_all", None)
    assert open_foreign(shards) == first


@pytest.mark.parametrize(("offset", "classes", "label"), [(0, 3, 3), (1, 2, 3), (2, 5, 1)])
def test_label_outside_classes(shards, offset, classes, label):
    with pytest.raises(
        DataError, match=rf"has the label {label};.*{offset} to {offset + classes - 1} are allowed"
    ) as e:
        open_foreign(shards, label_offset=offset, num_classes=classes)
    assert "Record" in str(e.value)
    assert "train-0000" in str(e.value)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_damaged_foreign_shard(shards, damage):
    shard = shards / "train-00000-of-00002"
    data = bytearray(shard.read_bytes())
    if damage == "cut":
        data = data[:-10]
    else:
        data[-10] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"train-00000-of-00002 is cut short or corrupt: 2 good records"):
        open_foreign(shards)


def test_shard_of_a_known_dataset_cut_short(photographs, tmp_path):
    dataset = open_dataset(photographs, tmp_path / "cache")
    shard = dataset.folder / "train-00000-of-00001"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(DataError, match=r"train-00000-of-00001 has .* its first 5 records are good"):
        open_dataset(dataset.folder, tmp_path / "cache")


def test_missing_shard_and_missing_split(shards):
    (shards / "train-00001-of-00002").unlink()
    with pytest.raises(DataError, match="train-00001-of-00002"):
        open_foreign(shards)
    (shards / "train-00000-of-00002").unlink()
    with pytest.raises(DataError, match="no train shards"):
        open_foreign(shards)


def test_record_without_label(shards):
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(shards / "validation-00000-of-00001")) as writer:
        writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(DataError, match="0 image/class/label"):
        open_foreign(shards)


def test_damaged_image_inside_a_record_is_named(tmp_path, encode):
    folder = tmp_path / "foreign"
    for split in tfrecord.SPLITS:
        examples = [
            tfrecord.Example(encode("JPEG")[: 400 if i == 2 else None], "JPEG", 30, 40, 3, i % 2, "", f"image{i}.jpg")
            for i in range(4)
        ]
        tfrecord.write_shards(examples, folder, split, 1)
    dataset = open_dataset(folder, tmp_path / "cache", label_offset=1, num_classes=2)
    with pytest.raises(DataError, match=r"Record 2 of .*train.*image2\.jpg"), report_damage(dataset, "train"):
        list(train_batches(dataset, Preprocess(16), Augment(), 4, seed=0, epoch=0))


def test_failed_writing_leaves_nothing(tmp_path, encode):
    def examples():
        yield tfrecord.Example(encode("JPEG"), "JPEG", 30, 40, 3, 0, "a", "a.jpg")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tfrecord.write_shards(examples(), tmp_path / "out", "train", 2)
    assert list((tmp_path / "out").iterdir()) == []


def test_contradiction_with_sidecar(digits):
    with pytest.raises(ConfigError, match="num_classes 10"):
        open_dataset(digits.folder, num_classes=11)
    with pytest.raises(ConfigError, match="label_offset 1"):
        open_dataset(digits.folder, label_offset=0)


def test_damaged_sidecar(digits, tmp_path):
    for text in ("{", json.dumps({"name": "x"}), "[]"):
        (tmp_path / "dataset.json").write_text(text)
        with pytest.raises(DataError, match=r"dataset\.json is damaged"):
            open_dataset(tmp_path)


def test_fingerprint_follows_labels_and_bytes(tmp_path, encode):
    def digest(name, labels, seeds):
        examples = [
            tfrecord.Example(encode("PNG", seed=s), "PNG", 30, 40, 3, k, "", "")
            for k, s in zip(labels, seeds, strict=True)
        ]
        return tfrecord.write_shards(examples, tmp_path / name, "train", 2).digest

    digests = [digest("a", [0, 1], [0, 1]), digest("b", [0, 0], [0, 1]), digest("c", [0, 1], [0, 2])]
    assert len(set(digests)) == 3
    assert digest("d", [0, 1], [0, 1]) == digests[0]
    records = tfrecords.RecordFiles(tmp_path / "d", tfrecord_names(tmp_path / "d"))
    assert tfrecords.scan(records, tmp_path / "cache").digests["train"] == digests[0]


def tfrecord_names(folder):
    return {split: tuple(path.name for path in paths) for split, paths in tfrecord.find_shards(folder).items()}


def test_layouts_are_named(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"is empty\. A data folder is .*val/<class>.*images alone"):
        open_dataset(tmp_path / "empty", tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        open_dataset(tmp_path / "absent", tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(DataError, match=r"holds notes\.txt\. A data folder is"):
        open_dataset(tmp_path / "other", tmp_path)
    with pytest.raises(DataError, match="is a file"):
        open_dataset(tmp_path / "other" / "notes.txt", tmp_path)


def test_unwritable_cache(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file"):
        open_dataset(None, tmp_path / "file" / "cache")


def test_eval_batches_keep_order_and_all_images(digits):
    batches = [(i.shape[0], k.numpy()) for i, k in eval_batches(digits, Preprocess(8, 1.0), 100)]
    assert [n for n, _ in batches] == [100, 100, 100, 60]
    labels = np.concatenate([k for _, k in batches])
    assert np.bincount(labels).tolist() == [36] * 10
    again = np.concatenate([k for _, k in eval_batches(digits, Preprocess(8, 1.0), 64, max_images=150)])
    spread = np.linspace(0, 359, 150).round().astype(int)  # over the whole split, not its beginning
    np.testing.assert_array_equal(again, labels[spread])


def test_foreign_shards_are_found_again_by_a_runs_configuration(shards, tmp_path, monkeypatch):
    dataset = open_foreign(shards)
    description = DatasetConfig.from_dict(json.loads(json.dumps(DatasetConfig.of(dataset).to_dict())))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tfrecords, "_read_all", None)  # what was found is kept: not read through again
    assert reopen_dataset(description, 3) == dataclasses.replace(dataset, cache_dir=dataset.cache_dir.absolute())
    with pytest.raises(DataError, match=r"nowhere, the data of the run, does not exist.*--data_dir"):
        reopen_dataset(dataclasses.replace(description, folder=str(tmp_path / "nowhere")), 3)


def test_a_class_of_foreign_shards_without_an_image_is_a_warning(shards, log_lines):
    said = log_lines
    open_foreign(shards, num_classes=5)
    assert said == [
        "warning: foreign has no training image of 2 of 5 classes: 4, 5. Are label_offset and num_classes right?"
    ]
