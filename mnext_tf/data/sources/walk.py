"""The photographs below a folder, without a system call for each and without going round in circles."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_OF_THE_FILE = {
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG
}  # fmt: skip

EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def is_of_the_file(error: OSError) -> bool:
    """Whether the one file is at fault, lastingly; else the disk, the network or the process is (EIO, ESTALE, ...)."""
    return error.errno in _OF_THE_FILE


class Found:
    """What a search came across besides photographs, and the folders it has been in."""

    def __init__(self, root: Path):
        self.ignored = 0
        self.skipped: list[tuple[str, str]] = []
        self.above = {_identity(root)}


def walk(root: Path, folder: str, found: Found) -> list[str]:
    """Paths, relative to `root` and sorted, of the photographs below `root`/`folder`, however deep.

    A folder is entered once, so that links in a circle end. Hidden files and other extensions go to
    `found.ignored`; broken links, circles, pipes and folders without permission to `found.skipped`.
    Raises OSError where reading fails otherwise: what was not seen must not count as not there.
    """
    from tqdm import tqdm

    names: list[str] = []
    visited = {*found.above, _identity(Path(root, folder))}
    waiting = [folder]
    with tqdm(desc=f"listing {path_text(folder) or root}", unit="image", disable=None, leave=False) as bar:
        while waiting:
            current = waiting.pop()
            prefix = f"{current}/" if current else ""
            before = len(names)
            try:
                with os.scandir(os.path.join(root, current)) as entries:
                    for entry in entries:
                        _sort_in(entry, prefix + entry.name, names, waiting, visited, found)
            except OSError as error:
                if not is_of_the_file(error) or error.errno == errno.ENOENT:  # it was there a moment ago
                    raise
                found.skipped.append((path_text(current), error.strerror))
            bar.update(len(names) - before)
    names.sort()
    return names


def child_folders(root: Path, folder: str, found: Found) -> list[str]:
    """Names of the visible folders in `root`/`folder`; what else is there is ignored, what leads back up skipped."""
    here = Path(root, folder)
    found.above.add(_identity(here))
    names = []
    with os.scandir(here) as entries:
        for entry in entries:
            try:
                if entry.name[0] == "." or not entry.is_dir():
                    found.ignored += 1
                elif _identity(entry.path) in found.above:
                    found.skipped.append((path_text(entry.name), "a link back to a folder above"))
                else:
                    names.append(entry.name)
            except OSError as error:  # a link to itself
                if not is_of_the_file(error):
                    raise
                found.skipped.append((path_text(entry.name), error.strerror))
    return names


def path_text(path) -> str:
    """A path as text that JSON can hold, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _sort_in(entry: os.DirEntry, name: str, names, waiting, visited, found: Found) -> None:
    try:
        if entry.name[0] == ".":
            found.ignored += 1
        elif entry.is_dir():
            identity = _identity(entry.path)
            if identity in visited:
                found.skipped.append((path_text(name), "a link to a folder that is listed already"))
            else:
                visited.add(identity)
                waiting.append(name)
        elif os.path.splitext(entry.name)[1].lower() not in EXTENSIONS:
            found.ignored += 1
        elif entry.is_file():
            names.append(name)
        else:
            reason = os.strerror(errno.ENOENT) if entry.is_symlink() else "not a regular file"
            found.skipped.append((path_text(name), reason))
    except OSError as error:  # for example a link to itself
        if not is_of_the_file(error):
            raise
        found.skipped.append((path_text(name), error.strerror))


def _identity(path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino
