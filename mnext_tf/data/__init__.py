"""Data sets: TFRecord shards in the TF-slim schema, how they are made, and the batches read from them.

Importing this package does not import TensorFlow; reading and writing records does.
"""

from mnext_tf.data.augment import Augment
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import (
    eval_batches,
    report_damage,
    steps_per_epoch,
    train_batches,
)
from mnext_tf.data.opening import open_dataset, reopen_dataset
from mnext_tf.data.preprocess import Preprocess

__all__ = [
    "Augment",
    "Dataset",
    "Preprocess",
    "eval_batches",
    "open_dataset",
    "reopen_dataset",
    "report_damage",
    "steps_per_epoch",
    "train_batches",
]
