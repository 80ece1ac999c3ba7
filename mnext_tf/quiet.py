"""Silences native libraries, which write to the standard error of the process, not to Python's."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to standard error inside; where an exception is raised, show it after all.

    Python's own standard error, such as a progress bar's, still goes where it went.
    """
    sys.stderr.flush()
    ours = sys.stderr
    with contextlib.ExitStack() as stack:
        captured = stack.enter_context(tempfile.TemporaryFile())
        saved = os.dup(2)
        stack.callback(os.close, saved)
        if _is_the_process_stderr(ours):
            sys.stderr = stack.enter_context(os.fdopen(os.dup(saved), "w", buffering=1))
        os.dup2(captured.fileno(), 2)
        try:
            yield
        except BaseException:
            captured.seek(0)
            os.write(saved, captured.read())
            raise
        finally:
            os.dup2(saved, 2)
            sys.stderr.flush()
            sys.stderr = ours


def _is_the_process_stderr(stream) -> bool:
    try:
        return stream.fileno() == 2
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return False
