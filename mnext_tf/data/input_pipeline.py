"""Batches from TFRecord shards, in an order that depends on a seed alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.augment import Augment
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.preprocess import Preprocess, eval_image, train_image
from mnext_tf.errors import ConfigError, DataError, one_of

_SHUFFLE_MAX, _SHUFFLE_MIN = 20_000, 64  # records; fewer would hardly mix, whatever memory they take
_SHUFFLE_BYTES = 1 << 30
_OPEN_SHARDS = 16  # training reads this many shards in turn
_SHUFFLE_KEY, _AUGMENT_KEY, _SHARD_KEY, CALIBRATION_KEY = range(4)


def steps_per_epoch(dataset: Dataset, batch_size: int) -> int:
    """Whole batches in the training split. Raises ConfigError when there is not one."""
    if batch_size < 1:
        raise ConfigError(f"batch_size must be at least 1; received {batch_size}.")
    if batch_size > dataset.splits["train"]:
        raise ConfigError(
            f"batch_size={batch_size} is more than the {dataset.splits['train']} training images of {dataset.name}. "
            f"Use a smaller one, such as --batch_size={max(2, dataset.splits['train'] // 4)}."
        )
    return dataset.splits["train"] // batch_size


def train_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    augment: Augment,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start_step: int = 0,
):
    """A tf.data.Dataset of one epoch: images float32 (B, S, S, 3) in [0, 255], labels int32 (B,) from 0.

    Order and augmentation follow from (seed, epoch, position) alone, so that `start_step=k` resumes
    exactly where the uninterrupted epoch is after k batches; the images before it are read but not
    decoded. The last images, short of a batch, are left to the next epoch's order.

    A damaged image stops the iteration with a TensorFlow error; iterate under `report_damage` to
    get a DataError with its shard and file name. Raises ConfigError for a batch larger than the
    split, a `start_step` outside the epoch, and a negative seed or epoch, and DataError for images
    without labels.
    """
    import tensorflow as tf

    if not dataset.labelled:
        raise DataError(f"The images of {dataset.name} have no labels, so no network can be trained on them.")
    steps = steps_per_epoch(dataset, batch_size)
    if not 0 <= start_step <= steps:
        raise ConfigError(f"start_step must be between 0 and the epoch's {steps} steps; received {start_step}.")
    augment_seed = derive_seed(seed, epoch, _AUGMENT_KEY)

    def example(position, record):
        encoded, label = tfrecord.parse(record, dataset.keys)
        image = train_image(encoded, preprocess, augment, tf.stack([augment_seed, position]))
        return image, tf.cast(label - dataset.label_offset, tf.int32)

    batches = (
        shuffled_records(dataset, seed, epoch)
        .enumerate()
        .skip(start_step * batch_size)
        .map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(batch_size, drop_remainder=True)
        .prefetch(tf.data.AUTOTUNE)
    )
    return _in_order(batches)


def eval_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    batch_size: int,
    *,
    split: str = "validation",
    max_images: int | None = None,
):
    """A tf.data.Dataset of images and labels as in `train_batches`, in stored order, the last batch smaller.

    `max_images` takes that many, evenly spaced over the split: shards may be sorted by class.
    """
    import tensorflow as tf

    one_of("split", split, tfrecord.SPLITS)
    if batch_size < 1 or (max_images is not None and max_images < 1):
        raise ConfigError(
            f"batch_size and max_images must be at least 1; received batch_size={batch_size}, max_images={max_images}."
        )

    def example(record):
        encoded, label = tfrecord.parse(record, dataset.keys)
        return eval_image(encoded, preprocess), tf.cast(label - dataset.label_offset, tf.int32)

    records = _in_split(tf.data.TFRecordDataset(_shards(dataset, split)), dataset, split)
    if max_images is not None and max_images < dataset.splits[split]:
        chosen = tf.constant(np.linspace(0, dataset.splits[split] - 1, max_images).round().astype(np.int64))
        records = (
            records.enumerate()
            .filter(lambda position, _: tf.reduce_any(tf.equal(chosen, position)))
            .map(lambda _, record: record)
        )
    batches = records.map(example, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)
    return _in_order(batches)


def stored_examples(dataset: Dataset, split: str) -> Iterator[tuple[str, bytes, int]]:
    """(file name, encoded image, label from 0) of every record of `split`, in stored order.

    A record without a file name is named by its shard and number. Raises DataError for a damaged shard.
    """
    import tensorflow as tf

    image, label = dataset.keys
    for shard in dataset.shard_paths(split):
        for r, record in enumerate(tfrecord.read_records(shard)):
            feature = tf.train.Example.FromString(record).features.feature
            encoded = feature[image].bytes_list.value[0]
            if dataset.validation_share is not None:
                held_out = bool(tfrecord.held_out(encoded, dataset.validation_share))
                if held_out != (split == "validation"):
                    continue
            name = tfrecord.file_name(feature) or f"{shard.name}:{r}"
            yield name, encoded, feature[label].int64_list.value[0] - dataset.label_offset


@contextlib.contextmanager
def report_damage(dataset: Dataset, split: str) -> Iterator[None]:
    """Iterate batches of `split` under this to get a DataError that names the damaged shard or image.

    TensorFlow's own error does not say which record it was; on one, the split is decoded in order
    until the record is found. Errors that no record explains pass through.
    """
    import tensorflow as tf

    try:
        yield
    except (tf.errors.InvalidArgumentError, tf.errors.DataLossError) as error:
        if damage := tfrecord.find_damage(dataset.shard_paths(split), dataset.keys):
            raise DataError(damage) from error
        raise


def shuffled_records(dataset: Dataset, seed: int, epoch: int):
    """Serialized training records: shards in random order, read in turn, through a shuffle buffer."""
    import tensorflow as tf

    shards = _shards(dataset, "train")
    order = np.random.default_rng(derive_seed(seed, epoch, _SHARD_KEY)).permutation(len(shards))
    buffer = _shuffle_buffer(dataset.splits["train"], sum(Path(s).stat().st_size for s in shards))
    records = tf.data.Dataset.from_tensor_slices([shards[i] for i in order]).interleave(
        tf.data.TFRecordDataset, cycle_length=_OPEN_SHARDS, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    # Dataset.shuffle would mix in tf.random.set_seed, which a resumed run may not have set alike
    records = _in_split(records, dataset, "train")
    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=buffer,
        seed=derive_seed(seed, epoch, _SHUFFLE_KEY),
        seed2=1,  # both 0 would mean: draw one
        output_types=[tf.string],
        output_shapes=[[]],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)


def _shuffle_buffer(records: int, total_bytes: int) -> int:
    """Records to shuffle among: as many as _SHUFFLE_BYTES of memory hold."""
    mean_bytes = total_bytes // records + 1
    return min(records, _SHUFFLE_MAX, max(_SHUFFLE_MIN, _SHUFFLE_BYTES // mean_bytes))


def _in_order(batches):
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    return batches.with_options(options)


def _shards(dataset: Dataset, split: str) -> list[str]:
    return [str(shard) for shard in dataset.shard_paths(split)]


def _in_split(records, dataset: Dataset, split: str):
    """The records of `split`, where both splits are in the same shards."""
    if dataset.validation_share is None:
        return records

    def belongs(record):
        held_out = tfrecord.held_out(tfrecord.parse(record, dataset.keys)[0], dataset.validation_share)
        return held_out == (split == "validation")

    return records.filter(belongs)


def derive_seed(*keys: int) -> int:
    """An int64 seed that differs for every tuple of numbers from 0 up."""
    if min(keys) < 0:
        raise ConfigError(f"seed and epoch must be at least 0; received {keys[:-1]}.")
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1)
