"""What the layouts of detection data share: classes, image files by name, and lists of images."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from mnext_tf.data import class_matching
from mnext_tf.data.objects import OTHER_CLASS
from mnext_tf.data.sources.class_labels import names_beside, read_lines
from mnext_tf.data.sources.file_walk import is_image_name
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import path_text, printable

_FLAG = re.compile(r"\s+(-1|0|1)$")


def label_classes(
    root: Path, found: Iterable[str], options: ListingOptions
) -> tuple[dict[str, int], tuple[str, ...], tuple[str, ...]]:
    """(label of each class found, all class names, notes).

    The classes are the network's, else those of a labels.txt in `root`: boxes of other classes are left out. Without
    either they are those found, in the given order.
    """
    if options.label_offset is not None:
        raise ConfigError(f"label_offset is for labels that are numbers; {root} names its classes. Leave it out.")
    found = list(dict.fromkeys(found))
    whose = "its list of class names" if options.class_names is None else "the network"
    if chosen := options.class_names or names_beside(root, at_least=1):
        labels = dict(zip(found, class_matching.match_some(found, chosen), strict=True))
        if not found or all(label is None for label in labels.values()):
            raise DataError(
                f"{root} has boxes of {class_matching.shown_names(found) or 'no class'}, but {whose} has "
                f"{class_matching.shown_names(chosen)}. Correct the one or the other."
            )
        others = [name for name, label in labels.items() if label is None]
        note = f"{root}: boxes of {class_matching.shown_names(others)} are left out: {whose} does not have them."
        note = note if options.class_names is None else f"warning: {note}"
        labels = {name: OTHER_CLASS if k is None else k for name, k in labels.items()}
        return labels, tuple(chosen), (note,) if others else ()
    if not found:
        raise DataError(f"{root} has no box in any image. Is this the right folder?")
    return {name: i for i, name in enumerate(found)}, tuple(found), ()


def images_by_stem(folder: Path) -> dict[str, str]:
    """Name without its extension -> name, of the images in `folder`; of several the first in order."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if is_image_name(entry.name) and entry.name[0] != ".")
    return {os.path.splitext(name)[0]: name for name in reversed(names)}


def read_names(path: Path, skipped: list[tuple[str, str]]) -> list[str]:
    """A name in every line, each once, without VOC's -1, 0 or 1 after it; one that comes again goes to `skipped`."""
    names: dict[str, None] = {}
    for number, line in read_lines(path):
        if name := _FLAG.sub("", line.strip()):
            if name in names:
                skipped.append((f"{path.name}:{number}", f"{printable(name)} is listed twice; it counts once"))
            names[name] = None
    if not names:
        raise DataError(f"{path} is empty. Write one image name a line, or remove the file.")
    return list(names)


def repeated(splits: dict[str, list[ListedImage]]) -> tuple[str, ...]:
    """A note where images are in both splits, so that evaluation shows what was trained on."""
    train, validation = ({image.name for image in splits.get(s, ())} for s in ("train", "validation"))
    if both := sorted(train & validation):
        return (f"warning: {len(both)} images are in both splits, {path_text(both[0])} for example.",)
    return ()


def listing_of(
    root: Path, class_names: tuple[str, ...], splits: dict[str, list[ListedImage]], metrics: str, **more
) -> ImageListing:
    """A listing for detection. Raises DataError, with reasons, for a split without images."""
    skipped, notes = sorted(more.pop("skipped", ())), more.pop("notes", ())
    for split, images in splits.items():
        if not images:
            because = "".join(f"\n  {name}: {reason}" for name, reason in skipped[:5])
            raise DataError(f"{root} has no {split} image with an annotation.{because}")
    return ImageListing(
        root,
        class_names,
        splits,
        task="detection",
        metrics=metrics,
        skipped=tuple(skipped),
        notes=(*notes, *repeated(splits)),
        **more,
    )
