"""Images beside a labels.csv, which names each one's class by number or by name."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from mnext_tf.data.sources.class_labels import label_by_name, label_by_number, read_lines
from mnext_tf.data.sources.listing import ImageListing, ListedImage, ListingOptions
from mnext_tf.errors import DataError
from mnext_tf.text import path_text

_FILE = "labels.csv"
_IMAGE_COLUMNS = ("file", "filename", "path", "image")
_LABEL_COLUMNS = ("class_index", "label", "class")


def matches(root: Path) -> bool:
    return (root / _FILE).is_file()


def list_images(root: Path, options: ListingOptions) -> ImageListing:
    path = root / _FILE
    table = list(csv.reader((line for _, line in read_lines(path)), skipinitialspace=True))
    header = [word.strip().lower() for word in table[0]] if table else []
    columns = [
        next((header.index(n) for n in names if n in header), None) for names in (_IMAGE_COLUMNS, _LABEL_COLUMNS)
    ]
    if None in columns:
        raise DataError(
            f"{path} begins with {path_text(','.join(header)) or 'nothing'}; its first line is `file,class_index`, or "
            "has a file column and one of label or class."
        )
    skipped: list[tuple[str, str]] = []
    rows: list = []
    for number, row in enumerate(table[1:], 2):
        values = [row[c].strip() if c < len(row) else "" for c in columns]
        if all(values):
            rows.append(values)
        elif any(word.strip() for word in row):
            skipped.append((f"{_FILE}:{number}", "lacks a file or a label"))
    if not rows:
        raise DataError(f"{path}: no line has a file and a label; the first that should is line 2.")
    if all(re.fullmatch(r"\d+", label, re.ASCII) for _, label in rows):
        rows = [(name, int(label)) for name, label in rows]
        from_0 = header[columns[1]] == "class_index"
        label_of, named, notes = label_by_number(root, rows, options, path, counted_from_0=from_0)
    else:
        label_of, named, notes = label_by_name(root, rows, options, path)
    images = [ListedImage(name, label_of(label)) for name, label in rows]
    return ImageListing(root, named, {"train": images}, hash_split=True, skipped=tuple(skipped), notes=notes)
