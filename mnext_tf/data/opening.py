"""Opens data in any layout, converting once what has to be converted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import class_matching, tfrecord
from mnext_tf.data.dataset import Dataset, read_dataset
from mnext_tf.data.image_files import MAX_PIXELS
from mnext_tf.data.prepare import prepare
from mnext_tf.data.prepare_state import STATE
from mnext_tf.data.shard_plan import measure
from mnext_tf.data.sources import digits, layouts, listing, object_records, sample_images, scenes, tfds, tfrecords
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import path_text

_log = logging.getLogger(__name__)

LAYOUTS = (
    f"a folder of images ({listing.LAYOUTS}); a folder with TFRecord shards (train-00000-of-00001, "
    f"validation-00000-of-00001) and {tfrecord.SIDECAR}, or in the TF-slim schema without {tfrecord.SIDECAR}, with "
    "label_offset and num_classes given where the records do not tell them; or a folder that TFDS has prepared"
)
EMBEDDED = {
    "digits": digits.write_digits,
    "photographs": sample_images.write_sample_images,
    "scenes": scenes.write_scenes,  # for detection
}


_reported: set[Path] = set()  # folders whose skipped files were logged: once per process is enough
_CHECKED = 1 << 62  # pixels: no limit


def open_dataset(
    data_dir: str | Path | None,
    cache_dir: str | Path = "data",
    *,
    label_offset: int | None = None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    validation_share: float = 0.1,
    max_pixels: int = MAX_PIXELS,
    verify: bool = False,
) -> Dataset:
    """Open TFRecord shards, images in any of LAYOUTS, TFDS data or an embedded data set.

    Args:
      data_dir: a folder; "tfds:NAME"; or "digits" (also None), "photographs", or "scenes", which are embedded.
        As a Path, these are folders.
      cache_dir: images are converted below it once, and the description of shards without
        dataset.json is kept there.
      label_offset, num_classes: for shards without dataset.json whose records do not tell them;
        num_classes may be left out where `class_names` are given.
        Where `class_names` begin with a background class, label_offset is the label of the class after it.
      class_names: a network's classes. Images are labeled in their order; other data must have them.
      validation_share: of data that has no validation split.
      max_pixels: width times height of an image. Larger image files are skipped, larger images in
        records are an error: nothing is decoded to find out.
      verify: read all records, and compare them with what they were when they were described.

    Raises DataError for anything else, and ConfigError where `label_offset` or `num_classes`
    contradicts dataset.json.
    """
    layouts.check_share(validation_share)
    cache = Path(cache_dir)
    options = {"validation_share": validation_share, "max_pixels": max_pixels}
    try:
        if data_dir is None or (isinstance(data_dir, str) and data_dir in EMBEDDED):
            folder = cache / (data_dir or "digits")
            if not (folder / tfrecord.SIDECAR).exists():
                EMBEDDED[folder.name](folder)
        elif isinstance(data_dir, str) and data_dir.startswith(tfds.PREFIX):
            folder = tfds.fetch(data_dir.removeprefix(tfds.PREFIX), cache)
        else:
            folder = Path(data_dir)
        if _is_described(folder):
            dataset = read_dataset(folder, verify=verify)
        elif tfds.matches(folder):
            dataset = tfds.open_folder(folder, cache, verify=verify, **options)
        elif object_records.matches(folder):
            given = {"label_offset": label_offset, "num_classes": num_classes, "class_names": class_names}
            dataset = object_records.open_records(folder, cache, verify=verify, **given, **options)
        elif tfrecords.matches(folder):
            given = {"label_offset": label_offset, "num_classes": num_classes, "class_names": class_names}
            dataset = tfrecords.open_shards(folder, cache, verify=verify, **given, **options)
            label_offset = None  # what was given of a network with a background class differs from the shards'
        else:
            dataset = _convert(folder, cache, label_offset, class_names, verify=verify, **options)
            label_offset = None  # of list files, not of the shards
    except OSError as error:
        raise DataError(
            f"{path_text(error.filename or cache_dir)}: {error.strerror}. Choose another folder or fix its permissions."
        ) from error
    _check_numbers(dataset, label_offset, num_classes)
    if class_names is not None and dataset.labelled:
        _check_classes(dataset, class_names)
    counts = dataset.box_counts if dataset.task == "detection" else dataset.class_counts
    lacking = [n for n, k in zip(dataset.class_names, counts["train"], strict=True) if not k]
    if lacking and dataset.cache_dir:  # shards of others; images may well show some of a network's classes only
        what = "box" if dataset.task == "detection" else "image"
        _log.warning(
            f"{dataset.name} has no training {what} of {len(lacking)} of {dataset.num_classes} classes: "
            f"{class_matching.shown_names(lacking)}. Are label_offset and num_classes right?"
        )
    if dataset.skipped and dataset.folder.resolve() not in _reported:
        _reported.add(dataset.folder.resolve())
        sidecar = dataset.folder / tfrecord.SIDECAR
        first = "; ".join(f"{path} ({reason})" for path, reason in files.read_json(sidecar)["skipped"][:3])
        _log.info(f"{dataset.name}: {dataset.skipped} files skipped: {first}. All are listed in {sidecar}.")
    return dataset


def reopen_dataset(description, num_classes: int, *, max_pixels: int = _CHECKED) -> Dataset:
    """The data set that `description`, the `DatasetConfig` of a run, names; as `open_dataset`.

    Its images were checked against the limit of that time; the fingerprint tells if they are others now.
    """
    folder = Path(description.folder)
    if not folder.exists() and description.name in EMBEDDED and folder.name == description.name:
        return open_dataset(description.name, folder.parent)  # the embedded data can be written again
    if not folder.exists():
        raise DataError(
            f"{folder}, the data of the run, does not exist. Put it back. If it was prepared from images, `python -m "
            "pipelines.train --resume --run=RUN --data_dir=IMAGES` makes it again."
        )
    if description.cache_dir is None:
        return open_dataset(folder, max_pixels=max_pixels)
    share = {"validation_share": description.validation_share} if description.validation_share else {}
    given = {"label_offset": description.label_offset, "num_classes": num_classes, "max_pixels": max_pixels}
    return open_dataset(folder, description.cache_dir, **given, **share)


def has_boxes(source: str | Path | None) -> bool:
    """Whether `source`, as `open_dataset` takes it, is seen to hold images with boxes before it is opened."""
    if source is None or (isinstance(source, str) and source.startswith(tfds.PREFIX)):
        return False
    if isinstance(source, str) and source in EMBEDDED:
        return source == "scenes"
    sidecar = Path(source) / tfrecord.SIDECAR
    if not sidecar.is_file():
        return layouts.has_boxes(Path(source))
    try:
        return files.read_json(sidecar).get("task") == "detection"
    except (OSError, ValueError, AttributeError):  # `open_dataset` says what is wrong
        return False


def has_records(source: str | Path) -> bool:
    """Whether `source`, as `open_dataset` takes it, is read record by record: anything but images as files."""
    if isinstance(source, str) and (source in EMBEDDED or source.startswith(tfds.PREFIX)):
        return True
    folder = Path(source)
    if not folder.is_dir():
        return False
    half_written = (folder / STATE).is_dir()
    if half_written or _is_described(folder) or tfds.matches(folder):
        return True
    return tfrecords.matches(folder) or object_records.matches(folder)


def _is_described(folder: Path) -> bool:
    """Whether dataset.json is there. Raises DataError where nothing is, or it is yet to be written."""
    if not folder.is_dir():
        raise DataError(f"{folder} {'is a file' if folder.exists() else 'does not exist'}. A data folder is {LAYOUTS}.")
    if (folder / tfrecord.SIDECAR).exists():
        return True
    if (folder / STATE).is_dir():
        raise DataError(f"{folder} is half written. Start the command that writes it again; it resumes there.")
    return False


def _convert(folder: Path, cache: Path, label_offset, class_names, *, validation_share, max_pixels, verify) -> Dataset:
    """Images in any layout, as shards below `cache` that are written once."""
    if records := sorted(p.name for p in folder.iterdir() if "record" in p.name and p.is_file()):
        raise DataError(
            f"{folder} holds {path_text(records[0])}: no TF-slim shards, which are called train-00000-of-00001 and "
            "validation-00000-of-00001, and no folder of TFDS, which has dataset_info.json and features.json."
        )
    listed = layouts.list_images(
        folder, class_names=class_names, validation_share=validation_share, label_offset=label_offset
    )
    measured = measure(listed)
    limit = "" if max_pixels == MAX_PIXELS else f"-{max_pixels}"
    target = cache / f"{listed.name}-{measured.snapshot[:12]}{limit}"
    if not (target / tfrecord.SIDECAR).exists():
        for note in listed.notes:
            _log.info(note)
        prepare(listed, target, measured=measured, max_pixels=max_pixels)
    return read_dataset(target, verify=verify)


def _check_numbers(dataset: Dataset, label_offset: int | None, num_classes: int | None) -> None:
    """Raises ConfigError unless the data set has what was given."""
    for name, given in (("label_offset", label_offset), ("num_classes", num_classes)):
        if given not in (None, held := getattr(dataset, name)):
            raise ConfigError(f"{name}={given} was given, but {dataset.name} has {name} {held}. Leave it out.")


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
        shown, expected = map(class_matching.shown_names, (dataset.class_names, class_names))
        _log.warning(
            f"{dataset.name}: none of its class names ({shown}) is the network's ({expected}); they are compared by "
            "their numbers."
        )
    for i, k in enumerate(order):
        if k not in (None, i):
            raise DataError(
                f"{dataset.name} has the network's classes in another order: {dataset.class_names[i]} is class {i} "
                f"there and class {k} of the network. Give data in the network's order."
            )
