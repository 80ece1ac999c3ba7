"""Batches of images with boxes, in the same order as those with classes: a function of a seed alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mnext_tf.data import object_schema
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import batches_in_order, check_task, in_order, records_in_order, stored_features
from mnext_tf.data.objects import Truth
from mnext_tf.data.preprocess import Preprocess, encoded_size, eval_image

COLUMNS = 6  # of evaluation's labels: x_min, y_min, x_max, y_max, label, ignored


def stored_truth(dataset: Dataset, split: str) -> Iterator[tuple[str, bytes, Truth]]:
    """(file name, encoded image, what is in it) of every record of `split`, in stored order.

    A record without a file name is named by its shard and number. Raises DataError for a damaged shard.
    """
    check_task(dataset, "detection")
    keys = object_schema.object_keys(dataset.keys)
    for name, encoded, feature in stored_features(dataset, split):
        _, objects, _ = object_schema.read_objects(feature, keys, dataset.label_offset, name)
        yield name, encoded, Truth(name, *encoded_size(encoded), objects)


def parse_objects(record, dataset: Dataset):
    """A serialized record to (encoded, boxes float32 (M, 4), labels int32 (M,), ignored bool (M,)), in-graph.

    As in `Objects`: boxes are relative to the image, labels count from 0, and -1 is a region to ignore.
    """
    return object_schema.parse_objects(record, dataset.keys, dataset.label_offset)


def train_batches(
    dataset: Dataset,
    example: Callable,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start_step: int = 0,
    share: tuple[int, int] = (0, 1),
    streams: int = 1,
):
    """A tf.data.Dataset of one epoch, of batches of what `example(encoded, boxes, labels, ignored, seed)` gives.

    example: traced by TensorFlow; its first arguments are those that `parse_objects` gives, `seed` is int64 (2,), for
    every draw of this image, and its tensors have shapes that do not depend on the image. Order, resuming, workers and
    streams are as in `input_pipeline.train_batches`, and so are the errors.
    """
    import tensorflow as tf

    check_task(dataset, "detection")

    def batched(image_seed, record):
        return example(*parse_objects(record, dataset), image_seed)

    order = {"seed": seed, "epoch": epoch, "start_step": start_step, "share": share, "streams": streams}
    return in_order(batches_in_order(dataset, batched, batch_size, **order).prefetch(tf.data.AUTOTUNE))


def eval_batches(
    dataset: Dataset,
    preprocess: Preprocess,
    batch_size: int,
    *,
    split: str = "validation",
    max_images: int | None = None,
    share: tuple[int, int] = (0, 1),
):
    """A tf.data.Dataset of images float32 (B, S, S, 3) in [0, 255] and labels float32 (B, M, 6), in stored order.

    A row of the labels is x_min, y_min, x_max, y_max, label, ignored (0 or 1). M is the most boxes that an image of the
    batch has; rows of the others are filled up with label -1, ignored 0, and a box of zeros. The last batch is smaller.
    `max_images` and `share` are as in `input_pipeline.eval_batches`.
    """
    import tensorflow as tf

    check_task(dataset, "detection")

    def example(record):
        encoded, boxes, labels, ignored = parse_objects(record, dataset)
        rows = [boxes, tf.cast(labels, tf.float32)[:, None], tf.cast(ignored, tf.float32)[:, None]]
        return eval_image(encoded, preprocess), tf.concat(rows, 1)

    def name_padding(images, labels):
        padding = tf.constant([0, 0, 0, 0, -1, 0], tf.float32)
        return images, tf.where(labels[..., 5:] < 0, padding, labels)

    side = preprocess.input_size
    records = records_in_order(dataset, batch_size, split=split, max_images=max_images, share=share)
    batches = records.map(example, num_parallel_calls=tf.data.AUTOTUNE).padded_batch(
        batch_size, ((side, side, 3), (None, COLUMNS)), padding_values=(0.0, -1.0)
    )
    return in_order(batches.map(name_padding).prefetch(tf.data.AUTOTUNE))
