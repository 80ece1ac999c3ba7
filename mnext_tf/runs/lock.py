"""One process at a time works on a run."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mnext_tf.errors import MnextError
from mnext_tf.files import exclusive_lock, sweep
from mnext_tf.provenance import now

_log = logging.getLogger(__name__)
_held = threading.local()  # .folders: those that this thread has locked
_POLL_SECONDS = 0.5


@contextlib.contextmanager
def run_lock(folder: Path, doing: str, *, wait: bool = False) -> Iterator[None]:
    """Hold the lock of a run folder; a stage made within another's build holds it already.

    What killed processes left half-written in the folder is removed first.

    Args:
      doing: "training", say, for the message of those who are refused.
      wait: for another process to be done, instead of raising MnextError, which names it.
    """
    folder = Path(folder).resolve()
    folders = vars(_held).setdefault("folders", set())
    if folder in folders:
        yield
        return
    with _acquired(folder, doing, wait) as left:
        if left:
            _log.info(f"{folder}: taking over from {left}, which was killed")
        for written in (folder, folder / "train", folder / "train" / "checkpoints"):
            sweep(written)
        folders.add(folder)
        try:
            yield
        finally:
            folders.remove(folder)


@contextlib.contextmanager
def _acquired(folder: Path, doing: str, wait: bool) -> Iterator[str]:
    holder = f"process {os.getpid()} on {socket.gethostname()} ({doing} since {now()})"
    waited = False
    with contextlib.ExitStack() as stack:
        while True:
            try:
                left = stack.enter_context(exclusive_lock(folder / ".lock", holder))
                break
            except BlockingIOError as e:
                if not wait:
                    raise MnextError(f"{folder} is in use by {e}. Wait until it is done, or stop it.") from None
                if not waited:
                    _log.info(f"{folder}: waiting for {e}")
                waited = True
                time.sleep(_POLL_SECONDS)
        yield left
