"""Lists of photographs: files with lines `path label`, a labels.csv, and files of class names."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mnext_tf.data import class_matching, imagenet
from mnext_tf.data.sources.listing import SPLITS, ImageListing, ListedImage
from mnext_tf.data.sources.walk import path_text
from mnext_tf.errors import DataError

LABELS_CSV = "labels.csv"

_LIST_FILES = {
    "train": ("train_list.txt", "train.txt"),
    "validation": ("val_list.txt", "val.txt", "validation_list.txt", "validation.txt"),
}

_NAME_FILES = ("labels.txt", "label_list.txt", "classes.txt")

_LINE = re.compile(r"\s*(\S.*?)\s+(\d+)\s*", re.ASCII)

_FILE_COLUMNS = ("file", "filename", "path", "image")

_LABEL_COLUMNS = ("class_index", "label", "class")

_MOST_CLASSES = 1_000_000  # beyond it a "label" is an id of something else


def find_list_files(root: Path) -> dict[str, Path]:
    """The list file of each split that `root` has."""
    found = {}
    for split, names in _LIST_FILES.items():
        if present := [root / name for name in names if (root / name).is_file()]:
            found[split] = present[0]
    return found


def list_list_files(root: Path, found: dict[str, Path], class_names, split, label_offset) -> ImageListing:
    """The photographs that train_list.txt and val_list.txt name, relative to `root`."""
    wanted = SPLITS if split is None else (split,)
    if missing := [s for s in wanted if s not in found]:
        held = ", ".join(path.name for path in found.values())
        raise DataError(f"{root} has {held} but no {' or '.join(_LIST_FILES[missing[0]][:2])}. Write it too.")
    skipped: list[tuple[str, str]] = []
    entries = {s: _read_list(path, skipped) for s, path in found.items()}
    rows = [row for rows in entries.values() for row in rows]
    where = " and ".join(str(path) for path in found.values())
    label_of, named, notes = _index_labels(root, rows, class_names, where, label_offset, counted_from_0=False)
    splits = {s: [ListedImage(name, label_of(label)) for name, label in entries[s]] for s in wanted}
    return ImageListing(path_text(root.resolve().name), root, named, splits, skipped=tuple(skipped), notes=notes)


def list_labels_csv(root: Path, class_names, label_offset) -> ImageListing:
    """The photographs that labels.csv names, by class index or class name."""
    path = root / LABELS_CSV
    rows = list(csv.reader((line for _, line in read_lines(path)), skipinitialspace=True))
    header = [word.strip().lower() for word in rows[0]] if rows else []
    columns = [next((header.index(n) for n in names if n in header), None) for names in (_FILE_COLUMNS, _LABEL_COLUMNS)]
    if None in columns:
        raise DataError(
            f"{path} begins with {','.join(header) or 'nothing'}; its first line is `file,class_index`, or has a file "
            "column and one of label or class."
        )
    skipped: list[tuple[str, str]] = []
    entries = []
    for number, row in enumerate(rows[1:], 2):
        values = [row[c].strip() if c < len(row) else "" for c in columns]
        if all(values):
            entries.append(values)
        elif any(word.strip() for word in row):
            skipped.append((f"{LABELS_CSV}:{number}", "lacks a file or a label"))
    if not entries:
        raise DataError(f"{path}: no line has a file and a label; the first that should is line 2.")
    if all(re.fullmatch(r"\d+", label, re.ASCII) for _, label in entries):
        counted = [(name, int(label)) for name, label in entries]
        from_0 = header[columns[1]] == "class_index"
        label_of, named, notes = _index_labels(root, counted, class_names, path, label_offset, counted_from_0=from_0)
        images = [ListedImage(name, label_of(label)) for name, label in counted]
    else:
        own = sorted({label for _, label in entries})
        texts = [path_text(label) for label in own]
        given = class_names or (_read_names(_names_file(root)) if _names_file(root) else None)
        named = tuple(given or texts)
        index = dict(zip(own, class_matching.match_classes(texts, given) if given else range(len(own)), strict=True))
        images, notes = [ListedImage(name, index[label]) for name, label in entries], ()
    name = path_text(root.resolve().name)
    return ImageListing(name, root, named, {"train": images}, carved=True, skipped=tuple(skipped), notes=notes)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a text in UTF-8, with or without its mark and with any line ends.

    Bytes that are not UTF-8 come as Python's file names have them, so that such files are found too.
    """
    with open(path, encoding="utf-8-sig", errors="surrogateescape", newline=None) as f:
        for number, line in enumerate(f, 1):
            yield number, line.rstrip("\n")


def checked_offset(where, numbers: list[int], label_offset: int | None) -> int:
    """The label of the first class: 0 where a line has it, else what was given. Raises DataError where it is open."""
    lowest, highest = min(numbers), max(numbers)
    if label_offset is None and lowest:
        raise DataError(
            f"{where}: no line has the label 0; they run from {lowest} to {highest}. Give label_offset=1 if the first "
            "class is 1, or label_offset=0 if it is 0 and has no image."
        )
    if lowest < (label_offset or 0):
        raise DataError(f"{where}: label_offset={label_offset} was given, but a line has the label {lowest}.")
    return label_offset or 0


