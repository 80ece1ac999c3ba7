"""Which training record comes at which position of an epoch: a function of seeds alone, for any number of workers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.dataset import Dataset
from mnext_tf.errors import ConfigError

_SHUFFLE_MAX, _SHUFFLE_MIN = 20_000, 64  # records; fewer would hardly mix, whatever memory they take
_SHUFFLE_BYTES = 1 << 30
_OPEN_SHARDS = 16  # training reads this many shards in turn
_PASSES = 1000  # through a stream in one epoch, at most; one that is shorter than this needs is as good as empty
_SHUFFLE_KEY, AUGMENT_KEY, _SHARD_KEY, CALIBRATION_KEY, MIX_KEY, _BALANCE_KEY = range(6)


def derive_seed(*keys: int) -> int:
    """An int64 seed that differs for every tuple of numbers from 0 up; zeros at the end do not count."""
    if min(keys) < 0:
        raise ConfigError(f"seed and epoch must be at least 0; received {keys[:-1]}.")
    return int(np.random.SeedSequence(keys).generate_state(1, np.uint64)[0] >> 1)


def shuffled_records(dataset: Dataset, seed: int, epoch: int):
    """Serialized training records, each once: shards in random order, read in turn, through a shuffle buffer."""
    shards = _shards(dataset)
    order = np.random.default_rng(derive_seed(seed, epoch, _SHARD_KEY)).permutation(len(shards))
    records = _read(dataset, [shards[i] for i in order], _OPEN_SHARDS)
    return _shuffle(records, _buffer_of(dataset), derive_seed(seed, epoch, _SHUFFLE_KEY), 1)


def positioned_records(
    dataset: Dataset,
    batch_size: int,
    *,
    seed: int,
    epoch: int,
    start_step: int,
    share: tuple[int, int],
    streams: int,
    balanced: bool,
):
    """(position in the epoch, serialized record) of the slice `share` of every batch, from `start_step` on.

    Each stream fills an equal part of every batch; only the streams whose parts the slice meets are read. The
    arguments are those of `train_batches`. More than one stream, and balanced ones, do not end.
    """
    import tensorflow as tf

    check_parts(dataset, batch_size, share, streams)
    index, count = share
    begin, end = index * batch_size // count, (index + 1) * batch_size // count
    part = batch_size // streams
    sources, sizes = [], []
    for stream in range(begin // part, -(-end // part)):
        low, high = max(0, begin - stream * part), min(part, end - stream * part)
        if streams == 1 and not balanced:
            records = shuffled_records(dataset, seed, epoch)
        else:
            records = _endless_records(dataset, seed, epoch, stream, streams, balanced)
        records = records.skip(start_step * part)
        sources.append(records if high - low == part else _slices(records, low, high, part))
        sizes.append(high - low)
    if len(sources) > 1:
        turns = np.repeat(np.arange(len(sources)), sizes)
        records = tf.data.Dataset.choose_from_datasets(sources, tf.data.Dataset.from_tensor_slices(turns).repeat())
    else:
        (records,) = sources

    def place(i, record):
        return (start_step + i // (end - begin)) * batch_size + begin + i % (end - begin), record

    return records.enumerate().map(place)


def _slices(records, low: int, high: int, part: int):
    """The records from `low` to `high` of every `part` records."""
    mine = records.enumerate().filter(lambda i, _: (i % part >= low) & (i % part < high))
    return mine.map(lambda _, record: record)


def check_parts(dataset: Dataset, batch_size: int, share: tuple[int, int], streams: int) -> None:
    """Raise ConfigError for a batch that workers or streams cannot divide evenly, or more streams than shards."""
    index, count = share
    if not 0 <= index < count:
        raise ConfigError(f"share must be (worker, workers) with 0 <= worker < workers; received {share}.")
    shards = len(_shards(dataset))
    if not 1 <= streams <= shards:
        raise ConfigError(
            f"data_streams must be between 1 and the {shards} training shards of {dataset.name}; received {streams}. "
            "Lower it, or write more shards."
        )
    for parts, name in ((streams, "data_streams"), (count, "the number of workers")):
        if batch_size % parts:
            raise ConfigError(f"batch_size={batch_size} must be a multiple of {name}, {parts}.")


def _endless_records(dataset: Dataset, seed: int, epoch: int, stream: int, streams: int, balanced: bool):
    """The records of every `streams`-th shard, again in another order when they end, up to _PASSES times."""
    import tensorflow as tf

    shards = tf.constant(_shards(dataset)[stream::streams])
    shard_seed, shuffle_seed, copy_seed = (
        derive_seed(seed, epoch, key, 1 + stream) for key in (_SHARD_KEY, _SHUFFLE_KEY, _BALANCE_KEY)
    )
    buffer = max(1, _buffer_of(dataset) // streams)

    def one_pass(number):
        order = tf.random.experimental.stateless_shuffle(shards, tf.stack([tf.constant(shard_seed, tf.int64), number]))
        records = _read(dataset, order, max(1, _OPEN_SHARDS // streams))
        if balanced:
            records = records.flat_map(lambda record: _copies(dataset, record, copy_seed + number))
        return _shuffle(records, buffer, shuffle_seed, number + 1)

    return tf.data.Dataset.range(_PASSES).flat_map(one_pass)


def _copies(dataset: Dataset, record, seed):
    """A record as many times as makes all classes equal: its class's factor, rounded up or down at random.

    The factor is the mean number of images of a class over the number of this class. Every record is parsed before it
    is shuffled, which takes some 0.1 ms of one core.
    """
    import tensorflow as tf

    counts = np.array(dataset.class_counts["train"])
    factors = counts.sum() / np.count_nonzero(counts) / np.maximum(1, counts)
    encoded, label = tfrecord.parse(record, dataset.keys)
    draw = tf.random.stateless_uniform((), tf.stack([seed, tf.strings.to_hash_bucket_fast(encoded, 1 << 62)]))
    factor = tf.gather(tf.constant(factors, tf.float32), label - dataset.label_offset)
    return tf.data.Dataset.from_tensors(record).repeat(tf.cast(factor + draw, tf.int64))


def _read(dataset: Dataset, shards, at_once: int):
    """Records of the training split from shards in the given order, `at_once` of them read in turn."""
    import tensorflow as tf

    records = tf.data.Dataset.from_tensor_slices(shards).interleave(
        tf.data.TFRecordDataset, cycle_length=at_once, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    return in_split(records, dataset, "train")


def _shuffle(records, buffer: int, seed, seed2):
    """Dataset.shuffle would mix in tf.random.set_seed, which a resumed run may not have set alike."""
    import tensorflow as tf

    shuffled = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(records),
        buffer_size=buffer,
        seed=seed,
        seed2=seed2,  # both 0 would mean: draw one
        output_types=[tf.string],
        output_shapes=[[]],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(shuffled, records.element_spec)


def _buffer_of(dataset: Dataset) -> int:
    return _shuffle_buffer(dataset.splits["train"], sum(Path(shard).stat().st_size for shard in _shards(dataset)))


def _shuffle_buffer(records: int, total_bytes: int) -> int:
    """Records to shuffle among: as many as _SHUFFLE_BYTES of memory hold."""
    mean_bytes = total_bytes // records + 1
    return min(records, _SHUFFLE_MAX, max(_SHUFFLE_MIN, _SHUFFLE_BYTES // mean_bytes))


def _shards(dataset: Dataset) -> list[str]:
    return [str(shard) for shard in dataset.shard_paths("train")]


def in_split(records, dataset: Dataset, split: str):
    """The records of `split`, where both splits are in the same shards."""
    if dataset.validation_share is None:
        return records

    def belongs(record):
        held_out = tfrecord.held_out(tfrecord.parse_image(record, dataset.keys), dataset.validation_share)
        return held_out == (split == "validation")

    return records.filter(belongs)
