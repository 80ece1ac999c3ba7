"""Search for images below a folder, without a system call for each and without following links in circles."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from mnext_tf.text import path_text

EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_PERMANENT = {
    errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG
}  # fmt: skip


def is_file_error(error: OSError) -> bool:
    """Whether this one file is unreadable for good; else the disk, the network or the process is at fault."""
    return error.errno in _PERMANENT


def is_image_name(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in EXTENSIONS


class ImageSearch:
    """Searches below `root`, and remembers what it passed over.

    ignored: number of hidden files, other extensions and files where class folders are. skipped: (name, reason) of
    broken links, circles, pipes and folders without permission.
    """

    def __init__(self, root: Path):
        self.root = root
        self.ignored = 0
        self.skipped: list[tuple[str, str]] = []
        self._above = {_identity(root)}

    def images(self, folder: str = "") -> list[str]:
        """Paths, relative to the root and sorted, of the images below `folder`, however deep.

        A folder is entered once, so that circles of links end. Raises OSError where reading fails for
        a reason that may pass: what was not seen must not count as absent.
        """
        from tqdm import tqdm

        names: list[str] = []
        visited = {*self._above, _identity(self.root / folder)}
        waiting = [folder]
        with tqdm(desc=f"listing {path_text(folder or self.root)}", unit="image", disable=None, leave=False) as bar:
            while waiting:
                current = waiting.pop()
                prefix = f"{current}/" if current else ""
                before = len(names)
                try:
                    with os.scandir(os.path.join(self.root, current)) as entries:
                        for entry in entries:
                            self._add(entry, prefix + entry.name, names, waiting, visited)
                except OSError as error:
                    if not is_file_error(error) or error.errno == errno.ENOENT:  # it was there a moment ago
                        raise
                    self.skipped.append((path_text(current), error.strerror))
                bar.update(len(names) - before)
        names.sort()
        return names

    def class_folders(self, folder: str = "") -> list[str]:
        """Sorted names of the visible folders in `folder`."""
        here = self.root / folder
        self._above.add(_identity(here))
        names = []
        with os.scandir(here) as entries:
            for entry in entries:
                try:
                    if entry.name[0] == "." or not entry.is_dir():
                        self.ignored += 1
                    elif _identity(entry.path) in self._above:
                        self.skipped.append((path_text(entry.name), "a link back to a folder above"))
                    else:
                        names.append(entry.name)
                except OSError as error:
                    self._skip(entry.name, error)
        return sorted(names)

    def _add(self, entry: os.DirEntry, name: str, names: list[str], waiting: list[str], visited: set) -> None:
        try:
            if entry.name[0] == ".":
                self.ignored += 1
            elif entry.is_dir():
                identity = _identity(entry.path)
                if identity in visited:
                    self.skipped.append((path_text(name), "a link to a folder that is listed already"))
                else:
                    visited.add(identity)
                    waiting.append(name)
            elif not is_image_name(entry.name):
                self.ignored += 1
            elif entry.is_file():
                names.append(name)
            else:
                reason = os.strerror(errno.ENOENT) if entry.is_symlink() else "not a regular file"
                self.skipped.append((path_text(name), reason))
        except OSError as error:
            self._skip(name, error)

    def _skip(self, name: str, error: OSError) -> None:
        """A link to itself, for example."""
        if not is_file_error(error):
            raise error
        self.skipped.append((path_text(name), error.strerror))


def _identity(path) -> tuple[int, int]:
    stat = os.stat(path)
    return stat.st_dev, stat.st_ino
