"""What a PyTorch checkpoint of a detector, by the MobileNeXt authors' code, shows of its network."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.checkpoints.file_formats import Checkpoint
from mnext_tf.data.preprocess import squashed
from mnext_tf.errors import CheckpointError
from mnext_tf.models.priors import PRIORS, priors_per_cell

PREPROCESS = squashed(320)
_LAST_HEAD = "box_head.predictor.{}_headers.5.bias"  # of classes (cls) and boxes (reg)


@dataclass(frozen=True)
class DetectorShape:
    """`priors`: one of `models.priors.PRIORS`; num_classes: without the background."""

    priors: str
    num_classes: int


def is_detector(checkpoint: Checkpoint) -> bool:
    return any(name.startswith("box_head.predictor.") for name in checkpoint.tensors)


def is_own_detector(checkpoint: Checkpoint) -> bool:
    """Whether a Keras file holds a detector of `models.ssdlite`."""
    return "head1_class_pointwise/0" in checkpoint.tensors


def detector_shape(checkpoint: Checkpoint) -> DetectorShape:
    """From the last head, which has another number of priors for VOC and COCO. Raises CheckpointError for others."""
    sizes = [checkpoint.tensors.get(_LAST_HEAD.format(kind)) for kind in ("cls", "reg")]
    columns, boxes = (0 if tensor is None else tensor.size for tensor in sizes)
    for kind in PRIORS:
        count = priors_per_cell(kind)[-1]
        if boxes == 4 * count and columns % count == 0 and columns > count:
            return DetectorShape(kind, columns // count - 1)
    raise CheckpointError(
        f"{checkpoint.path} is a detector whose last head gives {columns} scores and {boxes} numbers of boxes a "
        "position; those of VOC have 6 boxes there, of COCO 4. Other priors are not supported."
    )
