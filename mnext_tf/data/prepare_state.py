"""State that lets an interrupted writing of shards resume: a lock, and a record beside every finished shard."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import tfrecord
from mnext_tf.errors import DataError

STATE = ".prepare"
_SETTINGS = "settings.json"
_LOCK = "lock"
_RECORD = {"bytes", "digest", "label_counts", "remarks", "skipped"}  # keys of a shard's record
_PARTIAL = re.compile(rf"\.partial-.*-({tfrecord.SHARD.pattern}|{re.escape(tfrecord.SIDECAR)})")


@contextlib.contextmanager
def locked(out: Path) -> Iterator[PrepareState]:
    """Only one process writes shards to `out`. Raises DataError where another one does, naming its id."""
    state = PrepareState(out)
    with contextlib.ExitStack() as stack:
        stack.callback(state.remove_if_empty)
        while True:
            state.folder.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(files.exclusive_lock(state.folder / _LOCK, str(os.getpid())))
                break
            except FileNotFoundError:
                continue  # another process finished just now and removed the folder
            except BlockingIOError as error:
                raise DataError(f"Another process (id {error}) is writing to {out}. Wait until it is done.") from None
        yield state


class PrepareState:
    """The state of a folder that is being written, under its lock."""

    def __init__(self, out: Path):
        self.out = out
        self.folder = out / STATE

    def sweep(self) -> None:
        """Remove what killed processes left half written."""
        for path in [*self.out.glob(".partial-*"), *self.folder.glob(".partial-*")]:
            if path.parent == self.folder or _PARTIAL.fullmatch(path.name):
                path.unlink(missing_ok=True)

    @property
    def settings(self) -> dict | None:
        """Settings of the writing that was begun, else None. Raises DataError where they are damaged."""
        path = self.folder / _SETTINGS
        return read_record(path) if path.exists() else None

    def begin(self, settings: dict) -> None:
        files.write_json(self.folder / _SETTINGS, settings)

    def finished(self, shard: str) -> dict | None:
        """The record of a shard that is written whole, else None, also where the record is damaged."""
        record, path = self.folder / f"{shard}.json", self.out / shard
        if not (record.exists() and path.exists()):
            return None
        with contextlib.suppress(DataError):
            summary = read_record(record)
            if summary.keys() >= _RECORD and path.stat().st_size == summary["bytes"]:
                return summary
        return None

    def finish(self, shard: str, summary: dict) -> None:
        files.write_json(self.folder / f"{shard}.json", summary)

    def shards(self) -> list[Path]:
        """The shards in the folder, of whatever origin."""
        return sorted(p for p in self.out.iterdir() if tfrecord.SHARD.fullmatch(p.name))

    def discard(self) -> None:
        """Remove all shards and records, finished or not; other files stay."""
        (self.out / tfrecord.SIDECAR).unlink(missing_ok=True)
        for shard in self.shards():
            shard.unlink()
        self.sweep()
        self.done()

    def done(self) -> None:
        """Remove the state, which nothing needs any more; the lock stays until it is released."""
        for path in self.folder.iterdir():
            if path.name != _LOCK:
                path.unlink()

    def remove_if_empty(self) -> None:
        for folder in (self.folder, self.out):
            with contextlib.suppress(OSError):
                folder.rmdir()


def read_record(path: Path) -> dict:
    """A JSON object. Raises DataError naming the file where it is damaged."""
    try:
        record = files.read_json(path)
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}). Restore it, or start over with --force.") from error
    if not isinstance(record, dict):
        raise DataError(f"{path} is damaged: it holds no JSON object. Restore it, or start over with --force.")
    return record
