import dataclasses
import json

import numpy as np
import pytest

from mnext_tf.compression.calibration import calibration_images
from mnext_tf.data import (
    Augment,
    Preprocess,
    eval_batches,
    imagenet,
    open_dataset,
    reopen_dataset,
    tfrecord,
    train_batches,
)
from mnext_tf.data.input_pipeline import stored_examples
from mnext_tf.data.opening import has_records
from mnext_tf.data.sources import tfrecords
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.runs.config import DatasetConfig

SMALL = Preprocess(8, 1.0)
PLAIN = Augment(crop_scale_min=1.0, flip=False, color_jitter=0)


@pytest.fixture
def write(tmp_path, encode):
    """`write(labels, text=…)`: a folder of TF-slim shards whose records have these labels, as stored."""

    def write(labels, *, text=lambda label: "", splits=tfrecord.SPLITS, name="slim"):
        folder = tmp_path / name
        for split in splits:
            examples = [
                tfrecord.Example(encode("JPEG", seed=i), "JPEG", 30, 40, 3, k, text(k), f"{i}.jpg")
                for i, k in enumerate(labels)
            ]
            tfrecord.write_shards(examples, folder, split, 1, label_offset=0)
        return folder

    return write


@pytest.fixture
def opened(collect_log):
    def opened(folder, **arguments):
        with collect_log() as said:
            dataset = open_dataset(folder, folder.parent / "cache", **arguments)
        return dataset, [line for line in said if "no training image" not in line]

    return opened


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("names", [imagenet.wordnet_ids, imagenet.class_names])
def test_offset_follows_from_imagenets_names(write, offset, names, opened):
    folder = write([0, 999, 500] if not offset else [1, 1000, 501], text=lambda label: names()[label - offset])
    dataset, said = opened(folder)
    assert (dataset.label_offset, dataset.num_classes) == (offset, 1000)
    assert dataset.class_names == imagenet.class_names()
    assert f"label_offset {offset}" in said[0]
    assert f"has the label {offset}" in said[0]
    assert dataset.class_counts["train"][999] == 1


def test_contradicting_names_are_refused_and_flags_win(write, opened):
    folder = write([0, 1], text=lambda label: imagenet.wordnet_ids()[10 * label + 5])
    with pytest.raises(DataError, match=r"not in its order \(n01496331 has the label 0"):
        opened(folder)
    dataset, said = opened(folder, label_offset=0, num_classes=1000)
    assert said[0].startswith("warning: ")
    assert (dataset.label_offset, dataset.num_classes) == (0, 1000)
    dataset, said = opened(folder, label_offset=0, num_classes=2)  # a data set of its own
    assert (dataset.num_classes, said) == (2, [])
    slim = write([1, 2], text=lambda label: imagenet.wordnet_ids()[label - 1], name="slim2")
    _, said = opened(slim, label_offset=0, num_classes=1000)
    assert "label_offset=0 was given, but n01440764 has the label 1" in said[0]


@pytest.mark.parametrize(("labels", "classes", "offset"), [([0, 1], 2, 0), ([0, 2], 5, 0), ([1, 3], 3, 1)])
def test_offset_follows_from_the_number_of_classes(write, labels, classes, offset, opened):
    dataset, said = opened(write(labels), num_classes=classes)
    assert (dataset.label_offset, dataset.num_classes) == (offset, classes)
    assert f"label_offset {offset}" in said[0]


@pytest.mark.parametrize(
    ("labels", "flags", "message"),
    [
        ([0, 3], {"num_classes": 3}, r"run from 0 to 3: 4 values, but num_classes=3"),
        ([1, 2], {"num_classes": 3}, r"3 classes fit from 0 as well as from 1"),
        ([5, 9], {"num_classes": 3}, r"run from 5 to 9, but num_classes=3"),
        ([1, 2], {}, r"run from 1 to 2, and .*label_offset=1, num_classes=2 if every class"),
        ([1, 2], {"label_offset": 1}, "cannot be known"),
        ([0, 1000], {"label_offset": 0, "num_classes": 1000}, r"has the label 1000; .*0 to 999 are allowed"),
    ],
)
def test_undecided_labels_are_refused(write, labels, flags, message, opened):
    with pytest.raises(DataError, match=message):
        opened(write(labels), **flags)


def test_flags_after_a_refusal_need_no_second_reading(write, monkeypatch, opened):
    folder = write([1, 2])
    with pytest.raises(DataError, match="cannot be known"):
        opened(folder)
    monkeypatch.setattr(tfrecords, "_read_all", None)
    assert opened(folder, label_offset=1, num_classes=2)[0].splits == {"train": 2, "validation": 2}
    with pytest.raises(ConfigError, match="num_classes at least 2"):
        opened(folder, label_offset=1, num_classes=1)


def test_classes_of_a_network(write, opened):
    names = ["cat", "dog"]
    folder = write([0, 1], text=lambda label: names[label])
    flags = {"label_offset": 0, "num_classes": 2}
    assert opened(folder, class_names=["Cat", "Dog"], **flags)[0].class_names == ("cat", "dog")
    with pytest.raises(DataError, match="has 2 classes, but the network has 3"):
        opened(folder, class_names=["a", "b", "c"], **flags)
    with pytest.raises(DataError, match="another order: cat is class 0 there and class 1"):
        opened(folder, class_names=["dog", "cat"], **flags)
    _, said = opened(folder, class_names=["class 0", "class 1"], **flags)
    assert "compared by their numbers" in said[-1]
    with pytest.raises(DataError, match="another order: cat is class 0 there and class 1"):
        opened(folder, class_names=["bird", "cat"], **flags)
    _, said = opened(folder, class_names=["cat", "bird"], **flags)
    assert not any("compared by their numbers" in line for line in said)


