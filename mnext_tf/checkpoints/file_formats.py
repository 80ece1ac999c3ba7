"""Reads checkpoint files of several frameworks as NumPy arrays, without executing anything in them."""

from __future__ import annotations

import re
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnext_tf.checkpoints.limits import Budget, damaged, report_damage
from mnext_tf.checkpoints.restricted_unpickler import Forbidden, load, to_arrays
from mnext_tf.checkpoints.tensorflow_files import files_of, find_prefix, read_frozen_graph, read_variables
from mnext_tf.checkpoints.tensorflow_index import END
from mnext_tf.errors import CheckpointError

FORMATS = (
    "PyTorch (.pth, .pt, .pth.tar, .bin), safetensors, Paddle (.pdparams), Keras (.keras, .h5, .weights.h5), and "
    "TensorFlow (checkpoints, and frozen graphs .pb)"
)
# A file may contain several state dicts; the first of these that it has is used.
ENTRIES = ("state_dict", "model", "net", "state_dict_ema", "model_ema", "ema_state_dict")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile

_PADDLE_NAME_TABLE = "StructuredToParameterName@@"  # Paddle's second names of the same tensors
_TORCH_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number, pickled


@dataclass(frozen=True)
class Checkpoint:
    """The contents of a file. `tensors` are in the order of the network if the file preserves it."""

    path: Path  # of a checkpoint of TensorFlow its prefix, which is no file
    format: str  # "PyTorch", "safetensors", "Paddle", "Keras" or "TensorFlow"
    tensors: dict[str, np.ndarray] = field(repr=False)
    entry: str | None = None  # the key of the state dict that was used, if the file nests one
    input_size: int | None = None  # if the file contains it
    notes: tuple[str, ...] = ()
    parts: tuple[Path, ...] = ()  # its files, if it has several

    @property
    def files(self) -> tuple[Path, ...]:
        return self.parts or (self.path,)

    @property
    def by_layers(self) -> bool:
        """Whether tensors are named "layer/place", as `keras_targets` needs them."""
        last = {name.rpartition("/")[2] for name in self.tensors}
        return self.format == "Keras" or (self.format == "TensorFlow" and all(map(str.isdigit, last)))


def read_checkpoint(path: str | Path, entry: str | None = None) -> Checkpoint:
    """The tensors in `path`; the format is detected from the content, not the file name.

    Args:
      path: the file; of a checkpoint of TensorFlow its prefix, any of its files, or the folder with them.
      entry: key of the state dict to use from a file that contains several, such as "state_dict_ema".

    Raises CheckpointError if the file is missing, not a checkpoint, damaged, or tries to execute code.
    """
    path = Path(path)
    with report_damage(path):
        return _read(path, entry)


def _read(path: Path, entry: str | None) -> Checkpoint:
    if prefix := find_prefix(path):
        return _read_tensorflow(prefix, entry)
    kind = _kind(path)
    if kind in ("Keras", "TensorFlow"):
        if entry:
            raise CheckpointError(f"{path} is a {kind} file, which has no entries; remove entry={entry!r}.")
        notes = []
        if kind == "Keras":
            from mnext_tf.checkpoints.keras_files import read_keras

            tensors, input_size = read_keras(path)
        else:
            tensors, input_size, notes = read_frozen_graph(path)
        return Checkpoint(path, kind, tensors, input_size=input_size, notes=tuple(notes))
    if kind == "safetensors":
        raw = _read_safetensors(path)
    elif kind == "Paddle":
        raw = read_paddle(path)
    else:
        from mnext_tf.checkpoints.torch_files import read_torch

        raw = read_torch(path)
    tensors, taken, notes = _state_dict(path, raw, entry)
    return Checkpoint(path, kind, tensors, entry=taken, notes=notes)


def _read_tensorflow(prefix: Path, entry: str | None) -> Checkpoint:
    files, budget = files_of(prefix), Budget(prefix)
    for file in files:
        _head(file, budget)
    raw, notes = read_variables(prefix, nested=entry is not None)
    tensors, taken, more = _state_dict(prefix, raw, entry)
    return Checkpoint(prefix, "TensorFlow", tensors, entry=taken, notes=(*notes[taken], *more), parts=files)


def _head(path: Path, budget: Budget) -> bytes:
    """The first bytes of a file. CheckpointError if it cannot be read, is too large, or no download of a checkpoint."""
    if path.exists() and not path.is_file():
        raise CheckpointError(f"{path} is not a regular file but a pipe, socket, or device.")
    try:
        with open(path, "rb") as f:
            head = f.read(512)
    except FileNotFoundError:
        raise CheckpointError(f"{path} does not exist. Check the path; nothing is downloaded.") from None
    except OSError as e:
        raise CheckpointError(f"{path} cannot be read: {e.strerror}.") from e
    budget.take(path.stat().st_size)
    if not head:
        raise CheckpointError(f"{path} is empty. Download it again.")
    text = head.lstrip().lower()
    if text.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
        raise CheckpointError(
            f"{path} is a web page, not a checkpoint: the download returned a login, confirmation, or error page. "
            "Open the address in a browser and download the file itself."
        )
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a git-lfs pointer, not the file itself. Run git lfs pull in its repository.")
    return head


