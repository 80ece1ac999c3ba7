import json
from pathlib import Path

import pytest

from mnext_tf.data import Augment, Preprocess, eval_batches, open_dataset, train_batches
from mnext_tf.data.prepare import prepare
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

SHARED = Path(__file__).parents[4] / "shared/data"


def needs(path):
    return pytest.mark.skipif(not (SHARED / path).exists(), reason=f"needs {SHARED / path}")


@pytest.mark.shared
@needs("tfrecord/sact")
def test_shards_of_another_project(tmp_path, log_lines):
    with pytest.raises(DataError, match=r"not in its order \(n02110341 has the label 0\)"):
        open_dataset(SHARED / "tfrecord/sact", tmp_path)
    with pytest.raises(DataError, match=r"fake_train\.jpg.* has the label 0;.*1 to 1000"):
        open_dataset(SHARED / "tfrecord/sact", tmp_path, label_offset=1, num_classes=1000)
    said = log_lines
    dataset = open_dataset(SHARED / "tfrecord/sact", tmp_path, label_offset=0, num_classes=1000)
    assert said[0].startswith("warning: ")
    assert "not in its order" in said[0]
    assert dataset.splits == {"train": 1, "validation": 1}
    assert dataset.class_names[:2] == ("dalmation", "1")
    images, labels = next(iter(eval_batches(dataset, Preprocess(64), 4)))
    assert images.shape == (1, 64, 64, 3)
    assert images.numpy().std() > 5  # a flat photograph, but not a blank one
    assert labels.numpy().tolist() == [0]


@pytest.mark.shared
@needs("flowers/train")
def test_a_few_flowers(tmp_path):
    for split, count in (("train", 4), ("val", 1)):
        for source in (SHARED / "flowers" / split).iterdir():
            (tmp_path / "flowers" / split / source.name).mkdir(parents=True)
            for photograph in sorted(source.iterdir())[:count]:
                (tmp_path / "flowers" / split / source.name / photograph.name).symlink_to(photograph)
    dataset = open_dataset(tmp_path / "flowers", tmp_path / "cache")
    assert dataset.class_names == ("daisy", "dandelion", "roses", "sunflowers", "tulips")
    assert dataset.class_counts == {"train": (4,) * 5, "validation": (1,) * 5}
    assert dataset.skipped == 0
    batches = list(train_batches(dataset, Preprocess(64), Augment(), 10, seed=0, epoch=0))
    assert [images.shape for images, _ in batches] == [(10, 64, 64, 3)] * 2


@pytest.mark.shared
@needs("tfrecord/tfds_fake")
def test_archives_in_imagenets_layout(tmp_path):
    numbers = (1440764, 1443537, 1484850, 1491361, 1494475, 1496331, 1498041, 1514668, 1514859, 1518878)
    (tmp_path / "labels").write_text("".join(f"n{number:08d}\n" for number in numbers))
    listing = list_images(SHARED / "tfrecord/tfds_fake", val_labels=tmp_path / "labels")
    record = prepare(listing, tmp_path / "out")
    assert record["splits"] == {"train": 100, "validation": 10}
    assert record["class_counts"]["train"] == [10] * 10
    assert record["skipped"] == []


@pytest.mark.shared
@needs("tfrecord/tfds_fake")
def test_records_that_tfds_wrote(tmp_path):
    folder = tmp_path / "dmlab"
    folder.mkdir()
    for path in (SHARED / "tfrecord/tfds_fake").glob("dmlab*"):
        (folder / path.name).write_bytes(path.read_bytes())
    with pytest.raises(DataError, match=r"dmlab-train\.tfrecord.*no folder of TFDS, which has dataset_info\.json"):
        open_dataset(folder, tmp_path / "cache")
    features = {"image": {"pythonClassName": "x.Image"}, "filename": {"pythonClassName": "x.Text"}}
    features["label"] = {"pythonClassName": "x.ClassLabel", "classLabel": {"numClasses": "6"}}
    info = {"name": "dmlab", "splits": [{"name": "train", "shardLengths": ["10"]}], "fileFormat": "tfrecord"}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    (folder / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))
    dataset = open_dataset(folder, tmp_path / "cache", validation_share=0.5)
    assert dataset.num_classes == 6
    images, labels = next(iter(eval_batches(dataset, Preprocess(32), 100)))
    assert len(images) == len(labels) == dataset.splits["validation"]
