"""Which record is damaged, where TensorFlow's error does not say it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.data import tfrecord
from mnext_tf.data.preprocess import decode
from mnext_tf.errors import DataError


def find_damage(shards: list[Path], keys: Sequence[str]) -> str | None:
    """Decode every record until one fails; say which, or None when all are sound."""
    import tensorflow as tf

    for shard in shards:
        try:
            for r, record in enumerate(tfrecord.read_records(shard)):
                try:
                    decode(tfrecord.parse_image(record, keys))
                except tf.errors.InvalidArgumentError:
                    name = tfrecord.in_brackets(
                        tfrecord.file_name(tf.train.Example.FromString(record).features.feature)
                    )
                    return f"Record {r} of {shard}{name} is not a sound JPEG or PNG; write the shard without it."
        except DataError as error:
            return str(error)
    return None
