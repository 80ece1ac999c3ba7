"""Loss and accuracy of the steps of an epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from mnext_tf.errors import TrainingError
from mnext_tf.training.checkpoint import list_checkpoints


class Meter:
    """Adds up what the steps return.

    Their values are read together, now and then: a step that waited for its own would leave the device idle.
    """

    def __init__(self, checkpoints: Path, totals: Sequence[float] = (0.0, 0.0)):
        self.totals = list(totals)  # loss, correct
        self.loss = math.nan  # of the newest step that was read
        self._checkpoints, self._unread = checkpoints, []

    def add(self, epoch: int, step: int, rate: float, loss, correct) -> None:
        """`loss` and `correct` are scalar tensors, of step `step` at the learning rate `rate`."""
        self._unread.append((epoch, step, rate, loss, correct))

    def read(self) -> None:
        """Raises TrainingError, naming the step, where a loss is not a number."""
        for epoch, step, rate, loss, correct in self._unread:
            self.loss = float(loss)
            if not math.isfinite(self.loss):
                raise TrainingError(not_a_number("loss", self.loss, step, epoch, rate, self._checkpoints))
            self.totals[0] += self.loss
            self.totals[1] += float(correct)
        self._unread = []

    def reset(self) -> None:
        self.totals = [0.0, 0.0]


def not_a_number(what: str, loss: float, step: int, epoch: int, rate: float, checkpoints: Path) -> str:
    """The message, with the last good checkpoint."""
    saved = list_checkpoints(checkpoints)
    last = f"The last good state is {saved[-1]}. " if saved else ""
    return (
        f"The {what} is {loss} at step {step} (epoch {epoch + 1}, learning rate {rate:.3g}). {last}"
        "Start a new run with a lower --learning_rate or more --warmup_epochs."
    )
