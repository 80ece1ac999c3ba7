"""Labels of listed images: from numbers or names of classes to indices, beside ImageNet's, a network's or a file's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from mnext_tf.data import class_matching, imagenet
from mnext_tf.data.sources.listing import ListingOptions
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import decoded

_NAME_FILES = ("labels.txt", "label_list.txt", "classes.txt")
_MOST_CLASSES = 1_000_000  # beyond it a "label" is an id of something else


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


def label_by_number(
    root: Path, rows: list[tuple[str, int]], options: ListingOptions, where, *, counted_from_0: bool = False
):
    """(function from a row's number to its label, class names, notes) for rows (path, number).

    counted_from_0: the first class is 0, whether or not a row has it, unless label_offset says otherwise.
    """
    class_names, label_offset = options.class_names, options.label_offset
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


def label_by_name(root: Path, rows: list[tuple[str, str]], options: ListingOptions, where):
    """(function from a row's class name to its label, class names, notes) for rows (path, class name)."""
    if options.label_offset is not None:
        raise ConfigError(f"label_offset is for labels that are numbers; {where} names its classes. Leave it out.")
    own = sorted({label for _, label in rows})
    texts, names_file = [decoded(label) for label in own], _names_file(root)
    given = options.class_names or (_read_names(names_file) if names_file else None)
    index = dict(zip(own, class_matching.match_classes(texts, given) if given else range(len(own)), strict=True))
    return index.__getitem__, tuple(given or texts), ()


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


def names_beside(root: Path, *, at_least: int = 2) -> tuple[str, ...]:
    """The class names in labels.txt, label_list.txt, or classes.txt in `root`; () without such a file."""
    path = _names_file(root)
    return _read_names(path, at_least) if path else ()


def _read_names(path: Path, at_least: int = 2) -> tuple[str, ...]:
    """Class names, one a line; lines `0 name` in any order where all of them are numbered."""
    lines = [decoded(line.strip()) for _, line in read_lines(path) if line.strip()]
    numbered = [re.fullmatch(r"(\d+)[\s,:]+(\S.*)", line, re.ASCII) for line in lines]
    if lines and all(numbered) and sorted(int(m[1]) for m in numbered) == list(range(len(lines))):
        lines = [m[2] for m in sorted(numbered, key=lambda m: int(m[1]))]
    if len(lines) < at_least or len(set(lines)) < len(lines):
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
