"""The record of a data set: its shards, and the dataset.json that describes them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import object_schema, tfrecord
from mnext_tf.data.class_matching import check_class_names
from mnext_tf.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """TFRecord shards in `folder`, and what they hold.

    splits: images in "train" and "validation". label_offset: the stored label of class 0.
    fingerprint: sha256 of labels and encoded bytes. skipped: number of files that could not be used
    when the shards were written. class_counts: images per class, for each split. cache_dir: where the
    description of shards that came without dataset.json is kept. labelled: False for images that only
    calibrate and compare. shards: file names in `folder` by split; empty: train-*, validation-*.
    keys: the features that hold image and label. validation_share: both splits come from the same
    shards, divided by a hash of the images. carved: they came from a folder without splits.
    task: "classification" or "detection". Of a detection data set: metrics, the benchmark whose layout it has
    ("coco", "voc07", "voc", "kitti"), which is how it is evaluated; box_counts, boxes per class, for each split, also
    the difficult ones and crowds; class_counts is empty.

    Raises DataError for a class name that has a line break or another control character.
    """

    name: str
    folder: Path
    class_names: tuple[str, ...]
    splits: dict[str, int]
    label_offset: int
    fingerprint: str
    skipped: int
    class_counts: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)
    cache_dir: Path | None = None
    labelled: bool = True
    shards: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    keys: tuple[str, str] = tfrecord.KEYS
    validation_share: float | None = None
    carved: bool = False
    task: str = "classification"
    metrics: str = ""
    box_counts: dict[str, tuple[int, ...]] = field(default_factory=dict, repr=False)

    def __post_init__(self):
        check_class_names(self.class_names, self.folder)

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def has_own_splits(self) -> bool:
        return not self.carved and self.validation_share is None

    def shard_paths(self, split: str) -> list[Path]:
        if self.shards:
            return [self.folder / name for name in self.shards[split]]
        return tfrecord.find_shards(self.folder)[split]


def read_dataset(folder: Path, *, verify: bool = False) -> Dataset:
    """Read dataset.json and compare the sizes and samples of the shards it names.

    verify: read all shards and compare their content with the fingerprint. Raises DataError that says
    which file has changed, and how.
    """
    sidecar = folder / tfrecord.SIDECAR
    try:
        record = files.read_json(sidecar)
        detection = record.get("task") == "detection"

        def counts_of(key: str) -> dict[str, tuple[int, ...]]:
            return {split: tuple(record[key][split]) for split in tfrecord.SPLITS}

        dataset = Dataset(
            name=record["name"],
            folder=folder,
            class_names=tuple(record["class_names"]),
            splits={split: record["splits"][split] for split in tfrecord.SPLITS},
            label_offset=record["label_offset"],
            fingerprint=record["fingerprint"],
            skipped=len(record["skipped"]),
            class_counts={} if detection else counts_of("class_counts"),
            labelled=record.get("labelled", True),
            carved=record.get("carved", False),
            keys=object_schema.KEYS if detection else tfrecord.KEYS,
            task=record.get("task", "classification"),
            metrics=record["metrics"] if detection else "",
            box_counts=counts_of("box_counts") if detection else {},
        )
        sizes, samples = dict(record["shards"]), dict(record.get("samples", {}))
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{sidecar} is damaged or was written by another program ({type(error).__name__}: {error}). "
            f"If this program made {folder}, delete the folder, and it will be made again."
        ) from error
    for name, size in sizes.items():
        if change := _change(folder / name, size, samples.get(name)):
            raise DataError(
                f"{folder / name} {change}. Restore it; or, if this program made {folder}, delete the folder, and it "
                "will be made again."
            )
    if verify and _content(dataset) != dataset.fingerprint:
        raise DataError(f"The records in {folder} are not those that {sidecar.name} was written for. Restore them.")
    return dataset


def _change(shard: Path, size: int, sample: str | None) -> str | None:
    """How a shard differs from its description; no sample in those that were written by version 0.1."""
    if not shard.exists():
        return "is missing"
    if (held := shard.stat().st_size) != size:
        return f"has {held} bytes and should have {size}; {_good_records(shard)}"
    if sample and tfrecord.sample(shard) != sample:
        return "has changed: it is as long as before, but holds other bytes"
    return None


def _content(dataset: Dataset) -> str:
    """The fingerprint, from the records themselves."""
    import tensorflow as tf

    digests = {}
    for split in tfrecord.SPLITS:
        shards = dataset.shard_paths(split)
        summary = tfrecord.SummaryBuilder(shards)
        for s, shard in enumerate(shards):
            for record in tfrecord.read_records(shard):
                feature = tf.train.Example.FromString(record).features.feature
                if dataset.task == "detection":
                    names = object_schema.object_keys(dataset.keys)
                    encoded, objects, _ = object_schema.read_objects(feature, names, dataset.label_offset, str(shard))
                    summary.add(s, dataset.label_offset, "", encoded, objects)
                    continue
                encoded, label = (feature[key] for key in dataset.keys)
                summary.add(s, label.int64_list.value[0], "", encoded.bytes_list.value[0])
        digests[split] = summary.result().digest
    return files.sha256_of(digests)


def _good_records(shard: Path) -> str:
    good = 0
    with contextlib.suppress(DataError):
        for _ in tfrecord.read_records(shard):
            good += 1
    return f"its first {good} records are good"