def test_the_network_tells_how_many_classes_there_are(write, opened):
    names = ["a", "b", "c", "d"]
    for labels, offset in (([0, 2], 0), ([1, 4], 1)):
        folder = write(labels, name=f"slim{offset}")
        dataset, _ = opened(folder, class_names=names)
        assert (dataset.num_classes, dataset.label_offset) == (4, offset)
    slim = write([1, 1000], text=lambda label: imagenet.wordnet_ids()[label - 1], name="imagenet")
    assert opened(slim, class_names=imagenet.class_names())[0].label_offset == 1
    with pytest.raises(DataError, match="has 1000 classes, but the network has 4"):
        opened(slim, class_names=names)


def test_records_and_a_network_with_a_background_class(write, opened):
    names = ["background", *names_of(5)]
    with pytest.raises(DataError, match=r"class 0 is 'background', which they may count or not\. Give label_offset=1"):
        opened(write([0, 4]), class_names=names)
    assert opened(write([0, 4]), class_names=names, label_offset=1)[0].class_counts["train"] == (1, 0, 0, 0, 1, 0)
    assert opened(write([1, 5]), class_names=names)[0].label_offset == 0
    slim = write([1, 1000], text=lambda label: imagenet.wordnet_ids()[label - 1], name="imagenet")
    dataset, _ = opened(slim, class_names=("background", *imagenet.class_names()), label_offset=1)
    assert (dataset.num_classes, dataset.label_offset) == (1001, 0)


def names_of(count):
    return [f"class {i}" for i in range(count)]


def labels_of(dataset, split):
    return [int(k) for _, labels in eval_batches(dataset, SMALL, 7, split=split) for k in labels]


def test_validation_is_held_out_by_content(write, encode, tmp_path, opened):
    folder = write([i % 4 for i in range(120)], splits=["train"])
    dataset, said = opened(folder, num_classes=4, validation_share=0.25)
    assert "no validation shards: 25%" in said[0]
    assert 15 < dataset.splits["validation"] < 50
    assert sum(dataset.splits.values()) == 120
    held = {split: {name for name, _, _ in stored_examples(dataset, split)} for split in tfrecord.SPLITS}
    assert {split: len(names) for split, names in held.items()} == dataset.splits
    assert not held["train"] & held["validation"]
    assert np.bincount(labels_of(dataset, "validation"), minlength=4).tolist() == list(
        dataset.class_counts["validation"]
    )
    batches = list(train_batches(dataset, SMALL, PLAIN, 1, seed=0, epoch=0))
    assert len(batches) == dataset.splits["train"]
    assert sum(1 for _ in calibration_images(dataset, SMALL, 500)) == dataset.splits["train"]
    description = DatasetConfig.from_dict(json.loads(json.dumps(DatasetConfig.of(dataset).to_dict())))
    assert reopen_dataset(description, 4).fingerprint == dataset.fingerprint


def test_embedded_photographs(tmp_path):
    dataset = open_dataset("photographs", tmp_path)
    assert dataset.splits == {"train": 160, "validation": 80}
    assert (dataset.labelled, dataset.class_names) == (False, ("unlabelled",))
    assert has_records("photographs")
    images, labels = next(iter(eval_batches(dataset, Preprocess(64), 80)))
    assert len({image.numpy().tobytes() for image in images}) == 80
    assert not labels.numpy().any()
    assert len(calibration_images(dataset, SMALL, 50)) == 50
    with pytest.raises(DataError, match="no labels"):
        train_batches(dataset, SMALL, PLAIN, 8, seed=0, epoch=0)
    description = dataclasses.replace(DatasetConfig.of(dataset), folder=str(tmp_path / "other/photographs"))
    assert reopen_dataset(description, 1).fingerprint == dataset.fingerprint


def test_folder_of_unlabelled_photographs(tmp_path, encode):
    root = tmp_path / "photographs"
    root.mkdir()
    for i in range(30):
        (root / f"{i}.jpg").write_bytes(encode("JPEG", seed=i))
    dataset = open_dataset(root, tmp_path / "cache")
    assert sum(dataset.splits.values()) == 30
    assert not dataset.labelled
    assert dataclasses.replace(dataset) == open_dataset(dataset.folder)
    names = imagenet.class_names()
    assert open_dataset(root, tmp_path / "cache", class_names=names).class_names == ("unlabelled",)


def test_list_file_with_labels_from_one(tmp_path, encode):
    (tmp_path / "lists").mkdir()
    for i in range(4):
        (tmp_path / f"lists/{i}.jpg").write_bytes(encode("JPEG", seed=i))
    (tmp_path / "lists/train_list.txt").write_text("0.jpg 1\n1.jpg 2\n2.jpg 2\n")
    (tmp_path / "lists/val_list.txt").write_text("3.jpg 1\n")
    with pytest.raises(DataError, match="label_offset=1 if the first"):
        open_dataset(tmp_path / "lists", tmp_path / "cache")
    for offset, counts in ((1, (1, 2)), (0, (0, 1, 2))):
        dataset = open_dataset(tmp_path / "lists", tmp_path / "cache", label_offset=offset)
        assert (dataset.class_counts["train"], dataset.label_offset) == (counts, 1)
