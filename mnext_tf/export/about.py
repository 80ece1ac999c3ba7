"""What a run's .tflite files say of themselves."""

from __future__ import annotations

from mnext_tf.naming import full_name_of, network_title, precision_of
from mnext_tf.runs.config import RunConfig
from mnext_tf.tasks import task_of
from mnext_tf.tflite.detector import Decoding
from mnext_tf.tflite.metadata import Metadata, add_metadata
from mnext_tf.version import __version__


def describe(config: RunConfig, stage: str, *, author: str, license: str) -> Metadata:
    """What a .tflite file that a stage makes of a run says of itself."""
    model, labels = config.model, config.class_names
    title = network_title(full_name_of(model), model.width, model.identity_tensor_multiplier)
    origin = {"trained": "trained", "imported": "imported weights", "random": "random weights"}[config.init]
    return Metadata(
        name=f"{title}, {model.input_size} px, {precision_of(stage)[0]}",
        description=f"{task_of(config).description(labels)} ({origin}). Made with mnext_tf.",
        version=__version__,
        author=author,
        license=license,
        labels=labels,
        preprocess=config.preprocess.to_dict(),
    )


def described(config: RunConfig, content: bytes, about: Metadata) -> bytes:
    """A .tflite file of logits, or of a detector's outputs, with `about` in it."""
    if config.task == "detection":
        from mnext_tf.tflite.detector_metadata import add_detector_metadata

        return add_detector_metadata(content, about, decoding_of(config))
    return add_metadata(content, about, task_of(config).output_info("logits"))


def decoding_of(config: RunConfig, form: str = "raw") -> Decoding:
    """How the files of a detector's run become boxes."""
    settings = vars(config.detection)
    return Decoding(**settings, form=form, priors=config.model.priors, input_size=config.model.input_size)
