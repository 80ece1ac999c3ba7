"""Which photographs a folder holds, with their labels and splits, in any of the layouts that are taken.

Nothing is read but folders, lists and the headers of archives: a million files take seconds.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from mnext_tf.data import classes
from mnext_tf.data.walk import Found, child_folders, folder_text, walk
from mnext_tf.errors import ConfigError, DataError, one_of

SPLITS = ("train", "validation")
SPLIT_FOLDERS = {"train": ("train", "ILSVRC2012_img_train"), "validation": ("val", "validation", "ILSVRC2012_img_val")}
TREE = "train/<class>/<photograph> and val/<class>/<photograph>"
LAYOUTS = (
    f"{TREE}; <class>/<photograph>, from which a validation split is taken; train_list.txt and val_list.txt with lines "
    "`path label`; photographs beside labels.csv (header file,class_index); ILSVRC2012_img_train.tar and "
    "ILSVRC2012_img_val.tar; or photographs alone, without labels"
)
UNLABELLED = ("unlabelled",)


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


def list_images(
    data_dir: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    validation_share: float = 0.1,
    label_offset: int | None = None,
    val_labels: str | Path | None = None,
) -> ImageListing:
    """List the photographs in `data_dir`; LAYOUTS says which layouts there are.

    Args:
      class_names: a network's classes. Labels then come in its order; the data may have fewer classes.
      split: only this one, "train" or "validation"; the other need not be there.
      validation_share: of data without splits, as a share of the images; a file stays in its split
        when others are added.
      label_offset: what list files give to the first class, 0 or 1; needed where no line has label 0. Of a
        network with a background class before the others it is what they give to the first of the others.
      val_labels: labels of ILSVRC2012's validation images, where they have other names than its own:
        WordNet ids, one a line in the order of the images' numbers, or lines `name label`.

    Raises DataError where the layout does not hold or a class is none of `class_names`, and
    ConfigError for arguments out of range.
    """
    from mnext_tf.data import ilsvrc, lists

    root = Path(data_dir)
    if split is not None:
        one_of("split", split, SPLITS)
    if not 0.001 <= validation_share <= 0.9:
        raise ConfigError(f"validation_share must be between 0.001 and 0.9; received {validation_share}.")
    if label_offset not in (None, 0, 1):
        raise ConfigError(f"label_offset of listed images must be 0 or 1; received {label_offset}.")
    if not root.is_dir():
        raise DataError(f"{root} {'is a file' if root.exists() else 'does not exist'}. A data folder is {LAYOUTS}.")
    try:
        archives, found = ilsvrc.find_archives(root), lists.find_list_files(root)
        by_number = bool(archives or found or (root / lists.LABELS_CSV).is_file())
        if label_offset is not None and not (by_number or val_labels):
            raise ConfigError(f"label_offset is for labels that are numbers; {root} names its classes. Leave it out.")
        if val_labels is not None and not archives and (by_number or not _has_split(root, "validation")):
            raise ConfigError(f"val_labels is for ILSVRC2012; {root} is none. Leave it out.")
        if archives:
            listing = ilsvrc.list_archives(root, archives, class_names, split, val_labels, label_offset)
        elif found:
            listing = lists.list_list_files(root, found, class_names, split, label_offset)
        elif (root / lists.LABELS_CSV).is_file():
            listing = lists.list_labels_csv(root, class_names, label_offset)
        elif any(_has_split(root, s) for s in SPLITS):
            listing = _list_tree(root, class_names, split, val_labels, label_offset)
        else:
            listing = _list_without_splits(root, class_names)
    except OSError as error:
        raise DataError(f"{error.filename or root}: {error.strerror}.") from error
    if listing.carved:
        listing = replace(listing, splits=carve(listing.images, validation_share))
    return listing if split is None else replace(listing, splits={split: listing.splits[split]})


def list_photographs(folder: Path) -> list[Path]:
    """All photographs below `folder`, sorted. Raises DataError where it cannot be read."""
    try:
        return [folder / name for name in walk(folder, "", Found(folder))]
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror}.") from error


def carve(images: list[ListedImage], share: float) -> dict[str, list[ListedImage]]:
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


def _list_tree(root: Path, class_names, split, val_labels, label_offset) -> ImageListing:
    """train/<class>/… and val/<class>/…, where ILSVRC2012's val folder may have no classes."""
    from mnext_tf.data import ilsvrc

    wanted = SPLITS if split is None else (split,)
    folders = {s: _split_folder(root, s) for s in SPLITS if s in wanted or _has_split(root, s)}
    found = Found(root)
    names = {s: child_folders(root, folder, found) for s, folder in folders.items()}
    base = "train" if "train" in names else wanted[0]
    flat = "validation" in wanted and not names["validation"] and ilsvrc.is_flat(root / folders["validation"])
    if val_labels is not None and not flat:
        raise ConfigError(f"val_labels is for validation images without class folders, which {root} has not.")
    own = sorted(names[base])
    if class_names is None and not (flat and base == "validation"):
        if len(own) < 2:
            held = ", ".join(map(folder_text, own)) or "none"
            raise DataError(
                f"{root / folders[base]} holds {len(own)} class folders ({held}); at least 2 are needed. "
                f"The layout is {TREE}."
            )
        if unknown := [folder_text(n) for s in names for n in sorted(names[s]) if n not in own]:
            raise DataError(
                f"{root / folders['validation']} has classes that {root / folders['train']} lacks: "
                f"{', '.join(unknown)}. Add training images of them or remove them."
            )
    every = sorted(set(own).union(*(names[s] for s in wanted)))
    label_of, named = _labels(every, class_names)
    splits: dict[str, list[ListedImage]] = {}
    for s in wanted:
        if s == "validation" and flat:
            continue
        splits[s] = [
            ListedImage(name, label_of[folder])
            for folder in sorted(names[s])
            for name in walk(root, f"{folders[s]}/{folder}", found)
        ]
        counts = Counter(image.label for image in splits[s])
        lacking = [folder_text(n) for n in own if not counts[label_of[n]]] if s == "train" else []
        if lacking and class_names is None:
            raise DataError(f"{root / folders[s]} has no image of {', '.join(lacking)}. Add some or remove the class.")
        if not splits[s]:
            raise DataError(f"{root / folders[s]} has no image. The layout is {TREE}.")
    mislabelled = ilsvrc.contradictions(image for images in splits.values() for image in images)
    if flat:
        images = [(name, None) for name in walk(root, folders["validation"], found)]
        ids = {folder: label_of[folder] for folder in own} if base == "train" else None
        splits["validation"], named = ilsvrc.label_validation(
            images, ids, named, class_names, val_labels, label_offset, found.skipped
        )
    return ImageListing(
        folder_text(root.resolve().name),
        root,
        named,
        splits,
        ignored=found.ignored,
        skipped=tuple(found.skipped),
        mislabelled=mislabelled,
    )


