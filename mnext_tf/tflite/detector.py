"""What a detector's .tflite file says of how its outputs become boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.boxes import CENTER_VARIANCE, SIZE_VARIANCE, DetectionSettings
from mnext_tf.errors import ExportError
from mnext_tf.records import field

CLASSES, BOXES = "class_logits", "box_regression"  # the outputs of a raw file
LOCATION, CATEGORY, SCORE, COUNT = "location", "category", "score", "number of detections"  # MediaPipe's names

OUTPUTS = {"raw": (CLASSES, BOXES), "two": (LOCATION, SCORE), "four": (LOCATION, CATEGORY, SCORE, COUNT)}
POSTPROCESS = "TFLite_Detection_PostProcess"  # TFLite's custom operator of the form "four"


@dataclass(frozen=True)
class Decoding(DetectionSettings):
    """How a detector's outputs become boxes; detector.json inside its .tflite file.

    A raw file gives `class_logits` (1, priors, classes + 1), background first, and `box_regression` (1, priors, 4) as
    dx, dy, dw, dh. One of two outputs gives `location` (1, priors, 4) as dy, dx, dh, dw, and `score` (1, priors,
    classes), from 0 to 1. One of four outputs gives the boxes themselves, cut off at the image's edges. Raises
    ConfigError for a value out of range.
    """

    form: str = field("raw", "What the file gives.", choices=tuple(OUTPUTS))
    priors: str = field("voc", "The boxes that the regression starts from.")
    input_size: int = field(320, "Side of the square input, in pixels.", at_least=1)
    center_variance: float = field(CENTER_VARIANCE, "Of dx and dy, in sides of the prior.", above=0)
    size_variance: float = field(SIZE_VARIANCE, "Of dw and dh, the logarithms of the sides over the prior's.", above=0)

    @property
    def scales(self) -> tuple[float, float]:
        """The variances as TFLite and MediaPipe have them: what dx and dy, and dw and dh, are divided by."""
        return 1 / self.center_variance, 1 / self.size_variance


def order_outputs(ends: Sequence[tuple[str, Sequence[int]]], where: str | Path = "this file") -> tuple[int, int]:
    """Which of a raw file's two outputs, (name, shape) each, are the class logits, and which the box regression.

    By their names; where these say nothing, the boxes are the output of four columns. Raises ExportError for others.
    """
    shapes = [tuple(map(int, shape)) for _, shape in ends]
    alike = len(ends) == 2 and all(len(s) == 3 for s in shapes) and shapes[0][:2] == shapes[1][:2]
    if alike and shapes[0][0] == 1 and not {name for name, _ in ends} & {LOCATION, SCORE}:
        named = [i for i, (name, _) in enumerate(ends) if BOXES in name and CLASSES not in name]
        named = named or [1 - i for i, (name, _) in enumerate(ends) if CLASSES in name and BOXES not in name]
        boxes = named or [i for i, shape in enumerate(shapes) if shape[2] == 4]
        if len(boxes) == 1 and shapes[boxes[0]][2] == 4:
            return 1 - boxes[0], boxes[0]
    raise ExportError(
        f"A detector of ours gives {CLASSES} (1, priors, classes + 1) and {BOXES} (1, priors, 4); {where} gives "
        + ", ".join(f"{name} {shape}" for (name, _), shape in zip(ends, shapes, strict=True))
        + "."
    )


def outputs_of(tree) -> list[tuple[str, list[int]]]:
    """(name, shape) of the outputs of a `ModelT` tree in their order, by the signature's names where it has one."""
    graph, signatures = tree.subgraphs[0], tree.signatureDefs or []
    named = {end.tensorIndex: end.name for signature in signatures[:1] for end in signature.outputs}
    return [
        ((named.get(i) or graph.tensors[i].name or b"").decode(), [int(n) for n in graph.tensors[i].shape])
        for i in graph.outputs
    ]
