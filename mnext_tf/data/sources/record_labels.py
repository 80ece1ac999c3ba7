"""Label offset, number and names of the classes of TFRecords that come without dataset.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.data import class_matching, imagenet, tfrecord
from mnext_tf.errors import ConfigError, DataError


def number_for_network(
    scan, folder: Path, label_offset: int | None, class_names: Sequence[str]
) -> tuple[int | None, int | None]:
    """(label_offset, num_classes) of records for a network with `class_names`; None where the records tell."""
    if not scan.unnamed and label_offset is None:
        return None, None  # the records name ImageNet's classes, which are compared with the network's later
    if not class_matching.has_background(class_names):
        return label_offset, len(class_names)
    lowest, highest = min(scan.first), max(scan.first)
    if label_offset == 0 or (label_offset is None and highest < len(class_names) - 1):
        raise DataError(
            f"{folder} has labels from {lowest} to {highest}, and the network's class 0 is {class_names[0]!r}, which "
            f"they may count or not. Give label_offset=1 if {class_names[1]!r} has the label 1; if it has the label 0, "
            "write the shards with labels from 1."
        )
    return 0, len(class_names)  # label_offset is the next class's, as in lists


def check_labels(scan, label_offset: int, num_classes: int) -> None:
    """Raises DataError naming the first record whose label is outside the classes."""
    labels = range(label_offset, label_offset + num_classes)
    for label, where in scan.first.items():
        if label not in labels:
            raise DataError(
                f"{where} has the label {label}; with label_offset={label_offset} and {num_classes} classes, "
                f"{labels.start} to {labels.stop - 1} are allowed. "
                "Give the label_offset and num_classes that the shards were written with."
            )


def decide_labels(
    scan, folder: Path, label_offset: int | None, num_classes: int | None
) -> tuple[int, tuple[str, ...], list[str]]:
    """(label of the first class, class names, notes on what that was concluded from).

    What is given counts. What is not must follow from the records: all of them name classes of
    ImageNet in its order, or `num_classes` leaves only one possibility. Raises DataError where it
    does not follow, and where a label is outside the classes.
    """
    if (label_offset is not None and label_offset < 0) or (num_classes is not None and num_classes < 2):
        raise ConfigError(
            f"label_offset must be at least 0 and num_classes at least 2; received {label_offset} and {num_classes}."
        )
    lowest, highest = min(scan.first), max(scan.first)
    seen = f"{folder} has no {tfrecord.SIDECAR}; its labels run from {lowest} to {highest}"
    names_imagenet = not scan.unnamed and num_classes in (None, imagenet.NUM_CLASSES)
    shown = "; ".join(scan.examples[offset] for offset in sorted(scan.offsets, key=scan.offsets.get)[-3:])
    agreed = next(iter(scan.offsets)) if names_imagenet and set(scan.offsets) in ({0}, {1}) else None
    notes = []
    if names_imagenet and agreed is None:
        contradiction = f"the records name classes of ImageNet, but their labels are not in its order ({shown})"
        if label_offset is None or num_classes is None:
            raise DataError(f"{seen}, and {contradiction}. Give label_offset and num_classes, if the labels are right.")
        notes.append(f"warning: {folder}: {contradiction}; label_offset={label_offset} was given and counts.")
    if agreed is not None and label_offset is not None and label_offset != agreed:
        notes.append(f"warning: {folder}: label_offset={label_offset} was given, but {shown}, which means {agreed}.")
    if label_offset is None and agreed is not None:
        label_offset = agreed
        numbering = "TF-slim's numbering, from 1" if agreed else "numbered from 0"
        notes.append(f"{folder}: labels {lowest} to {highest}, {shown}: {numbering}; label_offset {agreed}.")
    elif label_offset is None and num_classes is not None:
        label_offset = _offset_by_range(seen, lowest, highest, num_classes)
        notes.append(f"{folder}: labels {lowest} to {highest}, {num_classes} classes: label_offset {label_offset}.")
    if num_classes is None and agreed is not None:
        num_classes = imagenet.NUM_CLASSES
    if label_offset is None or num_classes is None:
        raise DataError(
            f"{seen}, and which is the first class and how many there are cannot be known from that. Give both, for "
            "example label_offset=1, num_classes=1000 for ImageNet as TF-slim writes it (labels 1 to 1000), or "
            f"label_offset={lowest}, num_classes={highest - lowest + 1} if every class has an image."
        )
    check_labels(scan, label_offset, num_classes)
    if agreed == label_offset:
        return label_offset, imagenet.class_names(), notes
    labels = range(label_offset, label_offset + num_classes)
    return label_offset, tuple(scan.texts.get(label) or str(label) for label in labels), notes


def _offset_by_range(seen: str, lowest: int, highest: int, num_classes: int) -> int:
    if lowest == 0 and highest >= num_classes:
        raise DataError(
            f"{seen}: {highest + 1} values, but num_classes={num_classes}. Is 0 a background class? Then give "
            f"label_offset=0, num_classes={highest + 1}."
        )
    if lowest == 0:
        return 0
    if highest == num_classes:
        return 1
    raise DataError(
        f"{seen}; {num_classes} classes fit from 0 as well as from 1. Give label_offset=0 or label_offset=1."
        if lowest > 0 and highest < num_classes
        else f"{seen}, but num_classes={num_classes}. Give the num_classes and label_offset they were written with."
    )
