"""The index of a TensorFlow checkpoint, parsed and checked here: TensorFlow ends the process at an invalid one."""

from __future__ import annotations

import glob
import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mnext_tf.checkpoints.limits import Budget, damaged
from mnext_tf.errors import CheckpointError

# A checkpoint with optimizer slots of the largest network here has 1,400 variables, and an index of 0.2 MB.
_MAX_INDEX_BYTES, _MAX_VARIABLES, _MAX_DIMENSIONS = 1 << 24, 100_000, 8
END = bytes.fromhex("57fb808b247547db")  # the last 8 bytes of every sorted table
_FOOTER = 48  # bytes: two handles, padding, END


class Entry(NamedTuple):
    dtype: int  # of tensorflow.DataType
    shape: tuple[int, ...]
    shard: int = 0  # of the data files, with the position in it, in bytes
    offset: int = 0


def read_index(path: Path) -> dict[str, Entry]:
    """Variable name -> Entry of an `.index` file.

    Raises CheckpointError for partitioned variables and for what TensorFlow would end the process at. Damaged bytes
    may raise anything; see `limits.report_damage`.
    """
    from tensorflow.core.protobuf import tensor_bundle_pb2

    if path.stat().st_size > _MAX_INDEX_BYTES:
        raise damaged(path, f"an index of more than {_MAX_INDEX_BYTES >> 20} MiB")
    data = path.read_bytes()
    if len(data) < _FOOTER or not data.endswith(END):
        raise damaged(path, "it does not end like an index")
    _, _, at = _handle(data, len(data) - _FOOTER)  # of a block without entries
    start, size, _ = _handle(data, at)
    found: dict[str, Entry] = {}
    entries = ((k, v) for _, handle in _block(data, start, size) for k, v in _block(data, *_handle(handle, 0)[:2]))
    for count, (key, value) in enumerate(entries):
        if count > _MAX_VARIABLES:
            raise damaged(path, f"more than {_MAX_VARIABLES:,} variables")
        if key:  # the empty one is the header
            found[key.decode()] = _entry(path, key.decode(), tensor_bundle_pb2.BundleEntryProto.FromString(value))
        else:
            tensor_bundle_pb2.BundleHeaderProto.FromString(value)
    return found


def check_size(name: str, shape: tuple[int, ...], itemsize: int, budget: Budget) -> None:
    """Count an array before it is read. CheckpointError if its shape is invalid or the total exceeds the limit."""
    if len(shape) > _MAX_DIMENSIONS or any(side < 0 for side in shape):
        raise damaged(budget.path, f"{name} has the shape {list(shape)[:20]}")
    budget.take(math.prod(max(1, side) for side in shape) * itemsize)  # TensorFlow multiplies from left to right


def _entry(path: Path, name: str, proto) -> Entry:
    from tensorflow.core.framework import types_pb2

    if proto.slices:
        raise CheckpointError(f"{path}: {name} is a partitioned variable. Save it without a partitioner.")
    shape = tuple(dim.size for dim in proto.shape.dim)
    check_size(name, shape, 1, Budget(path))
    known = proto.dtype in types_pb2.DataType.values() and 0 < proto.dtype < types_pb2.DT_FLOAT_REF
    if proto.shape.unknown_rank or not known:
        raise damaged(path, f"{name} has no known shape or type")
    return Entry(proto.dtype, shape, proto.shard_id, proto.offset)


def read_text(prefix: Path, entry: Entry) -> bytes:
    """The only text of a variable; TensorFlow does not check the length in the file, and crashes at a wrong one."""
    data = next(prefix.parent.glob(f"{glob.escape(prefix.name)}.data-{entry.shard:05d}-of-*"))
    with open(data, "rb") as f:
        f.seek(entry.offset)
        size, start = _varint(f.read(10), 0)
        if entry.shape or size > data.stat().st_size:
            raise damaged(prefix, "a text is longer than its file")
        f.seek(entry.offset + start + 4)  # after the checksum of the length
        return f.read(size)


def _block(data: bytes, start: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Key and value of every entry of a block. A key is given by what differs from the one before it."""
    block = data[start : start + size]
    if len(block) != size or data[start + size] != 0:  # the byte after it is the kind of compression
        raise ValueError("a block of the index is cut off or compressed")
    (restarts,) = struct.unpack_from("<I", block, size - 4)
    at, end, key = 0, size - 4 * (restarts + 1), b""
    if end < 0:
        raise ValueError("a block of the index has no entries")
    while at < end:
        shared, at = _varint(block, at)
        unshared, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + unshared]
        at += unshared + length
        if at > end or len(key) != shared + unshared or len(key) > 4096:
            raise ValueError("an entry of the index is longer than its block")
        yield key, block[at - length : at]


def _handle(data: bytes, at: int) -> tuple[int, int, int]:
    """(start of a block, its size, where the next handle is)."""
    start, at = _varint(data, at)
    size, at = _varint(data, at)
    return start, size, at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """(a number of 7 bits per byte from `at`, where it ends)."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
    raise ValueError("a number of more than 10 bytes")
