"""Opens any of the layouts of training data, converting what has to be converted, once."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import digits, folder, tfrecord
from mnext_tf.errors import ConfigError, DataError

LAYOUTS = (
    f"a folder with {folder.LAYOUT}; a folder with TFRecord shards (train-00000-of-00001, "
    f"validation-00000-of-00001) and {tfrecord.SIDECAR}; or TFRecord shards in the TF-slim schema without "
    f"{tfrecord.SIDECAR}, with label_offset and num_classes given"
)


@dataclass(frozen=True)
class Dataset:
    """TFRecord shards in `folder`, and what is in them.

    splits: images in "train" and "validation". label_offset: the stored label of class 0.
    fingerprint: sha256 of labels and encoded bytes. skipped: damaged files left out when the shards
    were written. class_counts: images per class, for each split. cache_dir: where dataset.json of shards
    that came without one is kept.
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

    @property
    def num_classes(self) -> int:
        return len(self.class_names)


def open_dataset(
    data_dir: str | Path | None,
    cache_dir: str | Path = "data",
    *,
    label_offset: int | None = None,
    num_classes: int | None = None,
    log: Callable[[str], None] | None = None,
) -> Dataset:
    """Open the embedded digits (None), TFRecord shards, or photographs in train/<class>/ and val/<class>/.

    Digits and photographs are converted once into a folder under `cache_dir`. Shards without
    dataset.json need `label_offset` and `num_classes`; all their records are then read once, and
    what was found is kept under `cache_dir`. `log` gets a line when damaged files were skipped.
    Raises DataError for anything else, and ConfigError where `label_offset` or `num_classes`
    contradicts dataset.json.
    """
    try:
        if data_dir is None:
            dataset = _open_digits(Path(cache_dir))
        else:
            dataset = _open_folder(Path(data_dir), Path(cache_dir), label_offset, num_classes)
    except OSError as error:
        raise DataError(
            f"{error.filename or cache_dir}: {error.strerror}. Choose another folder or mend its permissions."
        ) from error
    for what, given, held in (
        ("label_offset", label_offset, dataset.label_offset),
        ("num_classes", num_classes, dataset.num_classes),
    ):
        if given is not None and given != held:
            raise ConfigError(f"{what}={given} was given, but {dataset.name} has {what} {held}. Leave it out.")
    if log and (
        lacking := [n for n, k in zip(dataset.class_names, dataset.class_counts["train"], strict=True) if not k]
    ):
        log(
            f"warning: {dataset.name} has no training image of {len(lacking)} of {dataset.num_classes} classes: "
            f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}. Are label_offset and num_classes right?"
        )
    if log and dataset.skipped:
        sidecar = dataset.folder / tfrecord.SIDECAR
        first = "; ".join(f"{path} ({reason})" for path, reason in files.read_json(sidecar)["skipped"][:3])
        log(f"{dataset.name}: {dataset.skipped} damaged files skipped: {first}. All are listed in {sidecar}.")
    return dataset


def reopen_dataset(description: dict, num_classes: int, *, log: Callable[[str], None] | None = None) -> Dataset:
    """The data set that `description`, the dataset of a run's configuration, names; as `open_dataset`."""
    folder = Path(description["folder"])
    if not folder.exists() and description["name"] == "digits":
        return open_dataset(None, folder.parent, log=log)  # the embedded data can be written again
    if not folder.exists():
        raise DataError(
            f"{folder}, the data of the run, does not exist. Put it back; what was prepared from photographs is made "
            "again by `python -m pipelines.train --resume --run=RUN --data_dir=PHOTOGRAPHS`."
        )
    cache_dir = description.get("cache_dir")
    if cache_dir is None:
        return open_dataset(folder, log=log)
    return open_dataset(folder, cache_dir, label_offset=description["label_offset"], num_classes=num_classes, log=log)


def _open_digits(cache_dir: Path) -> Dataset:
    target = cache_dir / "digits"
    if not (target / tfrecord.SIDECAR).exists():
        digits.write_digits(target)
    return _read(target, target)


