"""How far a training is: a progress bar on a terminal, else a log line per minute."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

_log = logging.getLogger(__name__)
SECONDS_PER_LINE = 60.0


class Progress:
    """Used as a context manager; `enabled=False` shows neither."""

    def __init__(self, steps: int, done: int, batch_size: int, epochs: int, *, enabled: bool = True):
        from tqdm import tqdm

        self.steps, self.step, self.batch_size, self.epochs = steps, done, batch_size, epochs
        self.bar = tqdm(
            total=steps * batch_size,
            initial=done * batch_size,
            unit="img",
            unit_scale=True,
            smoothing=0.05,
            dynamic_ncols=True,
            disable=None if enabled else True,  # None: only on a terminal
            desc="training",
        )
        self.lines = enabled and self.bar.disable
        self.logged_step, self.logged_at, self.waited = done, time.monotonic(), 0.0
        self._began, self._waited_in_all = self.logged_at, 0.0

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception) -> None:
        self.bar.close()

    def timed(self, batches: Iterable) -> Iterator:
        """The same batches, counting the time spent waiting for them."""
        iterator = iter(batches)
        while True:
            started = time.monotonic()
            try:
                batch = next(iterator)
            except StopIteration:
                return
            waited = time.monotonic() - started
            self.waited += waited
            self._waited_in_all += waited
            yield batch

    def update(self, epoch: int, loss: float, rate: float) -> None:
        """One step is done, in `epoch` (from 0), with this loss and learning rate."""
        self.step += 1
        where = f"{epoch + 1}/{self.epochs}"
        waiting = f"{self._waited_in_all / (time.monotonic() - self._began):.0%}"
        self.bar.set_postfix(epoch=where, loss=f"{loss:.3f}", lr=f"{rate:.2g}", data=waiting, refresh=False)
        self.bar.update(self.batch_size)
        seconds = time.monotonic() - self.logged_at
        if self.lines and seconds >= SECONDS_PER_LINE:
            per_second = (self.step - self.logged_step) / seconds
            left = self.bar.format_interval((self.steps - self.step) / per_second)
            speed = f"{per_second * self.batch_size:.0f} images/s, {self.waited / seconds:.0%} waiting for data"
            _log.info(f"epoch {where}, step {self.step} of {self.steps}: loss {loss:.4f}, {speed}, {left} left")
            self.logged_step, self.logged_at, self.waited = self.step, time.monotonic(), 0.0
