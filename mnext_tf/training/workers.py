"""Workers that come and go: what the others do when one is lost.

A worker that is killed takes nothing with it, as weights are the same everywhere and the chief's checkpoints are in the
shared run folder. The others' next sum over all fails. TensorFlow cannot take a worker into a running cluster, so they
start themselves anew, wait until what manages the machines has started the lost one again, and all resume.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from mnext_tf.errors import ConfigError, WorkerLostError

_PAUSE_SECONDS, _SEEN_SECONDS = 2, 60  # network file systems remember for up to a minute what was not there
_ERRORS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.FailedPreconditionError,
)


@contextlib.contextmanager
def lost_workers() -> Iterator[None]:
    """Within, a sum that fails because another worker is gone raises WorkerLostError."""
    try:
        yield
    except _ERRORS as e:
        raise WorkerLostError(f"Another worker was lost ({type(e).__name__}).") from e


def restart() -> None:
    """Begin this process anew, with its arguments and its number; does not return.

    Open files and sockets are closed by it: were the port still open, others would talk to the dead.
    """
    time.sleep(_PAUSE_SECONDS)
    for handle in map(int, os.listdir("/proc/self/fd")):
        if handle > 2:
            with contextlib.suppress(OSError):  # that of the listing itself is closed already
                os.set_inheritable(handle, False)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def wait_for(path: Path) -> None:
    """Until `path`, which another host has written, is to be seen here, too."""
    for _ in range(_SEEN_SECONDS):
        if path.exists():
            return
        time.sleep(1)
    raise ConfigError(
        f"Worker 0 has written {path}, but it is not visible on this host. Name a folder that all workers share."
    )
