"""Opens any of the layouts of training data, converting what has to be converted, once."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import class_matching, tfrecord
from mnext_tf.data.dataset import Dataset, read_dataset
from mnext_tf.data.prepare import prepare
from mnext_tf.data.prepare_state import STATE
from mnext_tf.data.shard_plan import measure
from mnext_tf.data.sources import digits, image_folder, listing, sample_images, tfds, tfrecords
from mnext_tf.data.sources.walk import path_text
from mnext_tf.errors import ConfigError, DataError

_log = logging.getLogger(__name__)

LAYOUTS = (
    f"a folder of photographs ({listing.LAYOUTS}); a folder with TFRecord shards (train-00000-of-00001, "
    f"validation-00000-of-00001) and {tfrecord.SIDECAR}, or in the TF-slim schema without {tfrecord.SIDECAR}, with "
    "label_offset and num_classes given where the records do not tell them; or a folder that TFDS has prepared"
)
EMBEDDED = {"digits": digits.write_digits, "photographs": sample_images.write_sample_images}


def open_dataset(
    data_dir: str | Path | None,
    cache_dir: str | Path = "data",
    *,
    label_offset: int | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    validation_share: float = 0.1,
) -> Dataset:
    """Open TFRecord shards, photographs in any of LAYOUTS, TFDS data or an embedded data set.

    Args:
      data_dir: a folder; "tfds:NAME"; or "digits" (also None) or "photographs", which are embedded.
        As a Path, "digits" and "photographs" are folders.
      cache_dir: photographs are converted below it once, and what was found in shards without
        dataset.json is kept there.
      label_offset, num_classes: for shards without dataset.json whose records do not tell them;
        num_classes may be left out where `class_names` are given.
        Where `class_names` begin with a background class, label_offset is the label of the class after it.
      class_names: a network's classes. Photographs are labelled in their order; other data must have them.
      validation_share: of data that has no validation split.

    Raises DataError for anything else, and ConfigError where `label_offset` or `num_classes`
    contradicts dataset.json.
    """
    if not 0.001 <= validation_share <= 0.9:
        raise ConfigError(f"validation_share must be between 0.001 and 0.9; received {validation_share}.")
    cache = Path(cache_dir)
    try:
        if data_dir is None or (isinstance(data_dir, str) and data_dir in EMBEDDED):
            dataset = _with_offset(_open_embedded(data_dir or "digits", cache), label_offset)
        else:
            if isinstance(data_dir, str) and data_dir.startswith(tfds.PREFIX):
                data_dir = tfds.fetch(data_dir.removeprefix(tfds.PREFIX), cache)
            dataset = _open_folder(Path(data_dir), cache, label_offset, num_classes, class_names, validation_share)
    except OSError as error:
        raise DataError(
            f"{error.filename or cache_dir}: {error.strerror}. Choose another folder or mend its permissions."
        ) from error
    if num_classes not in (None, dataset.num_classes):
        raise ConfigError(
            f"num_classes={num_classes} was given, but {dataset.name} has num_classes {dataset.num_classes}. "
            "Leave it out."
        )
    if class_names is not None and dataset.labelled:
        _check_classes(dataset, class_names)
    lacking = [n for n, k in zip(dataset.class_names, dataset.class_counts["train"], strict=True) if not k]
    if lacking and dataset.cache_dir:  # records of others; photographs may well show a part of a network's classes
        _log.warning(
            f"{dataset.name} has no training image of {len(lacking)} of {dataset.num_classes} classes: "
            f"{', '.join(lacking[:5])}{' ...' if len(lacking) > 5 else ''}. Are label_offset and num_classes right?"
        )
    if dataset.skipped:
        sidecar = dataset.folder / tfrecord.SIDECAR
        first = "; ".join(f"{path} ({reason})" for path, reason in files.read_json(sidecar)["skipped"][:3])
        _log.info(f"{dataset.name}: {dataset.skipped} damaged files skipped: {first}. All are listed in {sidecar}.")
    return dataset


def reopen_dataset(description, num_classes: int) -> Dataset:
    """The data set that `description`, the `DatasetConfig` of a run, names; as `open_dataset`."""
    folder = Path(description.folder)
    if not folder.exists() and description.name in EMBEDDED and folder.name == description.name:
        return open_dataset(description.name, folder.parent)  # the embedded data can be written again
    if not folder.exists():
        raise DataError(
            f"{folder}, the data of the run, does not exist. Put it back; what was prepared from photographs is made "
            "again by `python -m pipelines.train --resume --run=RUN --data_dir=PHOTOGRAPHS`."
        )
    cache_dir = description.cache_dir
    if cache_dir is None:
        return open_dataset(folder)
    share = {"validation_share": description.validation_share} if description.validation_share else {}
    return open_dataset(folder, cache_dir, label_offset=description.label_offset, num_classes=num_classes, **share)


def has_records(source: str | Path) -> bool:
    """Whether `source`, as `open_dataset` takes it, is read record by record: anything but photographs as files."""
    if isinstance(source, str) and (source in EMBEDDED or source.startswith(tfds.PREFIX)):
        return True
    folder = Path(source)
    if not folder.is_dir():
        return False
    described = (folder / tfrecord.SIDECAR).exists() or (folder / STATE).is_dir() or tfds.is_tfds(folder)
    return described or bool(tfrecord.find_shards(folder))


def _open_embedded(name: str, cache_dir: Path) -> Dataset:
    target = cache_dir / name
    if not (target / tfrecord.SIDECAR).exists():
        EMBEDDED[name](target)
    return read_dataset(target)


def _open_folder(
    data_dir: Path, cache_dir: Path, label_offset, num_classes, class_names, validation_share: float
) -> Dataset:
    if not data_dir.is_dir():
        state = "is a file" if data_dir.exists() else "does not exist"
        raise DataError(f"{data_dir} {state}. A data folder is {LAYOUTS}.")
    if (data_dir / tfrecord.SIDECAR).exists():
        return _with_offset(read_dataset(data_dir), label_offset)
    if (data_dir / STATE).is_dir():
        raise DataError(f"{data_dir} is half written. Start the command that writes it again; it goes on from there.")
    if tfds.is_tfds(data_dir):
        return _with_offset(_open_tfds(data_dir, cache_dir, validation_share), label_offset)
    if shards := tfrecord.find_shards(data_dir):
        given = (label_offset, num_classes, class_names)
        return _open_foreign(data_dir, cache_dir, shards, *given, validation_share)
    if records := sorted(p.name for p in data_dir.iterdir() if "record" in p.name and p.is_file()):
        raise DataError(
            f"{data_dir} holds {records[0]}: no TF-slim shards, which are called train-00000-of-00001 and "
            f"validation-00000-of-00001, and no folder of TFDS, which has dataset_info.json and features.json."
        )
    listed = image_folder.list_images(
        data_dir, class_names=class_names, validation_share=validation_share, label_offset=label_offset
    )
    measured = measure(listed)
    target = cache_dir / f"{listed.name}-{measured.snapshot[:12]}"
    if not (target / tfrecord.SIDECAR).exists():
        for note in listed.notes:
            _log.info(note)
        prepare(listed, target, measured=measured)
    return read_dataset(target)


def _with_offset(dataset: Dataset, label_offset: int | None) -> Dataset:
    """The data set, if it has the offset that was given."""
    if label_offset not in (None, dataset.label_offset):
        raise ConfigError(
            f"label_offset={label_offset} was given, but {dataset.name} has label_offset {dataset.label_offset}. "
            "Leave it out."
        )
    return dataset


def _open_tfds(data_dir: Path, cache_dir: Path, validation_share: float) -> Dataset:
    name, records, class_names, notes = tfds.describe(data_dir, validation_share)
    found = tfrecords.scan(records, cache_dir)
    tfrecords.check_labels(found, 0, len(class_names))
    for note in notes:
        _log.info(note)
    return _of_scan(name, records, found, 0, class_names, cache_dir)


def _open_foreign(
    data_dir: Path, cache_dir: Path, shards, label_offset, num_classes, class_names, validation_share: float
) -> Dataset:
    if "train" not in shards:
        raise DataError(f"{data_dir} has no train shards (train-00000-of-00001 and so on); add them.")
    held = {split: tuple(path.name for path in paths) for split, paths in shards.items()}
    share = None if "validation" in held else validation_share
    if share:
        _log.info(f"{data_dir} has no validation shards: {share:.0%} of the training images are held out.")
        held["validation"] = held["train"]
    records = tfrecords.RecordFiles(data_dir, held, validation_share=share)
    found = tfrecords.scan(records, cache_dir)
    if num_classes is None and class_names is not None and (found.unnamed or label_offset is not None):
        num_classes = len(class_names)  # else the records name ImageNet's, and are compared with the network's below
        if class_matching.has_background(class_names):  # label_offset is then the next class's, as in lists
            lowest, highest = min(found.first), max(found.first)
            if label_offset == 0 or (label_offset is None and highest < num_classes - 1):
                raise DataError(
                    f"{data_dir} has labels from {lowest} to {highest}, and the network's class 0 is "
                    f"{class_names[0]!r}, which they may count or not. Give label_offset=1 if {class_names[1]!r} has "
                    "the label 1; if it has the label 0, write the shards with labels from 1."
                )
            label_offset = 0
    offset, class_names, notes = tfrecords.decide_labels(found, data_dir, label_offset, num_classes)
    for note in notes:
        _log.info(note)
    return _of_scan(path_text(data_dir.resolve().name), records, found, offset, class_names, cache_dir)


def _of_scan(name: str, records, found, label_offset: int, class_names: tuple[str, ...], cache_dir: Path) -> Dataset:
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
        cache_dir=cache_dir,
        shards=records.files,
        keys=records.keys,
        validation_share=records.validation_share,
    )


def _check_classes(dataset: Dataset, class_names: Sequence[str]) -> None:
    """Raises DataError unless the classes of the data are those of the network, in its order."""
    if tuple(class_names) == dataset.class_names:
        return
    if len(class_names) != dataset.num_classes:
        raise DataError(
            f"{dataset.name} has {dataset.num_classes} classes, but the network has {len(class_names)}. Give the data "
            "that belongs to it."
        )
    order = class_matching.match_some(dataset.class_names, class_names)
    if all(k is None for k in order):
        _log.warning(
            f"{dataset.name}: none of its class names ({', '.join(dataset.class_names[:5])} ...) is the "
            f"network's ({', '.join(class_names[:5])} ...); they are compared by their numbers."
        )
    for i, k in enumerate(order):
        if k not in (None, i):
            raise DataError(
                f"{dataset.name} has the network's classes in another order: {dataset.class_names[i]} is class {i} "
                f"there and class {k} of the network. Give data in the network's order."
            )