def _list_without_splits(root: Path, class_names) -> ImageListing:
    """<class>/…, or photographs alone."""
    from mnext_tf.data import ilsvrc

    found = Found(root)
    folders = sorted(child_folders(root, "", found))
    names = {folder: walk(root, folder, found) for folder in folders}
    empty = [folder for folder in folders if not names[folder]]
    if len(empty) < len(folders):
        own = [folder for folder in folders if names[folder]]
        if class_names is None and len(own) < 2:
            raise DataError(f"{root} holds photographs in 1 class folder ({own[0]}); at least 2 are needed.")
        label_of, named = _labels(own, class_names)
        images = [ListedImage(name, label_of[folder]) for folder in own for name in names[folder]]
        notes = (f"folders without a photograph are no classes: {', '.join(map(folder_text, empty))}",) if empty else ()
        labelled = True
    else:
        found = Found(root)
        images, named, labelled, notes = [ListedImage(n, None) for n in walk(root, "", found)], UNLABELLED, False, ()
    if not images:
        held = sorted(folder_text(p.name) for p in root.iterdir())
        listed = f"holds {', '.join(held[:5])}{', …' if len(held) > 5 else ''}" if held else "is empty"
        because = "".join(f"\n  {name}: {reason}" for name, reason in found.skipped[:5])
        raise DataError(f"{root} {listed}. A data folder is {LAYOUTS}.{because}")
    return ImageListing(
        folder_text(root.resolve().name),
        root,
        named,
        {"train": images},
        labelled=labelled,
        carved=True,
        ignored=found.ignored,
        skipped=tuple(found.skipped),
        mislabelled=ilsvrc.contradictions(images),
        notes=notes,
    )


def _labels(folders: list[str], class_names) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each folder, and all class names: the network's where it is given."""
    texts = [folder_text(folder) for folder in folders]
    if class_names is None:
        return {folder: i for i, folder in enumerate(folders)}, classes.own_or_imagenet(texts)
    return dict(zip(folders, classes.match_classes(texts, class_names), strict=True)), tuple(class_names)


def _has_split(root: Path, split: str) -> bool:
    return any((root / name).is_dir() for name in SPLIT_FOLDERS[split])


def _split_folder(root: Path, split: str) -> str:
    for name in SPLIT_FOLDERS[split]:
        if (root / name).is_dir():
            return name
    held = sorted(folder_text(p.name) + ("/" if p.is_dir() else "") for p in root.iterdir())
    more = f" and {len(held) - 10} more" if len(held) > 10 else ""
    plain = [name for name in SPLIT_FOLDERS[split] if not name.startswith("ILSVRC")]
    raise DataError(
        f"{root} has no {' or '.join(plain)} folder; found {', '.join(held[:10])}{more}. The layout is {TREE}."
    )
