"""Images that train_list.txt and val_list.txt name, in lines `path label`."""

from __future__ import annotations

import re
from pathlib import Path

from mnext_tf.data.sources.class_labels import label_by_name, label_by_number, read_lines
from mnext_tf.data.sources.file_walk import is_image_name
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import DataError
from mnext_tf.text import path_text, printable

_LIST_FILES = {
    "train": ("train_list.txt", "train.txt"),
    "validation": ("val_list.txt", "val.txt", "validation_list.txt", "validation.txt"),
}

_NUMBERED = re.compile(r"\s*(\S.*?)\s+(\d+)\s*", re.ASCII)
_NUMBER_LIKE = re.compile(r"[-+.\d]+", re.ASCII)


def matches(root: Path) -> bool:
    return bool(_list_files(root))


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    """Paths are relative to `root`. Labels are numbers in all lines, or class names in all lines."""
    paths, wanted = _list_files(root), options.wanted
    if missing := [split for split in wanted if split not in paths]:
        held = ", ".join(path.name for path in paths.values())
        raise DataError(f"{root} has {held} but no {' or '.join(_LIST_FILES[missing[0]][:2])}. Write it too.")
    skipped: list[tuple[str, str]] = []
    lines = {split: _read_list(path, skipped) for split, path in paths.items()}
    by_name = _have_names([(paths[split], number, label) for split in lines for number, _, label in lines[split]])
    rows = {split: [(name, label) for _, name, label in own] for split, own in lines.items()}
    where = " and ".join(map(str, paths.values()))
    label = label_by_name if by_name else label_by_number
    label_of, named, notes = label(root, [row for own in rows.values() for row in own], options, where)
    if by_name and options.class_names is None and "train" in rows:
        known = {label for _, label in rows["train"]}
        if unknown := sorted({label for _, label in rows.get("validation", ())} - known):
            raise DataError(
                f"{paths['validation']} has classes that {paths['train']} lacks: {', '.join(map(path_text, unknown))}. "
                "Add training images of them or remove them."
            )
    splits = {split: [ListedImage(name, label_of(label)) for name, label in rows[split]] for split in wanted}
    return ImageListing(root, named, splits, skipped=tuple(skipped), notes=notes)


def _list_files(root: Path) -> dict[str, Path]:
    """The list file of each split that `root` has."""
    present = {split: [root / n for n in names if (root / n).is_file()] for split, names in _LIST_FILES.items()}
    return {split: paths[0] for split, paths in present.items() if paths}


def _read_list(path: Path, skipped: list[tuple[str, str]]) -> list[tuple[int, str, int | str]]:
    """(line number, path, label) of every sound line; others go to `skipped`."""
    lines, first_bad = [], None
    for number, line in read_lines(path):
        if parsed := None if "\0" in line else _parse(line):
            lines.append((number, *parsed))
        elif line.strip():
            first_bad = first_bad or number
            shown = path_text(line.strip()[:60])
            skipped.append((f"{path.name}:{number}", f"not `path label` with a whole number or a class name: {shown}"))
    if not lines:
        what = f"line {first_bad} is the first that should be one" if first_bad else "it is empty"
        raise DataError(f"{path} has no line `path label` with a whole number or a class name for the label; {what}.")
    return lines


def _parse(line: str) -> tuple[str, int | str] | None:
    """A path and a number, or an image's path and a class name: the last word, or whatever comes after a tab."""
    if match := _NUMBERED.fullmatch(line):
        return match[1], int(match[2])
    words = line.strip().rsplit("\t" if "\t" in line.strip() else None, 1)
    if len(words) < 2 or not is_image_name(words[0].strip()):
        return None
    name, label = (word.strip() for word in words)
    return None if is_image_name(label) or _NUMBER_LIKE.fullmatch(label) else (name, label)


def _have_names(lines: list[tuple[Path, int, int | str]]) -> bool:
    """Whether labels are class names. Raises DataError where some are and some are numbers."""
    first = {}
    for path, number, label in lines:
        first.setdefault(type(label), f"line {number} of {path.name} has {printable(label)}")
    if len(first) == 2:
        raise DataError(
            f"{lines[0][0].parent}: labels are class names in some lines and numbers in others: {first[str]}, "
            f"{first[int]}. Use one of them in all lines."
        )
    return str in first
