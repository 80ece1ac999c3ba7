"""TFRecords with boxes that come without dataset.json, in the Object Detection API's schema: read through once."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import object_schema, tfrecord
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.detection_classes import VOC
from mnext_tf.data.image_files import MAX_PIXELS
from mnext_tf.data.sources import tfrecords
from mnext_tf.data.sources.class_labels import names_beside
from mnext_tf.data.sources.tfrecords import RecordFiles
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import path_text, printable

_log = logging.getLogger(__name__)

# pascal_train.record, coco_val.record-00000-of-00010, train.tfrecord, train-00000-of-00004
_SHARD = re.compile(
    r"(.*?)(train|val|validation|valid|eval|test)(?:\.(?:tf)?records?)?(?:-\d{5}-of-(\d{5}))?(?:\.(?:tf)?records?)?"
)
_LABEL_MAP = re.compile(r"""item\s*\{([^}]*)\}""")
_TEXT = "image/object/class/text"
_NO_CLASS = "DontCare"  # what our own records call label 0
_MOST_CLASSES = 100_000
_KITTI = {"Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc"}


@dataclass
class ObjectScan:
    """The content of the records. images, box_counts (by class from 0), tally: per split. shards, largest: as in
    `tfrecords.Scan`. first: for every stored label, its first place; texts: its name beside it."""

    digests: dict[str, str]
    images: dict[str, int] = dataclasses.field(default_factory=dict)
    box_counts: dict[str, dict[int, int]] = dataclasses.field(default_factory=dict)
    tally: dict[str, dict[str, int]] = dataclasses.field(default_factory=dict)
    shards: dict[str, list] = dataclasses.field(default_factory=dict)
    largest: list = dataclasses.field(default_factory=lambda: [0, 0, ""])
    first: dict[int, str] = dataclasses.field(default_factory=dict)
    texts: dict[int, str] = dataclasses.field(default_factory=dict)


def matches(folder: Path) -> bool:
    """Whether the first training record has boxes, and no class of the whole image."""
    shards = _find(folder).get("train")
    return bool(shards) and _has_boxes(folder / shards[0])


def open_records(
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
    """Shards in the Object Detection API's schema; the arguments are those of `mnext_tf.data.open_dataset`.

    Labels count from 1, as that schema has it, unless label_offset says otherwise. Names are those of a *.pbtxt label
    map or a labels.txt in the folder, else those beside the boxes.
    """
    shards = _find(folder)
    share = None if "validation" in shards else validation_share
    if share:
        _log.info(f"{folder} has no validation shards: {share:.0%} of the training images are held out.")
        shards["validation"] = shards["train"]
    records = RecordFiles(folder, shards, object_schema.KEYS, share)
    offset = object_schema.LABEL_OFFSET if label_offset is None else label_offset
    if offset not in (0, 1):
        raise ConfigError(f"label_offset of records with boxes must be 0 or 1; received {offset}.")
    found = scan(records, cache, offset, max_pixels=max_pixels, verify=verify)
    if label_offset is None and 0 in found.first and found.texts.get(0) != _NO_CLASS:
        raise DataError(
            f"{found.first[0]} has the label 0, which the Object Detection API's records keep for the background. Give "
            "label_offset=0 if it is the first class."
        )
    names = _names(folder, found, offset, num_classes, class_names)
    return dataset_of(path_text(folder.resolve().name), records, found, offset, names, _benchmark(names), cache)


def scan(records: RecordFiles, cache: Path, label_offset: int, *, max_pixels: int = MAX_PIXELS, verify: bool = False):
    """Read every record once, as `tfrecords.scan`; the result, an ObjectScan, is kept."""

    def read(records: RecordFiles) -> ObjectScan:
        return _read_all(records, label_offset)

    about = (label_offset,)
    return tfrecords.kept_scan(records, cache, read, _parse_scan, max_pixels=max_pixels, verify=verify, about=about)


def dataset_of(
    name: str, records: RecordFiles, found: ObjectScan, label_offset: int, class_names, metrics: str, cache: Path
) -> Dataset:
    """Raises DataError for a label that is none of the classes, and where no training image has a box."""
    for label, where in found.first.items():
        if label - label_offset >= len(class_names):
            raise DataError(
                f"{where} has the label {label}; with label_offset={label_offset} and {len(class_names)} classes the "
                f"highest is {label_offset + len(class_names) - 1}. Give the num_classes that the shards have."
            )
    for split, counts in found.tally.items():
        _log.info(f"{name}, {split}: {', '.join(f'{count} {kind}' for kind, count in sorted(counts.items()))}.")
    if not found.box_counts["train"]:
        raise DataError(f"{records.folder}: no training image has a box, so nothing could be learned.")
    return Dataset(
        name=name,
        folder=records.folder,
        class_names=tuple(class_names),
        splits={split: found.images[split] for split in tfrecord.SPLITS},
        label_offset=label_offset,
        fingerprint=files.sha256_of({split: found.digests[split] for split in records.files}),
        skipped=0,
        cache_dir=cache,
        shards=records.files,
        keys=records.keys,
        validation_share=records.validation_share,
        task="detection",
        metrics=metrics,
        box_counts={s: tuple(found.box_counts[s].get(k, 0) for k in range(len(class_names))) for s in tfrecord.SPLITS},
    )


def _find(folder: Path) -> dict[str, tuple[str, ...]]:
    """Names of the shards of "train" and "validation", those of one name each; none where there are no training ones.

    Raises DataError where one of a numbered set is missing, and where several sets could be meant.
    """
    if shards := tfrecord.find_shards(folder):
        return {split: tuple(path.name for path in paths) for split, paths in shards.items()}
    sets: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folder.iterdir()):
        match = _SHARD.fullmatch(path.name)
        if match and "record" in path.name and path.is_file():
            split = "train" if match[2] == "train" else "test" if match[2] == "test" else "validation"
            sets.setdefault(split, {}).setdefault(f"{match[1]}{match[2]} of {match[3]}", []).append(path.name)
    if "train" not in sets:
        return {}
    chosen = {"train": sets["train"], "validation": sets.get("validation") or sets.get("test") or {}}
    for split, held in chosen.items():
        if len(held) > 1:
            raise DataError(
                f"{folder} has {len(held)} sets of {split} shards: {', '.join(held)}. Move all but one away."
            )
        for name, shards in held.items():
            total = name.rsplit(" of ", 1)[1]
            if total != "None" and int(total) != len(shards):
                raise DataError(f"{folder} has {len(shards)} of {int(total)} {split} shards. Copy the others there.")
    return {split: tuple(next(iter(held.values()))) for split, held in chosen.items() if held}


def _has_boxes(shard: Path) -> bool:
    import tensorflow as tf

    try:
        feature = tf.train.Example.FromString(next(tfrecord.read_records(shard), b"")).features.feature
    except Exception:  # another schema, or damage: whoever reads it says so
        return False
    return object_schema.object_keys(object_schema.KEYS).boxes[0] in feature and tfrecord.KEYS[1] not in feature


def _read_all(records: RecordFiles, label_offset: int) -> ObjectScan:
    found = ObjectScan({})
    keys = object_schema.object_keys(records.keys)
    summing = tfrecords.summary_builders(records)
    for split, s, where, feature in tfrecords.all_features(records):
        encoded, objects, tally = object_schema.read_objects(feature, keys, label_offset, where)
        if not tfrecords.is_sound(encoded):
            raise DataError(f"{where} is neither JPEG nor PNG.")
        tfrecords.note_largest(found, encoded, where)
        summing[tfrecords.split_of(encoded, split, records)].add(s, label_offset, "", encoded, objects, tally)
        texts = feature[_TEXT].bytes_list.value if _TEXT in feature else ()
        labels = feature[keys.label].int64_list.value
        for label, text in zip(labels, texts if len(texts) == len(labels) else [b""] * len(labels), strict=True):
            if label not in found.first:
                if not 0 <= label < _MOST_CLASSES:
                    raise DataError(f"{where} has the label {label}, which is no number of a class.")
                found.first[label], found.texts[label] = where, text.decode("utf-8", "replace")
    for split, summary in tfrecords.summaries(records, summing).items():
        found.digests[split], found.images[split] = summary.digest, summary.images
        found.box_counts[split], found.tally[split] = dict(summary.box_counts), dict(summary.tally)
    return found


def _parse_scan(kept: dict) -> ObjectScan:
    by_label = {key: {int(label): value for label, value in kept[key].items()} for key in ("first", "texts")}
    boxes = {split: {int(k): n for k, n in counts.items()} for split, counts in kept["box_counts"].items()}
    return ObjectScan(**{**kept, **by_label, "box_counts": boxes})


def _names(folder: Path, found: ObjectScan, offset: int, num_classes, class_names) -> tuple[str, ...]:
    """Class names from a label map, a list, or the records; the numbers of classes that none of them names."""
    named = _label_map(folder) or {offset + i: name for i, name in enumerate(names_beside(folder, at_least=1))}
    named = named or {label: text for label, text in found.texts.items() if text and label >= offset}
    if not named and class_names is not None:
        return tuple(class_names)
    highest = max([*named, *found.first], default=offset)
    count = num_classes or (len(class_names) if class_names is not None else max(1, highest - offset + 1))
    return tuple(named.get(offset + i) or str(offset + i) for i in range(count))


def _label_map(folder: Path) -> dict[int, str]:
    """Names by label of the only *.pbtxt file there."""
    paths = sorted(folder.glob("*.pbtxt"))
    if len(paths) != 1:
        return {}
    names = {}
    for item in _LABEL_MAP.findall(paths[0].read_text(encoding="utf-8")):
        number = re.search(r"\bid\s*:\s*(\d+)", item)
        shown = re.search(r"\bdisplay_name\s*:\s*(['\"])(.*?)\1", item) or re.search(
            r"\bname\s*:\s*(['\"])(.*?)\1", item
        )
        if not (number and shown):
            raise DataError(f"{paths[0]}: `item {{{printable(item.strip()[:60])}}}` has no id or no name.")
        names[int(number[1])] = shown[2]
    return names


def _benchmark(names: Sequence[str]) -> str:
    """The benchmark that has these classes; COCO's metrics for all others."""
    if set(names) == set(VOC):
        return "voc"
    return "kitti" if {"Car", "Pedestrian", "Cyclist"} <= set(names) <= _KITTI else "coco"
