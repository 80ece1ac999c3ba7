"""What differs between tasks. A task says what a label is, the loss, decoding, metrics, what an exported file may
contain, and what "the same network" means; the loop, the exporter, and the evaluation are the same for all."""

from mnext_tf.boxes import DetectionSettings
from mnext_tf.models.priors import make_priors
from mnext_tf.tasks.classification import Classification
from mnext_tf.tasks.detection import Detection
from mnext_tf.tasks.tolerance import Tolerance

__all__ = ["Classification", "Detection", "Tolerance", "detection_task", "task_of"]


def task_of(config) -> Classification | Detection:
    """The task of a run, by its `RunConfig`."""
    if config.detection is None:
        return Classification()
    return detection_task(config.model.priors, config.model.input_size, config.detection)


def detection_task(priors: str, input_size: int, settings: DetectionSettings) -> Detection:
    """The task of a detector with these priors at that size."""
    return Detection(make_priors(priors, input_size), settings)
