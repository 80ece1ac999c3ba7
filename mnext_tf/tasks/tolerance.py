"""What a quantized network may lose."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.records import Record, field


@dataclass(frozen=True)
class Tolerance(Record):
    """Bounds for files whose logits cannot be those of the float network.

    Of an untrained network only `max_untrained_difference` is asked: sixty random layers amplify the rounding of each,
    so that it only tells this network from another one.
    """

    max_accuracy_drop: float = field(
        1.0, "Percentage points of top-1, or of a detector's mAP50, that quantizing may cost.", at_least=0, at_most=100
    )
    min_agreement: float = field(
        0.9,
        "Least share of images with the same top-1 after quantizing; of a detector, of its boxes that are found again.",
        at_least=0,
        at_most=1,
    )
    max_untrained_difference: float = field(
        0.5, "Largest difference of an untrained network, over the largest logit.", above=0
    )
