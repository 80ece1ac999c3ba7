"""Images in class folders by split: train/<class>/ and val/<class>/, where ILSVRC2012's val folder has no classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mnext_tf.data.sources import ilsvrc
from mnext_tf.data.sources.class_folders import label_folders
from mnext_tf.data.sources.file_walk import ImageSearch
from mnext_tf.data.sources.listing import TREE, ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import path_text

# In order of precedence. The second names of a split may be classes too: they count beside training images or alone.
_NAMES = {
    "train": (("train", "training", "ILSVRC2012_img_train"), ()),
    "validation": (("val", "validation", "ILSVRC2012_img_val"), ("valid", "test", "testing")),
}


def matches(root: Path) -> bool:
    return bool(_folders(root))


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    folders, class_names = _folders(root), options.class_names
    if missing := [split for split in options.wanted if split not in folders]:
        raise DataError(_missing(root, missing[0]))
    notes = [
        f"{path_text(root / name)} is not used: {held[0]} holds the {split} images."
        for split, held in folders.items()
        for name in held[1:]
    ]
    folder_of = {split: held[0] for split, held in folders.items()}
    search = ImageSearch(root)
    classes = {split: search.class_folders(folder) for split, folder in folder_of.items()}
    flat = (
        "validation" in options.wanted and not classes["validation"] and ilsvrc.is_flat(root / folder_of["validation"])
    )
    if options.val_labels is not None and not flat:
        raise ConfigError(f"val_labels is for validation images without class folders, which {root} has not.")
    if options.label_offset is not None and options.val_labels is None:
        raise ConfigError(f"label_offset is for labels that are numbers; {root} names its classes. Leave it out.")
    base = "train" if "train" in classes else options.wanted[0]
    if class_names is None and not (flat and base == "validation"):
        _check_classes(root, folder_of, classes, base)
    label_of, named = label_folders(sorted({n for s in (base, *options.wanted) for n in classes[s]}), class_names)
    splits: dict[str, list[ListedImage]] = {}
    for split in options.wanted:
        folder = folder_of[split]
        if split == "validation" and flat:
            continue
        splits[split] = [
            ListedImage(name, label_of[own]) for own in classes[split] for name in search.images(f"{folder}/{own}")
        ]
        counts = Counter(image.label for image in splits[split])
        lacking = [path_text(own) for own in classes[split] if not counts[label_of[own]]]
        if lacking and split == "train" and class_names is None:
            raise DataError(f"{root / folder} has no image of {', '.join(lacking)}. Add some or remove the class.")
        if not splits[split]:
            raise DataError(f"{root / folder} has no image. The layout is {TREE}.")
    mislabelled = ilsvrc.contradictions(image for images in splits.values() for image in images)
    if flat:
        images = [(name, None) for name in search.images(folder_of["validation"])]
        ids = {own: label_of[own] for own in classes["train"]} if base == "train" else None
        splits["validation"], named = ilsvrc.label_validation(images, ids, named, options, search.skipped)
    return ImageListing(
        root,
        named,
        splits,
        ignored=search.ignored,
        skipped=tuple(search.skipped),
        mislabelled=mislabelled,
        notes=tuple(notes),
    )


def _folders(root: Path) -> dict[str, list[str]]:
    """The folders of each split that is there, the one that counts first."""
    present = {split: [n for n in sure if (root / n).is_dir()] for split, (sure, _) in _NAMES.items()}
    maybe = [name for name in _NAMES["validation"][1] if (root / name).is_dir()]
    if present["train"] or (len(maybe) == 1 and len([p for p in root.iterdir() if p.is_dir()]) == 1):
        present["validation"] += maybe
    return {split: names for split, names in present.items() if names}


def _missing(root: Path, split: str) -> str:
    held = sorted(path_text(p.name) + ("/" if p.is_dir() else "") for p in root.iterdir())
    more = f" and {len(held) - 10} more" if len(held) > 10 else ""
    sure, maybe = _NAMES[split]
    *names, last = [name for name in (*sure, *maybe) if not name.startswith("ILSVRC")]
    return (
        f"{root} has no {', '.join(names)} or {last} folder; found {', '.join(held[:10])}{more}. The layout is {TREE}."
    )


def _check_classes(root: Path, folder_of: dict[str, str], classes: dict[str, list[str]], base: str) -> None:
    own = classes[base]
    if len(own) < 2:
        held = ", ".join(map(path_text, own)) or "none"
        raise DataError(
            f"{root / folder_of[base]} holds {len(own)} class folders ({held}); at least 2 are needed. The layout is "
            f"{TREE}."
        )
    if unknown := [path_text(n) for names in classes.values() for n in names if n not in set(own)]:
        raise DataError(
            f"{root / folder_of['validation']} has classes that {root / folder_of['train']} lacks: "
            f"{', '.join(unknown)}. Add training images of them or remove them."
        )
