"""Lists the images of a folder, in any of the layouts that are supported.

Nothing is read but folders, lists and the headers of archives: a million files take seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mnext_tf.data.sources import ilsvrc, list_files
from mnext_tf.data.sources.class_folders import has_split, list_class_folders, list_without_splits
from mnext_tf.data.sources.listing import LAYOUTS, SPLITS, ImageListing, split_by_hash
from mnext_tf.data.sources.walk import Found, walk
from mnext_tf.errors import ConfigError, DataError, one_of


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
        archives, found = ilsvrc.find_archives(root), list_files.find_list_files(root)
        by_number = bool(archives or found or (root / list_files.LABELS_CSV).is_file())
        if label_offset is not None and not (by_number or val_labels):
            raise ConfigError(f"label_offset is for labels that are numbers; {root} names its classes. Leave it out.")
        if val_labels is not None and not archives and (by_number or not has_split(root, "validation")):
            raise ConfigError(f"val_labels is for ILSVRC2012; {root} is none. Leave it out.")
        if archives:
            listing = ilsvrc.list_archives(root, archives, class_names, split, val_labels, label_offset)
        elif found:
            listing = list_files.list_list_files(root, found, class_names, split, label_offset)
        elif (root / list_files.LABELS_CSV).is_file():
            listing = list_files.list_labels_csv(root, class_names, label_offset)
        elif any(has_split(root, s) for s in SPLITS):
            listing = list_class_folders(root, class_names, split, val_labels, label_offset)
        else:
            listing = list_without_splits(root, class_names)
    except OSError as error:
        raise DataError(f"{error.filename or root}: {error.strerror}.") from error
    if listing.carved:
        listing = replace(listing, splits=split_by_hash(listing.images, validation_share))
    return listing if split is None else replace(listing, splits={split: listing.splits[split]})


def list_image_files(folder: Path) -> list[Path]:
    """All photographs below `folder`, sorted. Raises DataError where it cannot be read."""
    try:
        return [folder / name for name in walk(folder, "", Found(folder))]
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror}.") from error
