"""Images in class folders without splits, <class>/, or images without classes."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.data import class_matching
from mnext_tf.data.sources import ilsvrc
from mnext_tf.data.sources.file_walk import ImageSearch
from mnext_tf.data.sources.listing import LAYOUTS, UNLABELLED, ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import decoded, path_text


def matches(root: Path) -> bool:
    """What no other layout matches."""
    return True


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    if options.label_offset is not None:
        raise ConfigError(f"label_offset is for labels that are numbers; {root} names its classes. Leave it out.")
    search = ImageSearch(root)
    names = {folder: search.images(folder) for folder in search.class_folders()}
    own, notes = [folder for folder in names if names[folder]], ()
    if own:
        if options.class_names is None and len(own) < 2:
            raise DataError(f"{root} holds images in 1 class folder ({path_text(own[0])}); at least 2 are needed.")
        label_of, named = label_folders(own, options.class_names)
        images = [ListedImage(name, label_of[folder]) for folder in own for name in names[folder]]
        if empty := [path_text(folder) for folder in names if not names[folder]]:
            notes = (f"folders without an image are no classes: {', '.join(empty)}",)
    else:
        search = ImageSearch(root)
        images, named = [ListedImage(name, None) for name in search.images()], UNLABELLED
    if not images:
        held = sorted(path_text(p.name) for p in root.iterdir())
        listed = f"holds {', '.join(held[:5])}{', …' if len(held) > 5 else ''}" if held else "is empty"
        because = "".join(f"\n  {name}: {reason}" for name, reason in search.skipped[:5])
        raise DataError(f"{root} {listed}. A data folder is {LAYOUTS}.{because}")
    return ImageListing(
        root,
        named,
        {"train": images},
        labelled=bool(own),
        hash_split=True,
        ignored=search.ignored,
        skipped=tuple(search.skipped),
        mislabelled=ilsvrc.contradictions(images),
        notes=notes,
    )


def label_folders(folders: list[str], class_names) -> tuple[dict[str, int], tuple[str, ...]]:
    """The label of each folder, and all class names: the network's where they are given."""
    texts = [decoded(folder) for folder in folders]
    if class_names is None:
        return {folder: i for i, folder in enumerate(folders)}, class_matching.imagenet_names_or_own(texts)
    return dict(zip(folders, class_matching.match_classes(texts, class_names), strict=True)), tuple(class_names)
