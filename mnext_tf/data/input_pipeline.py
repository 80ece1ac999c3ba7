"""Batches from TFRecord shards, in an order that depends on a seed alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.augment import Augment
from mnext_tf.data.damage import find_damage
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.mix import draw_mixes, mix
from mnext_tf.data.order import AUGMENT_KEY, MIX_KEY, derive_seed, in_split, positioned_records
from mnext_tf.data.preprocess import Preprocess, eval_image, train_image
from mnext_tf.errors import ConfigError, DataError, one_of


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
    share: tuple[int, int] = (0, 1),
    streams: int = 1,
    balanced: bool = False,
):
    """A tf.data.Dataset of one epoch: images float32 (B, S, S, 3) in [0, 255], labels int32 (B,) from 0.

    With mixup or CutMix the labels are targets instead: float32 (B, classes), sums of 1, without label smoothing.

    Order and augmentation follow from (seed, epoch, position) alone, so that `start_step=k` resumes
    exactly where the uninterrupted epoch is after k batches; the images before it are read but not
    decoded. The last images, short of a batch, are left to the next epoch's order.

    share: (worker, workers): only this worker's part of every batch, B / workers images, the same as they are in the
    whole batch. streams: groups of shards, every `streams`-th in one, that are shuffled on their own and fill an equal
    part of every batch each; a worker reads only the shards of the streams that meet its part. The order depends on
    this number, not on that of the workers. A stream that ends before the epoch goes on with its records in another
    order. balanced: all classes are as likely: of each class images come twice and more, or are left out, at random;
    this reads the label of every record before shuffling.

    A damaged image stops the iteration with a TensorFlow error; iterate under `report_damage` to
    get a DataError with its shard and file name. Raises ConfigError for a batch larger than the
    split, a `start_step` outside the epoch, a negative seed or epoch, and a batch that cannot be divided,
    and DataError for images without labels.
    """
    import tensorflow as tf

    check_task(dataset, "classification")
    if not dataset.labelled:
        raise DataError(f"The images of {dataset.name} have no labels, so no network can be trained on them.")
    if augment.mixes and share[1] > 1 and batch_size // share[1] % 2:
        raise ConfigError(
            f"mixup and cutmix mix images in pairs: batch_size={batch_size} must be a multiple of twice the {share[1]} "
            "workers."
        )

    def example(seed, record):
        encoded, label = tfrecord.parse(record, dataset.keys)
        image = train_image(encoded, preprocess, augment, seed)
        return image, tf.cast(label - dataset.label_offset, tf.int32)

    order = {"seed": seed, "epoch": epoch, "start_step": start_step, "share": share, "streams": streams}
    batches = batches_in_order(dataset, example, batch_size, balanced=balanced, **order)
    if augment.mixes:
        rng = np.random.default_rng(derive_seed(seed, epoch, MIX_KEY))
        steps = steps_per_epoch(dataset, batch_size)
        draws = draw_mixes(augment, preprocess.input_size, steps, rng)[start_step:]
        batches = tf.data.Dataset.zip((batches, tf.data.Dataset.from_tensor_slices(draws))).map(
            lambda batch, draw: mix(*batch, draw, dataset.num_classes), num_parallel_calls=tf.data.AUTOTUNE
        )
    return in_order(batches.prefetch(tf.data.AUTOTUNE))


def batches_in_order(
    dataset: Dataset,
    example: Callable,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start_step: int,
    share: tuple[int, int],
    streams: int,
    balanced: bool = False,
):
    """The batches of an epoch, made of `example(seed, record)`: int64 (2,) for the draws of an image, and its record.

    The other arguments, and the errors, are those of `train_batches`.
    """
    import tensorflow as tf

    steps = steps_per_epoch(dataset, batch_size)
    if not 0 <= start_step <= steps:
        raise ConfigError(f"start_step must be between 0 and the epoch's {steps} steps; received {start_step}.")
    augment_seed = derive_seed(seed, epoch, AUGMENT_KEY)
    records = positioned_records(
        dataset,
        batch_size,
        seed=seed,
        epoch=epoch,
        start_step=start_step,
        share=share,
        streams=streams,
        balanced=balanced,
    )
    batches = records.map(
        lambda position, record: example(tf.stack([augment_seed, position]), record),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    batches = batches.batch(batch_size // share[1], drop_remainder=True).take(steps - start_step)
    if streams > 1 or balanced:
        batches = batches.apply(tf.data.experimental.assert_cardinality(steps - start_step))  # a stream had no records
    return batches


def eval_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    batch_size: int,
    *,
    split: str = "validation",
    max_images: int | None = None,
    share: tuple[int, int] = (0, 1),
):
    """A tf.data.Dataset of images and labels as in `train_batches`, in stored order, the last batch smaller.

    `max_images` takes that many, evenly spaced over the split: shards may be sorted by class. `share=(i, n)` takes
    every n-th of these, from number i on.
    """
    import tensorflow as tf

    check_task(dataset, "classification")

    def example(record):
        encoded, label = tfrecord.parse(record, dataset.keys)
        return eval_image(encoded, preprocess), tf.cast(label - dataset.label_offset, tf.int32)

    records = records_in_order(dataset, batch_size, split=split, max_images=max_images, share=share)
    batches = records.map(example, num_parallel_calls=tf.data.AUTOTUNE).batch(batch_size).prefetch(tf.data.AUTOTUNE)
    return in_order(batches)


def records_in_order(dataset: Dataset, batch_size: int, *, split: str, max_images: int | None, share: tuple[int, int]):
    """Serialized records of `split` in stored order; the arguments are those of `eval_batches`."""
    import tensorflow as tf

    one_of("split", split, tfrecord.SPLITS)
    if batch_size < 1 or (max_images is not None and max_images < 1):
        raise ConfigError(
            f"batch_size and max_images must be at least 1; received batch_size={batch_size}, max_images={max_images}."
        )
    shards = [str(shard) for shard in dataset.shard_paths(split)]
    records = in_split(tf.data.TFRecordDataset(shards), dataset, split)
    if max_images is not None and max_images < dataset.splits[split]:
        chosen = tf.constant(np.linspace(0, dataset.splits[split] - 1, max_images).round().astype(np.int64))
        records = (
            records.enumerate()
            .filter(lambda position, _: tf.reduce_any(tf.equal(chosen, position)))
            .map(lambda _, record: record)
        )
    return records.shard(share[1], share[0])


def stored_examples(dataset: Dataset, split: str) -> Iterator[tuple[str, bytes, int]]:
    """(file name, encoded image, label from 0) of every record of `split`, in stored order.

    A record without a file name is named by its shard and number. Raises DataError for a damaged shard.
    """
    check_task(dataset, "classification")
    label = dataset.keys[1]
    for name, encoded, feature in stored_features(dataset, split):
        yield name, encoded, feature[label].int64_list.value[0] - dataset.label_offset


def stored_features(dataset: Dataset, split: str) -> Iterator[tuple[str, bytes, Mapping]]:
    """(file name, encoded image, all features) of every record of `split`, in stored order."""
    import tensorflow as tf

    for shard in dataset.shard_paths(split):
        for r, record in enumerate(tfrecord.read_records(shard)):
            feature = tf.train.Example.FromString(record).features.feature
            encoded = feature[dataset.keys[0]].bytes_list.value[0]
            if dataset.validation_share is not None:
                held_out = bool(tfrecord.held_out(encoded, dataset.validation_share))
                if held_out != (split == "validation"):
                    continue
            yield tfrecord.file_name(feature) or f"{shard.name}:{r}", encoded, feature


def check_task(dataset: Dataset, task: str) -> None:
    """Raises DataError for a data set of another task."""
    if dataset.task != task:
        raise DataError(f"{dataset.name} is a data set for {dataset.task}; one for {task} is needed.")


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
        if damage := find_damage(dataset.shard_paths(split), dataset.keys):
            raise DataError(damage) from error
        raise
    except tf.errors.FailedPreconditionError as error:  # of assert_cardinality
        if "expected to contain" not in str(error):
            raise
        raise DataError(
            f"A group of shards of {dataset.folder} has no training images. Use fewer --data_streams (or workers), or "
            "write the shards again."
        ) from error


def in_order(batches):
    """`batches` in the order of their records, however many are made at once."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    return batches.with_options(options)
