"""Lists the images of a folder, in any of the layouts that are supported.

Nothing is read but folders, lists and the headers of archives: a million files take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mnext_tf.data.sources import (
    class_folders,
    coco,
    ilsvrc,
    kitti,
    labels_csv,
    list_files,
    split_folders,
    voc,
    xml_beside,
)
from mnext_tf.data.sources.file_walk import ImageSearch
from mnext_tf.data.sources.listing import LAYOUTS, SPLITS, ImageListing, ListingOptions, split_by_hash
from mnext_tf.errors import ConfigError, DataError, one_of

# The first that matches lists the images. Layouts with boxes come first: they may have train.txt or train/, too.
_WITH_BOXES = (voc, coco, kitti, xml_beside)
_SOURCES = (*_WITH_BOXES, ilsvrc, list_files, labels_csv, split_folders, class_folders)


def list_images(
    data_dir: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    split: str | None = None,
    validation_share: float = 0.1,
    label_offset: int | None = None,
    val_labels: str | Path | None = None,
) -> ImageListing:
    """List the images in `data_dir`; LAYOUTS says which layouts there are.

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
    root = Path(data_dir)
    if split is not None:
        one_of("split", split, SPLITS)
    check_share(validation_share)
    if label_offset not in (None, 0, 1):
        raise ConfigError(f"label_offset of listed images must be 0 or 1; received {label_offset}.")
    if not root.is_dir():
        raise DataError(f"{root} {'is a file' if root.exists() else 'does not exist'}. A data folder is {LAYOUTS}.")
    try:
        source = next(source for source in _SOURCES if source.matches(root))
        if val_labels is not None and source not in (ilsvrc, split_folders):
            raise ConfigError(f"val_labels is for ILSVRC2012; {root} is none. Leave it out.")
        listing = source.list_images(root, ListingOptions(class_names, split, label_offset, val_labels))
    except OSError as error:
        raise DataError(f"{error.filename or root}: {error.strerror}.") from error
    if listing.hash_split:
        listing = replace(listing, splits=split_by_hash(listing.images, validation_share))
    return listing if split is None else replace(listing, splits={split: listing.splits[split]})


def has_boxes(root: Path) -> bool:
    """Whether a folder has the layout of images with boxes; a look at the names of files."""
    try:
        return root.is_dir() and any(source.matches(root) for source in _WITH_BOXES)
    except OSError:
        return False


def check_share(validation_share: float) -> None:
    if not 0.001 <= validation_share <= 0.9:
        raise ConfigError(f"validation_share must be between 0.001 and 0.9; received {validation_share}.")


def list_image_files(folder: Path) -> list[Path]:
    """All images below `folder`, sorted. Raises DataError where it cannot be read."""
    try:
        return [folder / name for name in ImageSearch(folder).images()]
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror}.") from error
