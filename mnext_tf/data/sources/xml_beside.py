"""PASCAL VOC's XML files beside the images, as labelImg writes them: in one folder, or in train/ and valid/."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.data.sources import voc
from mnext_tf.data.sources.annotated import images_by_stem, listing_of
from mnext_tf.data.sources.listing import ImageListing, ListingOptions
from mnext_tf.text import path_text

_SPLITS = {"train": ("train",), "validation": ("valid", "val", "validation", "test")}
_HEAD_BYTES = 1 << 10


def matches(root: Path) -> bool:
    return bool(_folders(root))


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    """Images with an annotation; those in one folder are divided by a hash of the names."""
    skipped: list[tuple[str, str]] = []
    folders, names = _folders(root), {}
    for split, folder in folders.items():
        stems = sorted(path.stem for path in folder.glob("*.xml"))
        names[split] = [(folder, folder, stem) for stem in stems]
        lacking = sorted(images_by_stem(folder).keys() - set(stems))
        skipped += [(path_text((folder / s).relative_to(root)), "it has no annotation") for s in lacking]
    splits, class_names, notes = voc.read_splits(root, names, options, skipped)
    hash_split = "validation" not in splits
    return listing_of(root, class_names, splits, "voc", hash_split=hash_split, skipped=skipped, notes=notes)


def _folders(root: Path) -> dict[str, Path]:
    """The folder of each split; of images in `root` itself that is "train"."""
    if _has_pair(root):
        return {"train": root}
    found = {
        split: next((root / name for name in names if _has_pair(root / name)), None) for split, names in _SPLITS.items()
    }
    return {split: folder for split, folder in found.items() if folder} if found["train"] else {}


def _has_pair(folder: Path) -> bool:
    """Whether an annotation is beside its image."""
    annotations = {path.stem: path for path in folder.glob("*.xml")}
    both = sorted(annotations.keys() & images_by_stem(folder).keys()) if annotations else []
    if not both:
        return False
    with open(annotations[both[0]], "rb") as f:
        return b"<annotation" in f.read(_HEAD_BYTES)
