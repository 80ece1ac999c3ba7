"""The same global batches for any number of workers; streams; balanced classes."""

import shutil

import numpy as np
import pytest
from test_batches import PLAIN, SMALL, distinct, epoch_of

from mnext_tf.data import Augment, Preprocess, train_batches
from mnext_tf.data.opening import open_dataset
from mnext_tf.data.tfrecord import read_records
from mnext_tf.errors import ConfigError

AUGMENT = Augment(crop_scale_min=0.5, shift=0.2)


@pytest.fixture(scope="module")
def sharded(digits, tmp_path_factory):
    """The digits in 6 training shards of unequal size, dealt by class: 0 is in the first alone, and so on."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("sharded")
    (validation,) = digits.shard_paths("validation")
    shutil.copy(validation, folder / "validation-00000-of-00001")
    writers = [tf.io.TFRecordWriter(str(folder / f"train-{i:05d}-of-00006")) for i in range(6)]
    for record in (r for shard in digits.shard_paths("train") for r in read_records(shard)):
        label = tf.train.Example.FromString(record).features.feature["image/class/label"].int64_list.value[0]
        writers[min(label - 1, 5)].write(record)
    for writer in writers:
        writer.close()
    return open_dataset(folder, tmp_path_factory.mktemp("cache"), label_offset=1, num_classes=10)


def joined(dataset, workers, batch_size, **arguments):
    """(images, labels) of all workers, each batch put together."""
    parts = [epoch_of(dataset, AUGMENT, batch_size, share=(i, workers), **arguments) for i in range(workers)]

    def merge(pieces):
        shape = (-1, batch_size // workers, *pieces[0].shape[1:])
        return np.concatenate([p.reshape(shape) for p in pieces], 1).reshape(-1, *pieces[0].shape[1:])

    return tuple(merge(pieces) for pieces in zip(*parts, strict=True))


@pytest.mark.parametrize(("streams", "workers"), [(1, 3), (6, 2), (2, 3)])
def test_workers_together_see_what_one_sees(sharded, streams, workers):
    """Also where a worker's part is no whole stream: two streams, three workers."""
    images, labels = epoch_of(sharded, AUGMENT, 240, streams=streams, start_step=3)
    assert len(labels) == (1437 // 240 - 3) * 240
    theirs, their_labels = joined(sharded, workers, 240, streams=streams, start_step=3)
    np.testing.assert_array_equal(their_labels, labels)
    np.testing.assert_array_equal(theirs, images)


def test_a_batch_has_equal_parts_of_each_stream(sharded):
    """Shards 0 and 3 hold the classes 0 and 3, 1 and 4 hold 1 and 4, the others the rest."""
    labels = epoch_of(sharded, PLAIN, 60, streams=3)[1].reshape(-1, 3, 20)
    for stream, classes in enumerate(({0, 3}, {1, 4}, {2, 5, 6, 7, 8, 9})):
        assert set(labels[:, stream].ravel()) == classes


def test_a_short_stream_starts_again(sharded):
    """Stream 0 has some 290 images for 460 places: all of them come, and some twice, in another order."""
    images, _ = epoch_of(sharded, PLAIN, 60, streams=3)
    own = images.reshape(-1, 3, 20, 8, 8, 3)[:, 0].reshape(-1, 8, 8, 3)
    count = sum(sharded.class_counts["train"][c] for c in (0, 3))
    assert len(own) > count
    assert distinct(own[:count]) == distinct(own) == count
    assert not np.array_equal(own[count:], own[: len(own) - count])


def test_streams_follow_from_the_seed(sharded):
    first, again = (epoch_of(sharded, AUGMENT, 60, streams=6) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    late = epoch_of(sharded, AUGMENT, 60, streams=6, start_step=11)
    np.testing.assert_array_equal(late[0], first[0][660:])
    assert not np.array_equal(epoch_of(sharded, AUGMENT, 60, streams=6, epoch=1)[1], first[1])


def test_a_worker_reads_only_its_streams(sharded, tmp_path):
    """The other shards are gone, and nobody notices."""
    import dataclasses

    for shard in sharded.shard_paths("train")[0::2] + sharded.shard_paths("validation"):
        shutil.copy(shard, tmp_path)
    for shard in sharded.shard_paths("train")[1::2]:
        (tmp_path / shard.name).write_bytes(b"")
    half = dataclasses.replace(sharded, folder=tmp_path)
    expected = epoch_of(sharded, PLAIN, 60, streams=2, share=(0, 2))
    # the sizes of all shards set the shuffle buffer; here all of an epoch fits it
    np.testing.assert_array_equal(epoch_of(half, PLAIN, 60, streams=2, share=(0, 2))[1], expected[1])


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"streams": 7}, "between 1 and the 6 training shards"),
        ({"streams": 0}, "between 1 and"),
        ({"streams": 4, "batch_size": 50}, "multiple of data_streams, 4"),
        ({"share": (0, 3), "batch_size": 50}, "multiple of the number of workers, 3"),
        ({"share": (2, 2)}, "worker < workers"),
    ],
)
def test_what_cannot_be_divided(sharded, arguments, match):
    batch_size = arguments.pop("batch_size", 60)
    with pytest.raises(ConfigError, match=match):
        train_batches(sharded, SMALL, PLAIN, batch_size, seed=0, epoch=0, **arguments)