def _kind(path: Path) -> str:
    head = _head(path, Budget(path))
    if head.startswith(b"\x1f\x8b") or head[257:262] == b"ustar":
        what = "compressed with gzip" if head.startswith(b"\x1f\x8b") else "a tar archive"
        raise CheckpointError(f"{path} is {what}. Unpack it and give the checkpoint inside.")
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head.startswith(b"\x89HDF\r\n\x1a\n"):
        return "Keras"
    if head.startswith(_TORCH_LEGACY):
        return "PyTorch"
    if head[0] == 0x80 and head[1] in (2, 3, 4, 5):
        return "Paddle"
    if len(head) > 9 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] < 1 << 27:
        return "safetensors"
    if re.match(rb"\n[\x80-\xff]*[\x00-\x7f]\n", head):  # a message whose first field is one that begins with a text
        return "TensorFlow"
    if head.startswith(b"\x08\x01\x12"):
        raise CheckpointError(f"{path} is the graph of a SavedModel. Give variables/variables.index in its folder.")
    with open(path, "rb") as f:
        f.seek(max(0, path.stat().st_size - len(END)))
        if f.read() == END:
            raise CheckpointError(
                f"{path} is the index of a TensorFlow checkpoint under another name, or a checkpoint of before 2017. "
                "Rename an index back to NAME.index, beside NAME.data-00000-of-00001."
            )
    raise CheckpointError(f"{path} is not a checkpoint in a supported format. Supported formats: {FORMATS}.")


def _kind_of_zip(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            Budget(path).take(sum(member.file_size for member in archive.infolist()))
            broken = archive.testzip()  # PyTorch itself does not verify checksums
    except zipfile.BadZipFile as e:
        raise damaged(path, e) from None
    if broken:
        raise CheckpointError(f"{path} is damaged: the checksum of {broken} in it is wrong. Download it again.")
    if {"config.json", "model.weights.h5"} <= names:
        return "Keras"
    if any(n.endswith("/constants.pkl") for n in names):
        raise CheckpointError(
            f"{path} is a TorchScript archive, which contains code. Save only the weights: "
            "torch.save(torch.jit.load(path).state_dict(), 'weights.pth')."
        )
    if any(n.endswith("data.pkl") for n in names):
        return "PyTorch"
    raise CheckpointError(
        f"{path} is a zip archive written by neither PyTorch nor Keras. Supported formats: {FORMATS}."
    )


def read_paddle(path: Path) -> dict:
    """{name: array} of a pickle. Raises CheckpointError, before calling anything, for a pickle that requests more.

    A damaged file may raise anything; see `limits.report_damage`.
    """
    try:
        with open(path, "rb") as f:
            content = load(f)
    except Forbidden as e:
        raise CheckpointError(
            f"{path} tries to execute code: unpickling it would call {e}. Nothing was executed. Weights need no such "
            "call; do not open this file with other programs either."
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is a pickle of a {type(content).__name__}, not of named arrays.")
    content.pop(_PADDLE_NAME_TABLE, None)
    return to_arrays(content)


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    import safetensors

    entries = sorted(safetensors.deserialize(path.read_bytes()))  # deserialize returns them in random order
    return {name: _safetensors_array(path, name, entry) for name, entry in entries}


def _safetensors_array(path: Path, name: str, entry: dict) -> np.ndarray:
    dtype, data, shape = entry["dtype"], entry["data"], entry["shape"]
    if dtype == "BF16":  # the upper half of a float32
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").reshape(shape)
    known = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
    if dtype not in known:
        raise CheckpointError(f"{path}: {name} contains {dtype} values; weights are F32, F16, BF16 or F64.")
    array = np.frombuffer(data, known[dtype]).reshape(shape)
    return array.astype(np.float32) if dtype == "F16" else array


def _state_dict(
    path: Path, raw: object, entry: str | None
) -> tuple[dict[str, np.ndarray], str | None, tuple[str, ...]]:
    """(tensors without prefixes, the entry used, notes) of the loaded object `raw`."""
    if not isinstance(raw, Mapping):
        raise CheckpointError(f"{path} contains a {type(raw).__name__}, not a state dict. Save model.state_dict().")
    found = [key for key in raw if isinstance(raw[key], Mapping) and _tensors(raw[key])]
    if entry is not None and entry not in found:
        has = f"has {', '.join(map(str, found))}" if found else "nests no state dicts"
        raise CheckpointError(f"{path} has no entry {entry!r}; it {has}.")
    notes = []
    if entry is None:
        entry = next((key for key in ENTRIES if key in found), None)
        if others := [key for key in found if key != entry and key in ENTRIES]:
            notes.append(f"used the entry {entry!r}; the file also has {', '.join(others)} (select one with --entry)")
    if entry is None and not _tensors(raw):
        inside = ", ".join(map(str, list(raw)[:8])) or "nothing"
        choices = f" Select one with --entry: {', '.join(map(str, found))}." if found else ""
        raise CheckpointError(f"{path} contains no state dict under a common key; it contains: {inside}.{choices}")
    tensors = {}
    for name, value in _tensors(raw if entry is None else raw[entry]).items():
        while name.startswith(PREFIXES):
            name = name.removeprefix(PREFIXES[0]).removeprefix(PREFIXES[1])
        if name in tensors:
            raise CheckpointError(f"{path} contains {name} twice, with and without the prefix {' or '.join(PREFIXES)}.")
        if name != "n_averaged":  # a counter of torch.optim.swa_utils
            tensors[name] = value
    return tensors, entry, tuple(notes)


def _tensors(mapping: Mapping) -> dict[str, np.ndarray]:
    return {str(key): value for key, value in mapping.items() if isinstance(value, np.ndarray)}
