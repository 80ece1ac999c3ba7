"""Stopping a training after the current step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass
class Stop:
    requested: bool = False


@contextlib.contextmanager
def stop_signals() -> Iterator[Stop]:
    """The first ctrl-C or SIGTERM asks to stop after the current step; a second ctrl-C stops at once."""
    stop, old = Stop(), {}

    def request(number, frame):
        if stop.requested:
            raise KeyboardInterrupt
        stop.requested = True

    with contextlib.suppress(ValueError):  # not in the main thread: leave the signals alone
        old = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
