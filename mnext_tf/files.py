"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import socket
import tempfile
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

_log = logging.getLogger(__name__)
# Temporary names carry their process and its host; those of earlier releases carry neither.
_TEMPORARY = re.compile(r"\.(?:.+\.)?(?:partial|old)-(?:(\d+)-([0-9a-f]{8})-)?[a-z0-9_]{8}(?:-.+)?")
_STARTED = time.time()


def _owner() -> str:
    return f"{os.getpid()}-{zlib.crc32(socket.gethostname().encode()):08x}-"


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary file path beside `path`; on success it is renamed to `path`, else removed.

    Its bytes are on the disk before it has the name, so that a power cut leaves no hollow file.
    """
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".partial-{_owner()}", suffix=f"-{path.name}", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp's 0600 is for secrets
            _sync(temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it replaces `path`, else it is removed."""
    path = Path(path)
    with _naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.partial-{_owner()}", dir=path.parent))
        try:
            yield temporary
            os.chmod(temporary, 0o777 & ~_umask())
            old = None
            if path.exists():
                old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old-{_owner()}", dir=path.parent))
                os.replace(path, old / path.name)
            try:
                os.replace(temporary, path)
            except BaseException:
                if old is not None:
                    os.replace(old / path.name, path)
                raise
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what killed processes left of `atomic_write` and `atomic_folder` in `folder`.

    A folder that had been moved away and not yet replaced is put back. What a live process writes stays.
    """
    for path in sorted(Path(folder).glob(".*")):
        match = _TEMPORARY.fullmatch(path.name)
        if not match or _lives(*match.groups(), path):
            continue
        if not path.is_dir():
            path.unlink(missing_ok=True)
            continue
        stage = path.name.partition(".old-")[0].removeprefix(".")
        old = path / stage
        if ".old-" in path.name and old.exists() and not (folder / stage).exists():
            os.replace(old, folder / stage)
            _log.warning(f"{folder / stage} is restored: a process was killed while it replaced it.")
        shutil.rmtree(path, ignore_errors=True)


def _lives(process: str | None, host: str | None, path: Path) -> bool:
    """Whether the process that writes `path` may be running; of another host's, a day is the limit."""
    if process is None:
        return False
    try:
        changed = path.stat().st_mtime
    except FileNotFoundError:  # renamed just now, by a live process
        return True
    if not _owner().endswith(f"-{host}-"):
        return time.time() - changed < 24 * 3600
    if int(process) == os.getpid():  # in a container every process may have the same id
        return changed >= _STARTED - 1
    try:
        os.kill(int(process), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # of another user
        pass
    return True


@contextlib.contextmanager
def exclusive_lock(path: Path, holder: str) -> Iterator[str]:
    """Hold the file `path` as a lock, which the system drops when this process ends, however it ends.

    Args:
      holder: written into the file, for those who are refused.

    Yields the `holder` of a process that was killed while it held the lock, else "". Raises BlockingIOError, whose
    text is the `holder`, where the lock is held; also by this process.
    """
    import fcntl

    while True:
        lock = open(path, "a+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed below; held meanwhile)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with lock:
                lock.seek(0)
                raise BlockingIOError(lock.read() or "another process") from None
        with contextlib.suppress(FileNotFoundError):  # the holder removed the file just now
            if os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):
                break
        lock.close()
    with lock:
        lock.seek(0)
        left = lock.read()
        lock.truncate(0)
        lock.write(holder)
        lock.flush()
        try:
            yield left
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock.fileno()), os.stat(path)):  # else it is another process's by now
                    path.unlink()


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """The system's errors name `path`: a full disk's names no file, others the temporary one."""
    try:
        yield
    except OSError as e:
        if e.errno is not None and (e.filename is None or ".partial-" in str(e.filename)):
            e.filename, e.filename2 = str(path), None
        raise


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def reserve_space(path: Path, size: int) -> None:
    """Write `size` zeros to `path`: for a library that crashes on a full disk, OSError comes before it starts."""
    with open(path, "wb") as f:
        for start in range(0, size, 1 << 20):
            f.write(bytes(min(1 << 20, size - start)))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value) -> None:
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path):
    """Raises ValueError for whatever is no JSON."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def write_csv(path: Path, rows: list[dict]) -> None:
    """Rows of dicts; columns in the order in which they first appear."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as f:
        writer = csv.DictWriter(f, columns)
        writer.writeheader()
        writer.writerows(rows)


def sha256(path: Path) -> str:
    """Of a file's bytes, or of a folder's file names and bytes."""
    path = Path(path)
    digest = hashlib.sha256()
    if path.is_dir():
        for file in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{sha256(file)}\n".encode())
        return digest.hexdigest()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def cached_sha256(path: Path) -> str:
    """`sha256`, computed again only where size or times of the file have changed."""
    if Path(path).is_dir():
        return sha256(path)
    s = os.stat(path)
    if time.time() - s.st_ctime < 0.1:  # another change within the clock's tick would go unseen
        return sha256(path)
    return _sha256_at(str(path), s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns)


@functools.lru_cache(maxsize=4096)
def _sha256_at(path: str, *state: int) -> str:
    return sha256(Path(path))


def sha256_of(value) -> str:
    """Of a value that JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(plain(value), sort_keys=True).encode()).hexdigest()


def plain(value):
    """Dataclasses, tuples, paths and NumPy scalars as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, Path):
        return value.as_posix()
    if hasattr(value, "item") and getattr(value, "shape", None) == ():
        return value.item()
    return value
