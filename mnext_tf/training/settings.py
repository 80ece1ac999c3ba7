"""How a training is carried out, which changes nothing about its result."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.records import Record, field


@dataclass(frozen=True)
class TrainSettings(Record):
    """Flags of `pipelines.train` that may differ from one start of a run to the next."""

    checkpoint_minutes: float = field(
        10.0, "Minutes between checkpoints within an epoch; 0: only after epochs.", at_least=0
    )
    keep: int = field(2, "Checkpoints to keep, the newest.", at_least=1)
    histograms: bool = field(False, "Histograms of the weights in TensorBoard, after every epoch.")
    distribute: str = field(
        "none",
        "Devices: one; all of this machine (mirrored); those of all processes in TF_CONFIG (multi_worker); tpu.",
        choices=("none", "mirrored", "multi_worker", "tpu"),
    )
