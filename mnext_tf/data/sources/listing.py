"""The record of listed images, and the division of images into splits."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mnext_tf.data.class_matching import check_class_names
from mnext_tf.data.objects import Annotation
from mnext_tf.text import path_text

SPLITS = ("train", "validation")
UNLABELLED = ("unlabelled",)  # spelled so in data sets that are prepared already
TREE = "train/<class>/<image> and val/<class>/<image> (or validation, valid, test)"
LAYOUTS = (
    f"{TREE}; <class>/<image>, from which a validation split is taken; train_list.txt and val_list.txt with lines "
    "`path label`; images beside labels.csv (header file,class_index); ILSVRC2012_img_train.tar and "
    "ILSVRC2012_img_val.tar; images alone, without labels; or, for detection, JPEGImages/ and Annotations/ (VOC), XML "
    "files beside the images (labelImg), images and annotations/*.json (COCO), or image_2/ and label_2/ (KITTI)"
)


class TarMember(NamedTuple):
    """Where in an uncompressed archive a file's bytes are."""

    archive: str
    offset: int
    size: int


class ListedImage(NamedTuple):
    """`name` is the path below the listing's root, or what stands for it in an archive; label counts from 0.

    annotation: the objects in it, of a detection data set, whose images have no label.
    """

    name: str
    label: int | None
    member: TarMember | None = None
    annotation: Annotation | None = None


@dataclass(frozen=True)
class ListingOptions:
    """Arguments of `list_images` that a layout takes into account."""

    class_names: Sequence[str] | None = None
    split: str | None = None
    label_offset: int | None = None
    val_labels: str | Path | None = None

    @property
    def wanted(self) -> tuple[str, ...]:
        return SPLITS if self.split is None else (self.split,)


@dataclass(frozen=True)
class ImageListing:
    """The images of a folder. None has been read yet: a file may turn out to be damaged or missing.

    class_names: the classes in the order of the labels; UNLABELLED where there are no labels.
    splits: the images of "train" and "validation", or of the one split that was asked for.
    hash_split: the data has no splits of its own; `splits` come from a hash of the names.
    ignored: number of files that are not images. skipped: (name, reason) of what cannot be used.
    mislabelled: (name, reason) of images whose name contradicts their folder; the folder counts.
    notes: what was concluded from the data, for the log. task: "classification" or "detection"; metrics: of the latter,
    the benchmark whose layout it is: "coco", "voc07", "voc", or "kitti".

    Raises DataError for a class name that has a line break or another control character.
    """

    root: Path
    class_names: tuple[str, ...]
    splits: dict[str, list[ListedImage]]
    labelled: bool = True
    hash_split: bool = False
    ignored: int = 0
    skipped: tuple[tuple[str, str], ...] = ()
    mislabelled: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    task: str = "classification"
    metrics: str = ""

    def __post_init__(self):
        check_class_names(self.class_names, self.root)

    @property
    def name(self) -> str:
        return path_text(self.root.resolve().name)

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
        split: [image for image, out in zip(images, held_out, strict=True) if out == (split == "validation")]
        for split in SPLITS
    }


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(os.fsencode(name), digest_size=8).digest(), "big")
