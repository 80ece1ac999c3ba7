"""The plan of which images go into which shard: the same on every machine."""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass

from mnext_tf.data.sources.file_walk import is_file_error
from mnext_tf.data.sources.listing import ImageListing, ListedImage
from mnext_tf.errors import DataError
from mnext_tf.text import path_text

_MAX_SHARDS = 99_999  # their names have five digits


@dataclass(frozen=True)
class Shard:
    """The content of one file: images of one split, in this order, with their sizes as measured."""

    name: str
    split: str
    images: list[ListedImage]
    sizes: list[int]


@dataclass(frozen=True)
class Measured:
    """Sizes in bytes of the listed files (-1: not there), and digests of the whole listing.

    source: of names, labels and sizes; snapshot: of the files' modification times too.
    """

    sizes: dict[str, list[int]]
    source: str
    snapshot: str


def measure(listing: ImageListing) -> Measured:
    """Sizes and digests of the listed files, without reading them.

    Raises DataError where most are empty or missing, and where the disk fails.
    """
    from tqdm import tqdm

    source = hashlib.sha256(repr((listing.class_names, listing.labelled)).encode())
    snapshot = hashlib.sha256()
    sizes: dict[str, list[int]] = {}
    root = os.fspath(listing.root)
    with tqdm(total=len(listing.images), desc="measuring", unit="image", disable=None, leave=False) as bar:
        for split, images in listing.splits.items():
            sizes[split] = []
            for image in images:
                path = os.path.join(root, image.name)
                size, changed = (image.member.size, 0) if image.member else _size_and_time(path)
                sizes[split].append(size)
                source.update(f"{split}\0{image.label}\0{size}\0".encode() + os.fsencode(image.name) + b"\0")
                if image.annotation is not None:
                    source.update(repr(image.annotation[1:]).encode() + image.annotation.rows.astype("<f8").tobytes())
                snapshot.update(changed.to_bytes(8, "big", signed=True))
                bar.update()
    archives = sorted({image.member.archive for image in listing.images if image.member})
    snapshot.update(repr([_size_and_time(archive) for archive in archives]).encode() + source.digest())
    flat = [size for split in sizes.values() for size in split]
    if flat and 2 * (bad := flat.count(0) + flat.count(-1)) > len(flat):
        first = next(image for image, size in zip(listing.images, flat, strict=True) if size <= 0)
        raise DataError(
            f"{bad} of the {len(flat)} images in {listing.root} are empty ({flat.count(0)}) or missing "
            f"({flat.count(-1)}), {path_text(first.name)} for example. Was the copy interrupted?"
        )
    return Measured(sizes, source.hexdigest(), snapshot.hexdigest())


def plan(listing: ImageListing, measured: Measured, shard_bytes: int, seed: int) -> list[Shard]:
    """The shards of all splits: shuffled images, about `shard_bytes` in each."""
    shards = []
    for split, images in listing.splits.items():
        sizes = measured.sizes[split]
        order = list(range(len(images)))
        random.Random(f"{seed} {split}").shuffle(order)
        target = max(shard_bytes, sum(sizes) // _MAX_SHARDS + 1)
        parts: list[list[int]] = [[]]
        held = 0
        for i in order:
            if held >= target:
                parts.append([])
                held = 0
            parts[-1].append(i)
            held += max(0, sizes[i])
        shards += [
            Shard(f"{split}-{k:05d}-of-{len(parts):05d}", split, [images[i] for i in part], [sizes[i] for i in part])
            for k, part in enumerate(parts)
        ]
    return shards


def _size_and_time(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)
    except OSError as error:
        if not is_file_error(error):
            raise DataError(f"Reading {path_text(path)} failed: {error.strerror}. Fix that and start again.") from error
        return -1, 0  # a missing file; reading it gives the reason
    except ValueError:  # a name with a zero byte
        return -1, 0
    return stat.st_size, stat.st_mtime_ns
