"""Checkpoints: weights, optimizer, step and history in one file, written whole or not at all."""

from __future__ import annotations

import json
import logging
import zipfile
from pathlib import Path

import numpy as np

from mnext_tf.errors import CheckpointError
from mnext_tf.files import atomic_write

_log = logging.getLogger(__name__)


def save_checkpoint(folder: Path, step: int, variables: dict[str, np.ndarray], state: dict, *, keep: int = 2) -> Path:
    """Write `folder/step_<step>.npz` and delete all but the newest `keep`.

    Args:
      variables: name -> array.
      state: what else resuming needs; plain JSON values.
      keep: with two or more there is one to fall back on where the newest is damaged.
    """
    path = Path(folder) / f"step_{step:08d}.npz"
    text = np.frombuffer(json.dumps(state).encode(), np.uint8)
    with atomic_write(path) as temporary, open(temporary, "wb") as f:
        np.savez(f, __state__=text, **variables)
    for old in list_checkpoints(folder)[:-keep]:
        old.unlink(missing_ok=True)
    return path


def list_checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(Path(folder).glob("step_*.npz"))


def load_checkpoint(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """(variables, state) of one file. Raises CheckpointError where it is damaged."""
    try:
        with np.load(path, allow_pickle=False) as data:
            variables = {name: data[name] for name in data.files}  # reading checks each member's CRC
        state = json.loads(variables.pop("__state__").tobytes())
    except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile) as e:
        raise CheckpointError(f"{path} is damaged ({e}).") from e
    return variables, state


def load_latest_checkpoint(folder: Path) -> tuple[dict, dict] | None:
    """The newest checkpoint that can be read; None where there is none at all.

    A damaged one is passed over with a warning. Raises CheckpointError where all are damaged.
    """
    paths = list_checkpoints(folder)
    errors = []
    for path in reversed(paths):
        try:
            loaded = load_checkpoint(path)
        except CheckpointError as e:
            errors.append(str(e))
            continue
        for error in errors:
            _log.warning(f"{error} Resuming from {path.name} instead.")
        return loaded
    if errors:
        raise CheckpointError(
            f"No checkpoint in {folder} can be read: {' '.join(errors)} Delete that folder to train this run anew."
        )
    return None
