"""Data sets: TFRecord shards in the TF-slim schema, how they are made, and the batches read from them.

Importing this package does not import TensorFlow; reading and writing records does.
"""

from mnext_tf.data.augment import Augment
from mnext_tf.data.dataset import (
    Dataset,
    calibration_images,
    eval_batches,
    naming_damage,
    open_dataset,
    reopen_dataset,
    steps_per_epoch,
    train_batches,
)
from mnext_tf.data.preprocess import Preprocess

__all__ = [
    "Augment",
    "Dataset",
    "Preprocess",
    "calibration_images",
    "eval_batches",
    "naming_damage",
    "open_dataset",
    "reopen_dataset",
    "steps_per_epoch",
    "train_batches",
]
