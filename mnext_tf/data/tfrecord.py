"""TFRecords: classes in the TF-slim ImageNet schema, objects in the Object Detection API's; and their description."""

from __future__ import annotations

import contextlib
import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import object_schema
from mnext_tf.data.objects import Objects
from mnext_tf.errors import DataError
from mnext_tf.text import printable

SIDECAR = "dataset.json"
SPLITS = ("train", "validation")
KEYS = ("image/encoded", "image/class/label")  # of the TF-slim schema
_SAMPLES, _SAMPLE_BYTES = 4, 16 << 10
SHARD = re.compile(r"(train|validation)-(\d{5})-of-(\d{5})")


@dataclass(frozen=True)
class Example:
    """One encoded image. `format` is "JPEG" or "PNG"; `label` counts from 0; `remark`: how it was converted, if so.

    orientation: EXIF's number of the file, before it was turned upright. Of a detection data set: objects; tally, how
    many of each kind (`objects.place`); class_names, those of all its classes; and `label` is 0.
    """

    encoded: bytes
    format: str
    height: int
    width: int
    channels: int
    label: int
    class_name: str
    filename: str
    remark: str = ""
    orientation: int = 1
    objects: Objects | None = None
    tally: Mapping[str, int] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SplitSummary:
    """What the shards of a split hold: images per label (as stored), bytes per shard, a content digest.

    Of a detection data set all images count for the first label; box_counts: boxes per class, from 0; tally: how many
    of each kind.
    """

    label_counts: dict[int, int]
    label_texts: dict[int, str]
    shard_bytes: dict[str, int]
    digest: str
    box_counts: Counter[int] = field(default_factory=Counter)
    tally: Counter[str] = field(default_factory=Counter)

    @property
    def images(self) -> int:
        return sum(self.label_counts.values())


class SummaryBuilder:
    """Builds a SplitSummary; a shard's digest covers its labels, encoded bytes, and objects, in order."""

    def __init__(self, shards: list[Path]):
        self.shards = shards
        self.digests = [hashlib.sha256() for _ in shards]
        self.counts: dict[int, int] = {}
        self.texts: dict[int, str] = {}
        self.boxes: Counter[int] = Counter()
        self.tally: Counter[str] = Counter()

    def add(
        self, shard: int, label: int, text: str, encoded: bytes, objects: Objects | None = None, tally: Mapping = {}
    ) -> None:
        self.digests[shard].update(struct.pack("<qq", label, len(encoded)))
        self.digests[shard].update(encoded)
        self.counts[label] = self.counts.get(label, 0) + 1
        self.texts.setdefault(label, text)
        if objects is not None:
            self.digests[shard].update(objects.packed())
            self.boxes.update(objects.labels[objects.labels >= 0].tolist())
            self.tally.update(tally)

    def result(self) -> SplitSummary:
        sizes = {shard.name: shard.stat().st_size for shard in self.shards}
        digest = files.sha256_of([d.hexdigest() for d in self.digests])
        return SplitSummary(self.counts, self.texts, sizes, digest, self.boxes, self.tally)


def write_shards(
    examples: Iterable[Example], folder: Path, split: str, num_shards: int, *, label_offset: int = 1
) -> SplitSummary:
    """Deal `examples` in turn to `{split}-00000-of-0000N`, …; no shard appears unless all do.

    Labels are stored plus `label_offset`; TF-slim counts classes from 1. Raises DataError when the
    disk is full or refuses the write.
    """
    import tensorflow as tf

    shards = [Path(folder) / f"{split}-{i:05d}-of-{num_shards:05d}" for i in range(num_shards)]
    summing = SummaryBuilder(shards)
    try:
        with contextlib.ExitStack() as stack:
            partials = [stack.enter_context(files.atomic_write(shard)) for shard in shards]
            writers = [stack.enter_context(tf.io.TFRecordWriter(str(partial))) for partial in partials]
            for i, example in enumerate(examples):
                shard, label = i % num_shards, example.label + label_offset
                writers[shard].write(serialize(example, label))
                summing.add(shard, label, example.class_name, example.encoded, example.objects, example.tally)
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"The {split} shards could not be written to {folder}: {why_not_written(error)}. Free some space or choose "
            "another folder."
        ) from error
    return summing.result()


def why_not_written(error: Exception) -> str:
    """The system's reason in an OSError, or in TensorFlow's error of a write: `path; reason`."""
    return error.strerror if isinstance(error, OSError) else error.message.rsplit("; ", 1)[-1]


