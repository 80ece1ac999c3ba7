"""TFRecords that somebody else wrote: what they hold, and which number their first class has."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import class_matching, imagenet, tfrecord
from mnext_tf.errors import ConfigError, DataError


@dataclass(frozen=True)
class RecordFiles:
    """Shards by split, as names in `folder`, and the features that hold image and label.

    validation_share: where there are training shards only, both splits name them, and a hash of the
    image decides which records are for validation.
    """

    folder: Path
    files: dict[str, tuple[str, ...]]
    keys: tuple[str, str] = tfrecord.KEYS
    validation_share: float | None = None


@dataclass
class Scan:
    """What the records hold. Label counts per split are by stored label.

    first: for every label, where it came first. texts: class names beside the labels.
    offsets: stored label minus ImageNet's class index, counted over all records that name a class of
    ImageNet, and a record of each in examples; unnamed: records that name none.
    """

    label_counts: dict[str, dict[int, int]]
    digests: dict[str, str]
    first: dict[int, str] = dataclasses.field(default_factory=dict)
    texts: dict[int, str] = dataclasses.field(default_factory=dict)
    offsets: dict[int, int] = dataclasses.field(default_factory=dict)
    examples: dict[int, str] = dataclasses.field(default_factory=dict)
    unnamed: int = 0


def scan(records: RecordFiles, cache: Path) -> Scan:
    """Read every record once; what was found is kept in the folder `cache` until a shard changes.

    Raises DataError for a damaged shard, a record without image or label, and bytes that are neither
    JPEG nor PNG, with the shard and the record's number from 0; and for an empty split.
    """
    names = sorted(set().union(*records.files.values()))
    stats = [(name, s.st_size, s.st_mtime_ns) for name in names for s in [(records.folder / name).stat()]]
    key = files.sha256_of([stats, records.files, records.keys, records.validation_share])[:12]
    path = cache / f"{records.folder.resolve().name}-{key}" / "scan.json"
    if path.exists():
        held = files.read_json(path)
        by_number = {k: {int(n): v for n, v in held[k].items()} for k in ("first", "texts", "offsets", "examples")}
        counts = {split: {int(k): n for k, n in c.items()} for split, c in held["label_counts"].items()}
        return Scan(**{**held, **by_number, "label_counts": counts})
    found = _read_all(records)
    files.write_json(path, found)
    return found


def _read_all(records: RecordFiles) -> Scan:
    import tensorflow as tf
    from tqdm import tqdm

    found = Scan({}, {})
    share = records.validation_share
    shards = {split: [records.folder / name for name in names] for split, names in records.files.items()}
    summing = {split: tfrecord.SummaryBuilder(paths) for split, paths in shards.items()}
    to_read = [
        (split, s, path) for split in (shards if share is None else ["train"]) for s, path in enumerate(shards[split])
    ]
    for split, s, shard in tqdm(to_read, desc="checking shards", unit="shard", disable=None):
        for r, record in enumerate(tfrecord.read_records(shard)):
            try:
                feature = tf.train.Example.FromString(record).features.feature
            except Exception as error:  # protobuf's DecodeError has no public home
                raise DataError(
                    f"Record {r} of {shard} is no tf.train.Example; the shards are of another kind."
                ) from error
            encoded, label = _image_and_label(feature, records.keys, f"Record {r} of {shard}")
            if share is not None:
                split = "validation" if tfrecord.held_out(encoded, share) else "train"
            text, synset = (_text(feature, f"image/class/{name}") for name in ("text", "synset"))
            summing[split].add(s, label, text, encoded)
            if label not in found.first:
                found.first[label] = f"Record {r} of {shard}{tfrecord.in_brackets(tfrecord.file_name(feature))}"
                found.texts[label] = text
            index = class_matching.imagenet_index(synset) if class_matching.WORDNET_ID.fullmatch(synset) else None
            index = class_matching.imagenet_index(text) if index is None and text else index
            if index is None:
                found.unnamed += 1
            else:
                found.offsets[label - index] = found.offsets.get(label - index, 0) + 1
                found.examples.setdefault(label - index, f"{synset or text} has the label {label}")
    for split, sums in summing.items():
        summary = sums.result()
        if not summary.images:
            why = f"validation_share={share} leaves it none" if share else "copy or write them again"
            raise DataError(f"The {split} shards in {records.folder} hold no records; {why}.")
        found.label_counts[split], found.digests[split] = summary.label_counts, summary.digest
    return found


def _image_and_label(feature, keys: tuple[str, str], where: str) -> tuple[bytes, int]:
    encoded, label = feature[keys[0]].bytes_list.value[:], feature[keys[1]].int64_list.value[:]
    if len(encoded) != 1 or len(label) != 1:
        raise DataError(
            f"{where} has {len(encoded)} {keys[0]} and {len(label)} {keys[1]} values; a record of an image and its "
            "class has one of each."
        )
    if not encoded[0].startswith((b"\xff\xd8\xff", b"\x89PNG")):
        raise DataError(f"{where}{tfrecord.in_brackets(tfrecord.file_name(feature))} is neither JPEG nor PNG.")
    return encoded[0], label[0]


def _text(feature, key: str) -> str:
    values = feature[key].bytes_list.value
    return values[0].decode("utf-8", "replace") if values else ""


def check_labels(found: Scan, label_offset: int, num_classes: int) -> None:
    """Raises DataError naming the first record whose label is outside the classes."""
    labels = range(label_offset, label_offset + num_classes)
    for label, where in found.first.items():
        if label not in labels:
            raise DataError(
                f"{where} has the label {label}; with label_offset={label_offset} and {num_classes} classes, "
                f"{labels.start} to {labels.stop - 1} are allowed. "
                "Give the label_offset and num_classes that the shards were written with."
            )


def decide_labels(
    found: Scan, folder: Path, label_offset: int | None, num_classes: int | None
) -> tuple[int, tuple[str, ...], list[str]]:
    """(label of the first class, class names, what that was concluded from).

    What is given counts; what is not must follow from the records: all of them name classes of
    ImageNet in its order, or `num_classes` leaves only one possibility. Raises DataError where it
    does not follow, and where a label is outside the classes.
    """
    if (label_offset is not None and label_offset < 0) or (num_classes is not None and num_classes < 2):
        raise ConfigError(
            f"label_offset must be at least 0 and num_classes at least 2; received {label_offset} and {num_classes}."
        )
    lowest, highest = min(found.first), max(found.first)
    seen = f"{folder} has no {tfrecord.SIDECAR}; its labels run from {lowest} to {highest}"
    names_imagenet = not found.unnamed and num_classes in (None, imagenet.NUM_CLASSES)
    shown = "; ".join(found.examples[offset] for offset in sorted(found.offsets, key=found.offsets.get)[-3:])
    agreed = next(iter(found.offsets)) if names_imagenet and set(found.offsets) in ({0}, {1}) else None
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
    check_labels(found, label_offset, num_classes)
    if agreed == label_offset:
        return label_offset, imagenet.class_names(), notes
    labels = range(label_offset, label_offset + num_classes)
    return label_offset, tuple(found.texts.get(label) or str(label) for label in labels), notes


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
