"""TFRecord shards without dataset.json, written by other programs: read through once, then used in place."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import class_matching, tfrecord
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.image_files import MAX_PIXELS, check_pixels
from mnext_tf.data.preprocess import encoded_size
from mnext_tf.data.sources.record_labels import decide_labels, number_for_network
from mnext_tf.errors import DataError
from mnext_tf.text import path_text, printable

_log = logging.getLogger(__name__)


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
    """The content of the records. Label counts per split are by stored label.

    shards: for every file its size, modification time and sample. largest: width, height and place of
    the largest image. first: for every label, its first place. texts: class names beside the labels.
    offsets: stored label minus ImageNet's class index, counted over all records that name a class of
    ImageNet, and a record of each in examples; unnamed: number of records that name none.
    """

    label_counts: dict[str, dict[int, int]]
    digests: dict[str, str]
    shards: dict[str, list] = dataclasses.field(default_factory=dict)
    largest: list = dataclasses.field(default_factory=lambda: [0, 0, ""])
    first: dict[int, str] = dataclasses.field(default_factory=dict)
    texts: dict[int, str] = dataclasses.field(default_factory=dict)
    offsets: dict[int, int] = dataclasses.field(default_factory=dict)
    examples: dict[int, str] = dataclasses.field(default_factory=dict)
    unnamed: int = 0


def matches(folder: Path) -> bool:
    return bool(tfrecord.find_shards(folder))


def open_shards(
    folder: Path,
    cache: Path,
    *,
    label_offset: int | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    validation_share: float = 0.1,
    max_pixels: int = MAX_PIXELS,
    verify: bool = False,
) -> Dataset:
    """Shards in the TF-slim schema; the arguments are those of `mnext_tf.data.open_dataset`."""
    shards = {split: tuple(path.name for path in paths) for split, paths in tfrecord.find_shards(folder).items()}
    if "train" not in shards:
        raise DataError(f"{folder} has no train shards (train-00000-of-00001 and so on); add them.")
    share = None if "validation" in shards else validation_share
    if share:
        _log.info(f"{folder} has no validation shards: {share:.0%} of the training images are held out.")
        shards["validation"] = shards["train"]
    records = RecordFiles(folder, shards, validation_share=share)
    found = scan(records, cache, max_pixels=max_pixels, verify=verify)
    if num_classes is None and class_names is not None:
        label_offset, num_classes = number_for_network(found, folder, label_offset, class_names)
    offset, class_names, notes = decide_labels(found, folder, label_offset, num_classes)
    for note in notes:
        _log.info(note)
    return dataset_of(path_text(folder.resolve().name), records, found, offset, class_names, cache)


def dataset_of(
    name: str, records: RecordFiles, found: Scan, label_offset: int, class_names: tuple[str, ...], cache: Path
) -> Dataset:
    labels = range(label_offset, label_offset + len(class_names))
    return Dataset(
        name=name,
        folder=records.folder,
        class_names=class_names,
        splits={split: sum(found.label_counts[split].values()) for split in tfrecord.SPLITS},
        label_offset=label_offset,
        fingerprint=files.sha256_of({split: found.digests[split] for split in records.files}),
        skipped=0,
        class_counts={s: tuple(found.label_counts[s].get(k, 0) for k in labels) for s in tfrecord.SPLITS},
        cache_dir=cache,
        shards=records.files,
        keys=records.keys,
        validation_share=records.validation_share,
    )


def scan(records: RecordFiles, cache: Path, *, max_pixels: int = MAX_PIXELS, verify: bool = False) -> Scan:
    """Read every record once; the result is kept in the folder `cache` until a shard changes.

    A change shows in a shard's size, modification time or sample; it is logged as a warning, and all
    shards are read again, as they are with `verify`. Raises DataError for a damaged shard, a record
    without image or label, bytes that are neither JPEG nor PNG, and an image of more than
    `max_pixels`, with the shard and the record's number from 0; and for an empty split.
    """
    return kept_scan(records, cache, _read_all, _parse_scan, max_pixels=max_pixels, verify=verify)


def kept_scan(
    records: RecordFiles, cache: Path, read: Callable, parse: Callable, *, max_pixels: int, verify: bool, about=()
):
    """`read(records)`, kept below `cache` as JSON until a shard changes; `parse` makes it of that again.

    about: what it depends on besides, as JSON.

    It has digests, shards, and largest, as a `Scan`.
    """
    names = sorted(set().union(*records.files.values()))
    where = str(records.folder.resolve())
    key = files.sha256_of([where, records.files, records.keys, records.validation_share, *about])[:12]
    path = cache / f"{path_text(records.folder.resolve().name)}-{key}" / "scan.json"
    shards = {name: _state(records.folder / name) for name in names}
    found = _read_scan(path, parse)
    changes = [] if found is None else _changes(found.shards, shards)
    if changes:
        _log.warning(f"{records.folder} has changed since it was read: {'; '.join(changes[:5])}. It is read again.")
    if found is None or changes or verify:
        before, found = found, read(records)
        if before and not changes and before.digests != found.digests:
            _log.warning(f"{records.folder} has changed: other records, in shards of the same sizes and times.")
        found.shards = shards
        files.write_json(path, found)
    width, height, place = found.largest
    check_pixels(width, height, max_pixels, f"{place}: ")
    return found


def _state(shard: Path) -> list:
    stat = shard.stat()
    return [stat.st_size, stat.st_mtime_ns, tfrecord.sample(shard)]


def _changes(before: dict[str, list], now: dict[str, list]) -> list[str]:
    """What differs in each shard, in words."""
    changes = []
    for name, (size, changed, sample) in now.items():
        old_size, old_changed, old_sample = before[name]
        if size != old_size:
            changes.append(f"{name} had {old_size} bytes and has {size}")
        elif sample != old_sample:
            changes.append(f"{name} is as long as before but holds other bytes")
        elif changed != old_changed:
            changes.append(f"{name} was written again, or copied")
    return changes


def _read_scan(path: Path, parse: Callable):
    """A scan that was kept; None where there is none, or it is damaged."""
    try:
        return parse(files.read_json(path))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _parse_scan(kept: dict) -> Scan:
    by_label = {key: {int(n): v for n, v in kept[key].items()} for key in ("first", "texts", "offsets", "examples")}
    counts = {split: {int(k): n for k, n in c.items()} for split, c in kept["label_counts"].items()}
    return Scan(**{**kept, **by_label, "label_counts": counts})


def _read_all(records: RecordFiles) -> Scan:
    found = Scan({}, {})
    summing = summary_builders(records)
    for split, s, where, feature in all_features(records):
        encoded, label = _image_and_label(feature, records.keys, where)
        note_largest(found, encoded, where)
        text, synset = (_text(feature, f"image/class/{name}") for name in ("text", "synset"))
        summing[split_of(encoded, split, records)].add(s, label, text, encoded)
        if label not in found.first:
            found.first[label] = where
            found.texts[label] = text
        index = class_matching.imagenet_index(synset) if class_matching.WORDNET_ID.fullmatch(synset) else None
        index = class_matching.imagenet_index(text) if index is None and text else index
        if index is None:
            found.unnamed += 1
        else:
            found.offsets[label - index] = found.offsets.get(label - index, 0) + 1
            found.examples.setdefault(label - index, f"{printable(synset or text)} has the label {label}")
    for split, summary in summaries(records, summing).items():
        found.label_counts[split], found.digests[split] = summary.label_counts, summary.digest
    return found


def all_features(records: RecordFiles) -> Iterator[tuple[str, int, str, Mapping]]:
    """(split, shard's number in it, where, features) of every record. Raises DataError for one of another kind."""
    import tensorflow as tf
    from tqdm import tqdm

    shards = {split: [records.folder / name for name in names] for split, names in records.files.items()}
    read = shards if records.validation_share is None else ["train"]
    to_read = [(split, s, path) for split in read for s, path in enumerate(shards[split])]
    for split, s, shard in tqdm(to_read, desc="checking shards", unit="shard", disable=None):
        for r, record in enumerate(tfrecord.read_records(shard)):
            try:
                feature = tf.train.Example.FromString(record).features.feature
            except Exception as error:  # protobuf's DecodeError has no public home
                raise DataError(
                    f"Record {r} of {shard} is no tf.train.Example; the shards have another schema."
                ) from error
            yield split, s, f"Record {r} of {shard}{tfrecord.in_brackets(tfrecord.file_name(feature))}", feature


def summary_builders(records: RecordFiles) -> dict[str, tfrecord.SummaryBuilder]:
    return {
        split: tfrecord.SummaryBuilder([records.folder / name for name in names])
        for split, names in records.files.items()
    }


def split_of(encoded: bytes, split: str, records: RecordFiles) -> str:
    """The split of an image: that of its shard, or by its hash."""
    if records.validation_share is None:
        return split
    return "validation" if tfrecord.held_out(encoded, records.validation_share) else "train"


def note_largest(found, encoded: bytes, where: str) -> None:
    width, height = encoded_size(encoded)
    if width * height > found.largest[0] * found.largest[1]:
        found.largest = [width, height, where]


def summaries(records: RecordFiles, summing: dict[str, tfrecord.SummaryBuilder]) -> dict[str, tfrecord.SplitSummary]:
    """What each split holds. Raises DataError for one without records."""
    held = {split: builder.result() for split, builder in summing.items()}
    for split, summary in held.items():
        if not summary.images:
            share = records.validation_share
            why = f"validation_share={share} leaves it none" if share else "copy or write them again"
            raise DataError(f"The {split} shards in {records.folder} hold no records; {why}.")
    return held


def is_sound(encoded: bytes) -> bool:
    """Whether bytes begin as a JPEG or PNG."""
    return encoded.startswith((b"\xff\xd8\xff", b"\x89PNG"))


def _image_and_label(feature, keys: tuple[str, str], where: str) -> tuple[bytes, int]:
    encoded, label = feature[keys[0]].bytes_list.value[:], feature[keys[1]].int64_list.value[:]
    if len(encoded) != 1 or len(label) != 1:
        raise DataError(
            f"{where} has {len(encoded)} {keys[0]} and {len(label)} {keys[1]} values; a record of an image and its "
            "class has one of each."
        )
    if not is_sound(encoded[0]):
        raise DataError(f"{where} is neither JPEG nor PNG.")
    return encoded[0], label[0]


def _text(feature, key: str) -> str:
    values = feature[key].bytes_list.value
    return values[0].decode("utf-8", "replace") if values else ""