def _read_list(path: Path, skipped: list[tuple[str, str]]) -> list[tuple[str, int]]:
    """(path, label) of every sound line; others go to `skipped`."""
    entries, first_bad = [], None
    for number, line in read_lines(path):
        if not line.strip():
            continue
        if (match := _LINE.fullmatch(line)) and "\0" not in line:
            entries.append((match[1], int(match[2])))
        else:
            first_bad = first_bad or number
            shown = path_text(line.strip()[:60])
            skipped.append((f"{path.name}:{number}", f"not `path label` with a whole number: {shown}"))
    if not entries:
        what = f"line {first_bad} is the first that should be one" if first_bad else "it is empty"
        raise DataError(f"{path} has no line `path label` with a whole number for the label; {what}.")
    return entries


def _index_labels(root: Path, rows: list[tuple[str, int]], class_names, where, label_offset, *, counted_from_0: bool):
    """(function from a row's number to its label, class names, notes) for data that names classes by number.

    counted_from_0: the first class is 0, whether or not a row has it, unless label_offset says otherwise.
    """
    names_file = _names_file(root)
    if not names_file and (proven := _imagenets(rows, label_offset)):
        offset, ids = proven
        if class_names is None:
            note = f"{where}: file names and indices are ImageNet's."
            return (lambda number: number - offset), imagenet.class_names(), (note,)
        if any(label is not None for label in class_matching.match_some(ids, class_names)):
            index = dict(zip(ids, class_matching.match_classes(ids, class_names), strict=True))
            every = imagenet.wordnet_ids()
            return (lambda number: index[every[number - offset]]), tuple(class_names), ()
    numbers = [number for _, number in rows]
    if not names_file and class_matching.has_background(class_names):
        return _after_background(where, numbers, class_names, label_offset), tuple(class_names), ()
    offset = 0 if counted_from_0 and label_offset is None else checked_offset(where, numbers, label_offset)
    highest = max(numbers) - offset
    if names_file:
        own = _read_names(names_file)
        if highest >= len(own):
            raise DataError(
                f"{where} has the class {highest} (counted from 0), but {names_file} names {len(own)} classes."
            )
        labels = range(len(own)) if class_names is None else class_matching.match_classes(own, class_names)
        return (lambda number: labels[number - offset]), tuple(class_names or own), ()
    if class_names is not None:
        if highest >= len(class_names):
            raise DataError(
                f"{where} has the class {highest} (counted from 0), so at least {highest + 1} classes, but the network "
                f"has {len(class_names)}. Give the data that belongs to it."
            )
        return (lambda number: number - offset), tuple(class_names), ()
    if highest >= _MOST_CLASSES:
        raise DataError(f"{where} has the label {highest}; labels are numbers of classes, from 0 up without gaps.")
    note = f"{root} has no {_NAME_FILES[0]}: the {highest + 1} classes are called by their numbers."
    return (lambda number: number - offset), tuple(str(i) for i in range(highest + 1)), (note,)


def _after_background(where, numbers: list[int], class_names, label_offset: int | None) -> Callable[[int], int]:
    """From a row's number to the label of a network whose class 0 is the background.

    Whether the numbers count it shows only where they reach the last class; else label_offset, the
    number of the first class after it, has to be given.
    """
    last = len(class_names) - 1
    if label_offset is None and max(numbers) < last:
        raise DataError(
            f"{where}: the labels run from {min(numbers)} to {max(numbers)}, and the network's class 0 is "
            f"{class_names[0]!r}, which they may count or not. Give label_offset=1 if {class_names[1]!r} has the label "
            "1, or label_offset=0 if it has the label 0."
        )
    shift = 0 if label_offset is None else 1 - label_offset
    if max(numbers) + shift > last:
        raise DataError(
            f"{where} has the label {max(numbers)}, but the network has {last} classes after {class_names[0]!r}. Give "
            "the data or the label_offset that belongs to it."
        )
    return lambda number: number + shift


def _names_file(root: Path) -> Path | None:
    return next((root / name for name in _NAME_FILES if (root / name).is_file()), None)


def _read_names(path: Path) -> tuple[str, ...]:
    """Class names, one a line; lines `0 name` in any order where all of them are numbered."""
    lines = [path_text(line.strip()) for _, line in read_lines(path) if line.strip()]
    numbered = [re.fullmatch(r"(\d+)[\s,:]+(\S.*)", line, re.ASCII) for line in lines]
    if lines and all(numbered) and sorted(int(m[1]) for m in numbered) == list(range(len(lines))):
        lines = [m[2] for m in sorted(numbered, key=lambda m: int(m[1]))]
    if len(lines) < 2 or len(set(lines)) < len(lines):
        twice = next((line for line in lines if lines.count(line) > 1), None)
        raise DataError(f"{path} names {f'{twice!r} twice' if twice else f'{len(lines)} classes'}; name each once.")
    return tuple(lines)


def _imagenets(rows: list[tuple[str, int]], label_offset: int | None) -> tuple[int, list[str]] | None:
    """(number of ImageNet's first class, WordNet ids of the rows), where every file is named by its class's id."""
    every = imagenet.wordnet_ids()
    for offset in (0, 1) if label_offset is None else (label_offset,):
        if all(
            0 <= number - offset < len(every) and os.path.basename(name).startswith(every[number - offset])
            for name, number in rows
        ):
            return offset, sorted({every[number - offset] for _, number in rows})
    return None
