import dataclasses
import json
import sys

import pytest

from mnext_tf.data import Augment, Preprocess, eval_batches, open_dataset, reopen_dataset
from mnext_tf.data.opening import has_records
from mnext_tf.data.sources import tfrecords
from mnext_tf.errors import DataError
from mnext_tf.runs.config import DatasetConfig

SMALL = Preprocess(8, 1.0)
PLAIN = Augment(crop_scale_min=1.0, flip=False, color_jitter=0)


def labels_of(dataset, split):
    return [int(k) for _, labels in eval_batches(dataset, SMALL, 7, split=split) for k in labels]


FEATURES = {
    "image": {"pythonClassName": "tensorflow_datasets.core.features.image_feature.Image"},
    "label": {
        "pythonClassName": "tensorflow_datasets.core.features.class_label_feature.ClassLabel",
        "classLabel": {"numClasses": "3"},
    },
}


@pytest.fixture
def tfds_folder(tmp_path, encode):
    """A folder as TFDS leaves it: `tfds_folder({"train": 2, "test": 1})` has that many shards of 10 records."""
    import tensorflow as tf

    def write(splits, *, features=FEATURES, names="rot\ngrün\nblau\n", **info):
        folder = tmp_path / "farben/1.0.0"
        folder.mkdir(parents=True)
        for s, (split, shards) in enumerate(splits.items()):
            for shard in range(shards):
                path = folder / f"farben-{split}.tfrecord-{shard:05d}-of-{shards:05d}"
                with tf.io.TFRecordWriter(str(path)) as writer:
                    for i in range(10):
                        feature = {
                            "image": tf.train.Feature(
                                bytes_list=tf.train.BytesList(value=[encode("PNG", seed=100 * s + 10 * shard + i)])
                            ),
                            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[i % 3])),
                        }
                        features_of = tf.train.Features(feature=feature)
                        writer.write(tf.train.Example(features=features_of).SerializeToString())
        described = [{"name": split, "shardLengths": ["10"] * shards} for split, shards in splits.items()]
        held = {"name": "farben", "splits": described, "fileFormat": "tfrecord", **info}
        (folder / "dataset_info.json").write_text(json.dumps(held))
        (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
        if names:
            (folder / "label.labels.txt").write_text(names, encoding="utf-8")
        return folder

    return write


def test_tfds_folder_is_read_in_place_without_the_package(tfds_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    folder = tfds_folder({"train": 2, "test": 1, "validation": 1})
    assert has_records(folder)
    dataset = open_dataset(folder, tmp_path / "cache")
    assert (dataset.name, dataset.folder, dataset.label_offset) == ("farben", folder, 0)
    assert dataset.class_names == ("rot", "grün", "blau")
    assert dataset.splits == {"train": 20, "validation": 10}
    assert dataset.class_counts["train"] == (8, 6, 6)
    assert labels_of(dataset, "validation") == [i % 3 for i in range(10)]
    assert sorted(p.name for p in folder.iterdir() if "scan" in p.name) == []
    monkeypatch.setattr(tfrecords, "_read_all", None)
    description = DatasetConfig.from_dict(json.loads(json.dumps(DatasetConfig.of(dataset).to_dict())))
    assert reopen_dataset(description, 3) == dataclasses.replace(dataset, cache_dir=dataset.cache_dir.absolute())
    with pytest.raises(DataError, match=r"tfds:farben needs the package .*pip install 'mnext-tf\[tfds\]'"):
        open_dataset("tfds:farben", tmp_path / "cache")


def test_tfds_test_split_or_a_share_for_validation(tfds_folder, tmp_path, log_lines):
    folder = tfds_folder({"train": 1, "test": 1}, names=None)
    said = log_lines
    dataset = open_dataset(folder, tmp_path / "cache")
    assert "TFDS's split 'test'" in said[0]
    assert dataset.class_names == ("0", "1", "2")
    info = json.loads((folder / "dataset_info.json").read_text())
    (folder / "dataset_info.json").write_text(json.dumps({**info, "splits": info["splits"][:1]}))
    carved = open_dataset(folder, tmp_path / "cache", validation_share=0.5)
    assert sum(carved.splits.values()) == 10
    assert 0 < carved.splits["validation"] < 10


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fileFormat": "array_record"}, r"stored as array_record; .*--file_format=tfrecord"),
        ({"names": "rot\nblau\n"}, r"names 2 classes, but .*features\.json says 3"),
        ({"features": {"image": FEATURES["image"]}}, r"has the features image \(Image\); one Image and one ClassLabel"),
        ({"splits": {"test": 1}}, "has no split train; it has test"),
        ({"features": []}, r"features\.json is not as TFDS writes it"),
    ],
)
def test_tfds_folders_that_do_not_fit(tfds_folder, tmp_path, change, message):
    folder = tfds_folder(change.pop("splits", {"train": 1}), **change)
    with pytest.raises(DataError, match=message):
        open_dataset(folder, tmp_path / "cache")


def test_tfds_shard_missing_or_cut_short(tfds_folder, tmp_path):
    folder = tfds_folder({"train": 2, "test": 1})
    shard = folder / "farben-train.tfrecord-00001-of-00002"
    data = shard.read_bytes()
    shard.write_bytes(data[:-20])
    with pytest.raises(DataError, match=r"farben-train\.tfrecord-00001-of-00002 is cut short .*9 good records"):
        open_dataset(folder, tmp_path / "cache")
    shard.unlink()
    with pytest.raises(DataError, match=r"lacks 1 of 2 train shards"):
        open_dataset(folder, tmp_path / "cache")


def test_other_record_files_are_named(tmp_path):
    (tmp_path / "x-train.array_record-00000-of-00001").touch()
    with pytest.raises(DataError, match=r"x-train\.array_record-00000-of-00001: no TF-slim shards"):
        open_dataset(tmp_path, tmp_path / "cache")
