"""Images in class folders: train/<class>/ and val/<class>/, <class>/ alone, or images without classes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from mnext_tf.data import class_matching
from mnext_tf.data.sources import ilsvrc
from mnext_tf.data.sources.listing import LAYOUTS, SPLITS, TREE, UNLABELLED, ImageListing, ListedImage
from mnext_tf.data.sources.walk import Found, child_folders, path_text, walk
from mnext_tf.errors import ConfigError, DataError

SPLIT_FOLDERS = {"train": ("train", "ILSVRC2012_img_train"), "validation": ("val", "validation", "ILSVRC2012_img_val")}


def list_class_folders(root: Path, class_names, split, val_labels, label_offset) -> ImageListing:
    """train/<class>/… and val/<class>/…, where ILSVRC2012's val folder may have no classes."""
    wanted = SPLITS if split is None else (split,)
    folders = {s: _split_folder(root, s) for s in SPLITS if s in wanted or has_split(root, s)}
    found = Found(root)
    names = {s: child_folders(root, folder, found) for s, folder in folders.items()}
    base = "train" if "train" in names else wanted[0]
    flat = "validation" in wanted and not names["validation"] and ilsvrc.is_flat(root / folders["validation"])
    if val_labels is not None and not flat:
        raise ConfigError(f"val_labels is for validation images without class folders, which {root} has not.")
    own = sorted(names[base])
    if class_names is None and not (flat and base == "validation"):
        if len(own) < 2:
            held = ", ".join(map(path_text, own)) or "none"
            raise DataError(
                f"{root / folders[base]} holds {len(own)} class folders ({held}); at least 2 are needed. "
                f"The layout is {TREE}."
            )
        if unknown := [path_text(n) for s in names for n in sorted(names[s]) if n not in own]:
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
        lacking = [path_text(n) for n in own if not counts[label_of[n]]] if s == "train" else []
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
        path_text(root.resolve().name),
        root,
        named,
        splits,
        ignored=found.ignored,
        skipped=tuple(found.skipped),
        mislabelled=mislabelled,
    )


def list_without_splits(root: Path, class_names) -> ImageListing:
    """<class>/…, or photographs alone."""
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
        notes = (f"folders without a photograph are no classes: {', '.join(map(path_text, empty))}",) if empty else ()
        labelled = True
    else:
        found = Found(root)
        images, named, labelled, notes = [ListedImage(n, None) for n in walk(root, "", found)], UNLABELLED, False, ()
    if not images:
        held = sorted(path_text(p.name) for p in root.iterdir())
        listed = f"holds {', '.join(held[:5])}{', …' if len(held) > 5 else ''}" if held else "is empty"
        because = "".join(f"\n  {name}: {reason}" for name, reason in found.skipped[:5])
        raise DataError(f"{root} {listed}. A data folder is {LAYOUTS}.{because}")
    return ImageListing(
        path_text(root.resolve().name),
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
    texts = [path_text(folder) for folder in folders]
    if class_names is None:
        return {folder: i for i, folder in enumerate(folders)}, class_matching.imagenet_names_or_own(texts)
    return dict(zip(folders, class_matching.match_classes(texts, class_names), strict=True)), tuple(class_names)


def has_split(root: Path, split: str) -> bool:
    return any((root / name).is_dir() for name in SPLIT_FOLDERS[split])


def _split_folder(root: Path, split: str) -> str:
    for name in SPLIT_FOLDERS[split]:
        if (root / name).is_dir():
            return name
    held = sorted(path_text(p.name) + ("/" if p.is_dir() else "") for p in root.iterdir())
    more = f" and {len(held) - 10} more" if len(held) > 10 else ""
    plain = [name for name in SPLIT_FOLDERS[split] if not name.startswith("ILSVRC")]
    raise DataError(
        f"{root} has no {' or '.join(plain)} folder; found {', '.join(held[:10])}{more}. The layout is {TREE}."
    )
