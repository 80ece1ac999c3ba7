"""A data set as its shards, and the dataset.json that describes them."""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import tfrecord
from mnext_tf.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """TFRecord shards in `folder`, and what is in them.

    splits: images in "train" and "validation". label_offset: the stored label of class 0.
    fingerprint: sha256 of labels and encoded bytes. skipped: damaged files left out when the shards
    were written. class_counts: images per class, for each split. cache_dir: where the description of
    shards that came without dataset.json is kept. labelled: False for images that only calibrate and
    compare. shards: file names in `folder` by split; empty: train-*, validation-*. keys: the features
    that hold image and label. validation_share: both splits come from the same shards, divided by a
    hash of the images.
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

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    def shard_paths(self, split: str) -> list[Path]:
        if self.shards:
            return [self.folder / name for name in self.shards[split]]
        return tfrecord.find_shards(self.folder)[split]


def read_dataset(folder: Path) -> Dataset:
    """Read dataset.json and check that the shards it names are there, with their sizes."""
    sidecar = folder / tfrecord.SIDECAR
    try:
        record = files.read_json(sidecar)
        dataset = Dataset(
            name=record["name"],
            folder=folder,
            class_names=tuple(record["class_names"]),
            splits={split: record["splits"][split] for split in tfrecord.SPLITS},
            label_offset=record["label_offset"],
            fingerprint=record["fingerprint"],
            skipped=len(record["skipped"]),
            class_counts={split: tuple(record["class_counts"][split]) for split in tfrecord.SPLITS},
            labelled=record.get("labelled", True),
        )
        sizes = dict(record["shards"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{sidecar} is damaged or was written by another program ({type(error).__name__}: {error}). "
            f"If this program made {folder}, delete the folder, and it will be made again."
        ) from error
    for name, size in sizes.items():
        shard = folder / name
        held = shard.stat().st_size if shard.exists() else None
        if held != size:
            state = "is missing" if held is None else f"has {held} bytes and should have {size}"
            records = f"; {_good_records(shard)}" if held is not None else ""
            raise DataError(
                f"{shard} {state}{records}. Restore it; or, if this program made {folder}, delete the folder, "
                "and it will be made again."
            )
    return dataset


def _good_records(shard: Path) -> str:
    good = 0
    with contextlib.suppress(DataError):
        for _ in tfrecord.read_records(shard):
            good += 1
    return f"its first {good} records are good"
