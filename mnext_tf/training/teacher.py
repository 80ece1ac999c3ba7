"""Distillation: a trained run teaches another network (Hinton et al., arXiv 1503.02531)."""

from __future__ import annotations

from collections.abc import Callable

from mnext_tf.errors import ConfigError
from mnext_tf.runs.config import InitialWeights
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network
from mnext_tf.training.transfer import open_source


def check_teachable(teacher: Run, *, detector: bool) -> None:
    """Raise ConfigError where `teacher`, or the network that is to learn from it (`detector`), is no classifier."""
    if detector:
        raise ConfigError("--teacher is for classifiers; a detector learns from its boxes alone. Leave it out.")
    if teacher.config.task == "detection":
        raise ConfigError(f"The teacher {teacher.folder} is a detector; a teacher is a classifier of the same classes.")


def check_teacher(teacher: Run, class_names: tuple[str, ...]) -> None:
    """Raise ConfigError unless `teacher` is trained, on these classes in this order."""
    if not teacher.trained:
        raise ConfigError(f"{teacher.folder} holds random weights; a teacher is a trained or imported run.")
    if teacher.config.class_names != tuple(class_names):
        raise ConfigError(
            f"The teacher {teacher.folder} has other classes ({len(teacher.config.class_names)}: "
            f"{', '.join(teacher.config.class_names[:3])} ...) than the data ({len(class_names)}: "
            f"{', '.join(class_names[:3])} ...). Train the teacher on the same classes."
        )


def load_teacher(wanted: InitialWeights) -> Callable:
    """A function of images (n, size, size, 3), of any size, to logits. Raises CheckpointError where the run changed."""
    import tensorflow as tf

    run = open_source(wanted, "The teacher of this run")
    network, size = load_network(run), run.config.model.input_size
    network.trainable = False

    def logits(images):
        if images.shape[1] != size:
            images = tf.image.resize(images, (size, size), antialias=True)
        return tf.stop_gradient(tf.cast(network(images, training=False), tf.float32))

    return logits
