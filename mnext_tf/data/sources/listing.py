"""What a listing of images holds, and how images are divided into splits."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

SPLITS = ("train", "validation")

UNLABELLED = ("unlabelled",)

TREE = "train/<class>/<photograph> and val/<class>/<photograph>"
LAYOUTS = (
    f"{TREE}; <class>/<photograph>, from which a validation split is taken; train_list.txt and val_list.txt with lines "
    "`path label`; photographs beside labels.csv (header file,class_index); ILSVRC2012_img_train.tar and "
    "ILSVRC2012_img_val.tar; or photographs alone, without labels"
)


class TarMember(NamedTuple):
    """Where in an uncompressed archive a file's bytes are."""

    archive: str
    offset: int
    size: int


class ListedImage(NamedTuple):
    """`name` is the path below the listing's root, or what stands for it in an archive; label counts from 0."""

    name: str
    label: int | None
    member: TarMember | None = None


@dataclass(frozen=True)
class ImageListing:
    """What a folder holds. Nothing has been read yet: a file may turn out to be damaged or missing.

    class_names: the classes in the order of the labels; ("unlabelled",) where there are no labels.
    splits: the images of "train" and "validation", or of the one split that was asked for.
    carved: the data has no splits of its own; `splits` come from a hash of the names.
    ignored: files that are no photographs. skipped: (name, reason) of what cannot be used.
    mislabelled: (name, reason) of images whose name contradicts their folder; the folder counts.
    notes: what was concluded from the data, for the log.
    """

    name: str
    root: Path
    class_names: tuple[str, ...]
    splits: dict[str, list[ListedImage]]
    labelled: bool = True
    carved: bool = False
    ignored: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    mislabelled: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> list[ListedImage]:
        """Those of all splits."""
        return [image for images in self.splits.values() for image in images]

    def class_name(self, image: ListedImage) -> str:
        return self.class_names[image.label or 0]


def split_by_hash(images: list[ListedImage], share: float) -> dict[str, list[ListedImage]]:
    """`share` of the images to validation, by a hash of their names.

    Every class keeps a training image, unless no class has two: then the hash alone decides. Validation
    has at least one of two images.
    """
    limit = int(share * 2**64)
    hashes = [_hash(image.name) for image in images]
    held_out = [h < limit for h in hashes]
    counts = Counter(image.label for image in images)
    spare = [i for i, image in enumerate(images) if counts[image.label] > 1]
    if spare:
        kept = Counter(image.label for image, out in zip(images, held_out, strict=True) if not out)
        last = {}  # per class without a training image: the one that would leave validation first
        for i, image in enumerate(images):
            if not kept[image.label] and (image.label not in last or hashes[i] > hashes[last[image.label]]):
                last[image.label] = i
        for i in last.values():
            held_out[i] = False
    if len(images) > 1 and not any(held_out):
        held_out[min(spare or range(len(images)), key=hashes.__getitem__)] = True
    return {
        "train": [image for image, out in zip(images, held_out, strict=True) if not out],
        "validation": [image for image, out in zip(images, held_out, strict=True) if out],
    }


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=8).digest(), "big")
