"""Bounds on what a file may ask for, and one error for all the ways in which a damaged file fails."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnext_tf.checkpoints.restricted_unpickler import NotNumeric
from mnext_tf.errors import CheckpointError, MnextError

LARGEST = 4 << 30  # bytes of one file's tensors; the largest network here has 0.04 GB


class Budget:
    """Counts bytes that are about to be read; raises CheckpointError beyond LARGEST in all."""

    def __init__(self, path: Path):
        self.path, self.taken = path, 0

    def take(self, count: int) -> None:
        self.taken += count
        if self.taken > LARGEST:
            raise CheckpointError(
                f"{self.path} says that it holds {self.taken / 1e9:.3g} GB or more; at most {LARGEST / 1e9:.2g} GB "
                "are read. It is damaged, or no checkpoint of a network here. Download or copy it again."
            )


def check_zip(path: Path, archive: zipfile.ZipFile) -> None:
    """CheckpointError where the members of an archive unpack to more than LARGEST."""
    Budget(path).take(sum(member.file_size for member in archive.infolist()))


def cut_short(path: Path, why: object = "") -> CheckpointError:
    if isinstance(why, Exception):
        why = f"{type(why).__name__}: {str(why).strip().partition(chr(10))[0][:200]}".removesuffix(": ")
    return CheckpointError(f"{path} is cut short or damaged{f' ({why})' if why else ''}. Download or copy it again.")


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """CheckpointError for whatever a reader raises. Only for code that does nothing but read.

    The readers of these formats have no error type of their own: damaged bytes give anything from struct.error
    to SystemError.
    """
    try:
        yield
    except (MnextError, ImportError):
        raise
    except NotNumeric as e:
        raise CheckpointError(
            f"{path} holds {e}, not of numbers of 1 to 8 bytes. Take a file of plain weights."
        ) from None
    except (MemoryError, OverflowError) as e:
        raise CheckpointError(
            f"{path} asks for more memory than there is; it is cut short or damaged. Download or copy it again."
        ) from e
    except Exception as e:
        raise cut_short(path, e) from e