def test_an_empty_stream_does_not_hang(sharded, tmp_path):
    import dataclasses

    import tensorflow as tf

    for shard in sharded.shard_paths("train"):
        (tmp_path / shard.name).write_bytes(b"" if shard.name.startswith("train-00001") else shard.read_bytes())
    (tmp_path / "validation-00000-of-00001").write_bytes(b"")
    broken = dataclasses.replace(sharded, folder=tmp_path)
    with pytest.raises(tf.errors.OpError, match="23 elements"):
        epoch_of(broken, PLAIN, 60, streams=6)


@pytest.fixture(scope="module")
def uneven(digits, tmp_path_factory):
    """All images of class 0, every fourth of class 1, every sixteenth of class 2."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("uneven")
    shutil.copy(digits.shard_paths("validation")[0], folder / "validation-00000-of-00001")
    seen = np.zeros(10, int)
    with tf.io.TFRecordWriter(str(folder / "train-00000-of-00001")) as writer:
        for record in (r for shard in digits.shard_paths("train") for r in read_records(shard)):
            feature = tf.train.Example.FromString(record).features.feature
            label = feature["image/class/label"].int64_list.value[0] - 1
            if label < 3 and seen[label] % 4**label == 0:
                writer.write(record)
            seen[label] += 1
    return open_dataset(folder, tmp_path_factory.mktemp("cache"), label_offset=1, num_classes=10)


def test_balanced_classes_are_as_likely(uneven):
    counts = np.array(uneven.class_counts["train"])[:3]
    assert counts[0] > 12 * counts[2]
    labels = np.concatenate([epoch_of(uneven, PLAIN, 30, epoch=e, balanced=True)[1] for e in range(6)])
    assert len(labels) == 6 * (counts.sum() // 30) * 30
    np.testing.assert_allclose(np.bincount(labels) / len(labels), 1 / 3, atol=0.04)
    assert (np.bincount(epoch_of(uneven, PLAIN, 30)[1]) / counts).min() > 0.7  # as they are


def test_balanced_epochs_resume_and_are_shared(uneven):
    first, again = (epoch_of(uneven, AUGMENT, 30, balanced=True) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(epoch_of(uneven, AUGMENT, 30, balanced=True, start_step=3)[0], first[0][90:])
    np.testing.assert_array_equal(joined(uneven, 3, 30, balanced=True)[0], first[0])
    every = Preprocess(8, 1.0)
    assert next(iter(train_batches(uneven, every, AUGMENT, 30, seed=5, epoch=1, balanced=True)))[1].shape == 30
