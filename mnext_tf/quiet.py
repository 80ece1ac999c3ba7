"""Silences native libraries, which write to the standard error of the process, not to Python's."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_lock = threading.RLock()
_depth = 0  # threads may overlap: the first one in redirects, the last one out restores
_captured = _saved = _python = None
_streams: dict[tuple[int, int], io.TextIOBase] = {}  # never closed: log handlers made inside may keep one


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what native code writes to standard error inside; where an exception is raised, show it after all.

    Python's own standard error, such as a progress bar's, still goes where it went.
    """
    _enter()
    try:
        yield
    except BaseException:
        _show()
        raise
    finally:
        _leave()


def _enter() -> None:
    global _depth, _captured, _saved, _python
    with _lock:
        _depth += 1
        if _depth > 1:
            return
        sys.stderr.flush()
        _captured, _saved, _python = tempfile.TemporaryFile(), os.dup(2), sys.stderr  # noqa: SIM115 (closed in _leave)
        if _is_the_process_stderr(_python):
            sys.stderr = _stream_like(_python)
        os.dup2(_captured.fileno(), 2)


def _show() -> None:
    with _lock:
        _captured.seek(0)
        os.write(_saved, _captured.read())
        _captured.truncate(0)


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth:
            return
        os.dup2(_saved, 2)
        os.close(_saved)
        _captured.close()
        sys.stderr.flush()
        sys.stderr = _python


def _stream_like(stream) -> io.TextIOBase:
    """A text stream to where fd 2 leads now, which stays open for the life of the process."""
    where = os.fstat(2)
    key = (where.st_dev, where.st_ino)
    if key not in _streams:
        _streams[key] = os.fdopen(os.dup(2), "w", buffering=1, encoding=stream.encoding, errors=stream.errors)
    return _streams[key]


def _is_the_process_stderr(stream) -> bool:
    try:
        return stream.fileno() == 2
    except (AttributeError, io.UnsupportedOperation, ValueError):
        return False
