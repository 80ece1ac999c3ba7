"""Limits on what a file may request, and one error for every way in which a damaged file fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mnext_tf.checkpoints.restricted_unpickler import NotNumeric
from mnext_tf.errors import CheckpointError, MnextError

MAX_BYTES = 4 << 30  # of all tensors in a file; the largest network here has 0.04 GB


class Budget:
    """Counts the bytes about to be read; raises CheckpointError once the total exceeds MAX_BYTES."""

    def __init__(self, path: Path):
        self.path, self.total = path, 0

    def take(self, count: int) -> None:
        self.total += count
        if self.total > MAX_BYTES:
            raise CheckpointError(
                f"{self.path} declares {self.total / 1e9:.3g} GB or more; the limit is {MAX_BYTES / 1e9:.2g} GB. It is "
                "damaged, or not a checkpoint of a supported network. Download or copy it again."
            )


def damaged(path: Path, why: object = "") -> CheckpointError:
    if isinstance(why, Exception):
        why = f"{type(why).__name__}: {str(why).strip().partition(chr(10))[0][:200]}".removesuffix(": ")
    return CheckpointError(f"{path} is truncated or damaged{f' ({why})' if why else ''}. Download or copy it again.")


@contextmanager
def report_damage(path: Path) -> Iterator[None]:
    """Turn any exception of a reader into CheckpointError. Only for code that does nothing but read.

    The readers of these formats have no exception type of their own: damaged bytes raise anything from struct.error
    to SystemError.
    """
    try:
        yield
    except (MnextError, ImportError):
        raise
    except NotNumeric as e:
        raise CheckpointError(
            f"{path} contains {e}, not of numbers of 1 to 8 bytes. Use a file that contains only weights."
        ) from None
    except (MemoryError, OverflowError) as e:
        raise CheckpointError(
            f"{path} requests more memory than is available; it is truncated or damaged. Download or copy it again."
        ) from e
    except Exception as e:
        raise damaged(path, e) from e
