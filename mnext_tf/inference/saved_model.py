"""Runs a SavedModel."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


def load_saved_model(folder: Path):
    """A function from float images (batch, size, size, 3) to logits as a tensor."""
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]

    def logits(images):
        return signature(image=tf.convert_to_tensor(images, tf.float32))["logits"]

    logits.keep_alive = loaded  # the signature holds its variables weakly
    logits.input_shape = signature.structured_input_signature[1]["image"].shape
    return logits