def serialize(example: Example, label: int, synset: str | None = None) -> bytes:
    """A record with `label` as it is stored; the same bytes each time. `synset`: a WordNet id where there is one.

    An example with objects is written with these; `label` is then the one that class 0 has in the record.
    """
    import tensorflow as tf

    def blob(value):
        value = value.encode() if isinstance(value, str) else value
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def number(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    feature = {
        "image/encoded": blob(example.encoded),
        "image/format": blob(example.format),
        "image/height": number(example.height),
        "image/width": number(example.width),
        "image/colorspace": blob("Grayscale" if example.channels == 1 else "RGB"),
        "image/channels": number(example.channels),
        "image/filename": blob(example.filename),
    }
    if example.objects is None:
        feature["image/class/label"] = number(label)
        feature["image/class/text"] = blob(example.class_name)
        feature["image/class/synset"] = blob(synset or example.class_name)
    else:
        feature["image/source_id"] = blob(example.filename)
        feature |= object_schema.object_features(example.objects, example.class_names, label)
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString(deterministic=True)


def parse(serialized, keys: Sequence[str] = KEYS):
    """One serialized record to (encoded bytes, stored label as int64), in-graph; `keys` name the two features."""
    import tensorflow as tf

    encoded, label = keys
    parsed = tf.io.parse_single_example(
        serialized, {encoded: tf.io.FixedLenFeature([], tf.string), label: tf.io.FixedLenFeature([], tf.int64)}
    )
    return parsed[encoded], parsed[label]


def parse_image(serialized, keys: Sequence[str]):
    """The encoded bytes of one serialized record, in-graph."""
    import tensorflow as tf

    return tf.io.parse_single_example(serialized, {keys[0]: tf.io.FixedLenFeature([], tf.string)})[keys[0]]


def held_out(encoded, share: float):
    """Whether a record belongs to the validation split that is taken by a hash of the images.

    Scalar bool, in-graph. It depends on the image alone, so the split is the same in any order of shards.
    """
    import tensorflow as tf

    return tf.strings.to_hash_bucket_fast(encoded, 1000) < round(1000 * share)


def find_shards(folder: Path) -> dict[str, list[Path]]:
    """Shards per split, in order; splits without any are left out. Raises DataError when one is missing."""
    found: dict[str, dict[int, Path]] = {}
    totals: dict[str, int] = {}
    for path in sorted(Path(folder).iterdir()):
        if match := SHARD.fullmatch(path.name):
            split, index, total = match[1], int(match[2]), int(match[3])
            if totals.setdefault(split, total) != total:
                raise DataError(
                    f"{folder} mixes {split} shards of {totals[split]} and of {total}; keep one complete set."
                )
            found.setdefault(split, {})[index] = path
    for split, shards in found.items():
        if missing := sorted(set(range(totals[split])) - set(shards)):
            raise DataError(
                f"{folder} lacks {len(missing)} of {totals[split]} {split} shards, the first of them "
                f"{split}-{missing[0]:05d}-of-{totals[split]:05d}; copy them there."
            )
    return {split: [shards[i] for i in sorted(shards)] for split, shards in found.items()}


def sample(shard: Path) -> str:
    """A digest of parts of a file, the first and the last included: cheap for any size, and another file's differs."""
    size = shard.stat().st_size
    with open(shard, "rb") as f:
        digest = hashlib.sha256()
        for i in range(_SAMPLES):
            f.seek(max(0, size - _SAMPLE_BYTES) * i // (_SAMPLES - 1))
            digest.update(f.read(_SAMPLE_BYTES))
    return digest.hexdigest()[:16]


def read_records(shard: Path) -> Iterator[bytes]:
    """Serialized records in order. Raises DataError where the shard is cut short or corrupt."""
    import tensorflow as tf

    good = 0
    try:
        for record in tf.data.TFRecordDataset(str(shard)):
            yield record.numpy()
            good += 1
    except tf.errors.DataLossError as error:
        raise DataError(
            f"{shard} is cut short or corrupt: {good} good records come before the damage. Copy or write it again."
        ) from error
    except tf.errors.OpError as error:  # a folder, or no permission
        raise DataError(
            f"{shard} cannot be read as a TFRecord file ({error.message}). Copy or write it again."
        ) from error


def file_name(feature) -> str:
    """The name that the features of a record give their image, printable; else nothing."""
    keys = ("image/filename", "image/file_name", "filename")
    names = [name for key in keys if key in feature for name in feature[key].bytes_list.value]
    return printable(names[0].decode("utf-8", "replace")) if names else ""


def in_brackets(name: str) -> str:
    return f" ({name})" if name else ""


def write_sidecar(
    folder: Path,
    *,
    name: str,
    class_names: list[str],
    label_offset: int,
    summaries: dict[str, SplitSummary],
    skipped: list[tuple[str, str]] = (),
    ignored: int = 0,
    task: str = "classification",
    **more,
) -> dict:
    """Write dataset.json and return it.

    skipped: (path, reason) of files that could not be used. ignored: number of files that are no
    images. more: further entries. For detection: boxes per class and of each kind, in place of images per class.
    """
    labels = range(label_offset, label_offset + len(class_names))
    sizes = {shard: size for s in summaries.values() for shard, size in s.shard_bytes.items()}
    counts = {"class_counts": {split: [s.label_counts.get(k, 0) for k in labels] for split, s in summaries.items()}}
    if task == "detection":
        counts = {
            "task": task,
            "class_counts": {},
            "box_counts": {
                split: [s.box_counts.get(k, 0) for k in range(len(labels))] for split, s in summaries.items()
            },
            "objects": {split: dict(sorted(s.tally.items())) for split, s in summaries.items()},
        }
    record = {
        "name": name,
        "class_names": list(class_names),
        "label_offset": label_offset,
        "splits": {split: s.images for split, s in summaries.items()},
        **counts,
        "shards": sizes,
        "samples": {shard: sample(Path(folder) / shard) for shard in sizes},
        "fingerprint": files.sha256_of({split: s.digest for split, s in summaries.items()}),
        "ignored": ignored,
        **more,
        "skipped": [list(entry) for entry in skipped],
    }
    files.write_json(Path(folder) / SIDECAR, record)
    return record
