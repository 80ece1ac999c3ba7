"""Keras to SavedModel: a signature from `image` to the network's outputs, with the class names as an asset."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from mnext_tf.export.serving import inference_function
from mnext_tf.files import write_text
from mnext_tf.inference.graphs import named
from mnext_tf.tflite.metadata import LABELS, labels_text


def write_saved_model(model, class_names: list[str], folder: Path) -> None:
    """Write the SavedModel of `model` into `folder`.

    Signature `serving_default`: image float32 (batch, size, size, 3), RGB in [0, 255] -> logits
    float32 (batch, classes), or to class_logits and box_regression (batch, priors, ...). Asset `labels.txt`: one class
    name a line, in order of the logits.
    """
    size = model.input_shape[1]
    network, names = inference_function(model), model.output_names
    image = tf.TensorSpec((None, size, size, 3), tf.float32, name="image")
    servable = tf.Module()
    servable.network = model  # tracked, so that its variables are saved
    servable.serve = tf.function(lambda image: named(network(image), names), input_signature=[image], autograph=False)
    labels = Path(folder).parent / f"{Path(folder).name}-labels" / LABELS
    write_text(labels, labels_text(class_names))
    try:
        servable.labels = tf.saved_model.Asset(str(labels))
        tf.saved_model.save(servable, str(folder), signatures={"serving_default": servable.serve})
    finally:
        labels.unlink()
        labels.parent.rmdir()