def _open_folder(data_dir: Path, cache_dir: Path, label_offset: int | None, num_classes: int | None) -> Dataset:
    if not data_dir.is_dir():
        state = "is a file" if data_dir.exists() else "does not exist"
        raise DataError(f"{data_dir} {state}. A data folder is {LAYOUTS}.")
    if (data_dir / tfrecord.SIDECAR).exists():
        return _read(data_dir, data_dir)
    if shards := tfrecord.find_shards(data_dir):
        return _open_foreign_shards(data_dir, cache_dir, shards, label_offset, num_classes)
    if any((data_dir / name).is_dir() for name in ("train", "val", "validation")):
        listing = folder.list_folder(data_dir)
        target = cache_dir / f"{data_dir.resolve().name}-{listing.fingerprint(data_dir)[:12]}"
        if not (target / tfrecord.SIDECAR).exists():
            folder.write_folder(data_dir, target)
        return _read(target, target)
    found = sorted(path.name for path in data_dir.iterdir())
    listed = f"holds {', '.join(found[:5])}{', …' if len(found) > 5 else ''}" if found else "is empty"
    raise DataError(f"{data_dir} {listed}. A data folder is {LAYOUTS}.")


def _open_foreign_shards(data_dir, cache_dir, shards, label_offset, num_classes) -> Dataset:
    if label_offset is None or num_classes is None:
        raise DataError(
            f"{data_dir} has TFRecord shards but no {tfrecord.SIDECAR}, so the label of the first class and the number "
            "of classes are unknown. Give both, for example label_offset=1, num_classes=1000 for ImageNet as TF-slim "
            "writes it (labels 1 to 1000), or label_offset=0 where labels start at 0."
        )
    if label_offset < 0 or num_classes < 2:
        raise ConfigError(
            f"label_offset must be at least 0 and num_classes at least 2; received {label_offset} and {num_classes}."
        )
    if missing := [split for split in tfrecord.SPLITS if split not in shards]:
        raise DataError(f"{data_dir} has no {missing[0]} shards ({missing[0]}-00000-of-00001 and so on); add them.")
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for paths in shards.values() for p in paths]
    key = files.sha256_of([stats, label_offset, num_classes])[:12]
    name = data_dir.resolve().name
    target = cache_dir / f"{name}-{key}"
    if not (target / tfrecord.SIDECAR).exists():
        labels = range(label_offset, label_offset + num_classes)
        summaries = {split: tfrecord.summarize(paths, labels) for split, paths in shards.items()}
        if empty := [split for split, summary in summaries.items() if not summary.images]:
            raise DataError(f"The {empty[0]} shards in {data_dir} hold no records; copy or write them again.")
        texts = summaries["train"].label_texts
        class_names = [texts.get(label) or str(label) for label in labels]
        tfrecord.write_sidecar(
            target, name=name, class_names=class_names, label_offset=label_offset, summaries=summaries
        )
    return dataclasses.replace(_read(data_dir, target), cache_dir=cache_dir)


def _read(shard_folder: Path, sidecar_folder: Path) -> Dataset:
    """Read dataset.json and check that the shards it names are there, with their sizes."""
    sidecar = sidecar_folder / tfrecord.SIDECAR
    try:
        record = files.read_json(sidecar)
        dataset = Dataset(
            name=record["name"],
            folder=shard_folder,
            class_names=tuple(record["class_names"]),
            splits={split: record["splits"][split] for split in tfrecord.SPLITS},
            label_offset=record["label_offset"],
            fingerprint=record["fingerprint"],
            skipped=len(record["skipped"]),
            class_counts={split: tuple(record["class_counts"][split]) for split in tfrecord.SPLITS},
        )
        sizes = dict(record["shards"])
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{sidecar} is damaged or was written by another program ({type(error).__name__}: {error}). "
            f"If this program made {sidecar_folder}, delete the folder, and it will be made again."
        ) from error
    for name, size in sizes.items():
        shard = shard_folder / name
        held = shard.stat().st_size if shard.exists() else None
        if held != size:
            state = "is missing" if held is None else f"has {held} bytes and should have {size}"
            records = f"; {_good_records(shard)}" if held is not None else ""
            raise DataError(
                f"{shard} {state}{records}. Restore it; or, if this program made {shard_folder}, delete the folder, "
                "and it will be made again."
            )
    return dataset


def _good_records(shard: Path) -> str:
    good = 0
    with contextlib.suppress(DataError):
        for _ in tfrecord.read_records(shard):
            good += 1
    return f"its first {good} records are good"
