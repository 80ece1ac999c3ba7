from pathlib import Path

import pytest

from mnext_tf.data import Augment, Preprocess, eval_batches, open_dataset, train_batches
from mnext_tf.errors import DataError

SHARED = Path(__file__).parents[3] / "shared/data"


def needs(path):
    return pytest.mark.skipif(not (SHARED / path).exists(), reason=f"needs {SHARED / path}")


@pytest.mark.shared
@needs("tfrecord/sact")
def test_shards_of_another_project(tmp_path):
    with pytest.raises(DataError, match="label_offset"):
        open_dataset(SHARED / "tfrecord/sact", tmp_path)
    with pytest.raises(DataError, match=r"fake_train\.jpg.* has the label 0;.*1 to 1000"):
        open_dataset(SHARED / "tfrecord/sact", tmp_path, label_offset=1, num_classes=1000)
    dataset = open_dataset(SHARED / "tfrecord/sact", tmp_path, label_offset=0, num_classes=1000)
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
