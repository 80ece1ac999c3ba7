"""TensorFlow Datasets: their folders are read where they are; the package itself is needed only to download."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import class_matching
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.sources import object_records
from mnext_tf.data.sources.record_labels import check_labels
from mnext_tf.data.sources.tfrecords import RecordFiles, dataset_of, scan
from mnext_tf.errors import DataError
from mnext_tf.text import printable

_log = logging.getLogger(__name__)

PREFIX = "tfds:"
_INFO, _FEATURES = "dataset_info.json", "features.json"


def matches(folder: Path) -> bool:
    """Whether `folder` is one version of a data set as TFDS prepares it."""
    return (folder / _INFO).is_file() and (folder / _FEATURES).is_file()


def fetch(name: str, cache_dir: Path) -> Path:
    """The folder of the TFDS data set `name`, such as tf_flowers or tf_flowers:3.0.1, downloaded if need be.

    A copy in TFDS's own folder is used; a download goes below `cache_dir`. Raises DataError
    where the package is not installed, the name is unknown or the download fails.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise DataError(
            f"{PREFIX}{name} needs the package tensorflow-datasets: pip install 'mnext-tf[tfds]'. A folder that it "
            "has prepared can be read without, by --data_dir=FOLDER."
        ) from error
    try:
        here = tfds.builder(name, data_dir=str(cache_dir / "tensorflow_datasets"), file_format="tfrecord")
        for builder in (here, tfds.builder(name)):
            if matches(Path(builder.data_path)):
                return Path(builder.data_path)
        _log.info(f"downloading {name} to {here.data_path}")
        here.download_and_prepare()
    except Exception as error:  # it raises whatever its downloaders and checks raise
        first = printable((str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip("."))
        raise DataError(
            f"TFDS could not give {name}: {first}. Check the name and the network; a folder that TFDS has prepared "
            "elsewhere can be copied here and read by --data_dir=FOLDER."
        ) from error
    return Path(here.data_path)


def open_folder(folder: Path, cache: Path, *, validation_share: float = 0.1, **options) -> Dataset:
    """The data set in a folder of TFDS, read in place; options: those of `tfrecords.scan`."""
    name, records, class_names, notes, metrics = _describe(folder, validation_share)
    for note in notes:
        _log.info(note)
    if metrics:
        objects = object_records.scan(records, cache, 0, **options)
        return object_records.dataset_of(name, records, objects, 0, class_names, metrics, cache)
    found = scan(records, cache, **options)
    check_labels(found, 0, len(class_names))
    return dataset_of(name, records, found, 0, class_names, cache)


def _describe(folder: Path, validation_share: float) -> tuple[str, RecordFiles, tuple[str, ...], list[str], str]:
    """(name, shards, class names, notes, metrics) of a TFDS folder, from its two JSON files; without boxes no metrics.

    Validation is the split of that name, else "test", else a share of the training images. Raises
    DataError for another file format, missing shards, and data that is not one image with one label or with boxes.
    """
    try:
        info, features = files.read_json(folder / _INFO), files.read_json(folder / _FEATURES)
        name = info["name"]
        lengths = {split["name"]: split["shardLengths"] for split in info["splits"]}
        fields = features["featuresDict"]["features"]
        kinds = {key: value["pythonClassName"].rsplit(".", 1)[-1] for key, value in fields.items()}
        image, label = ([key for key, kind in kinds.items() if kind == wanted] for wanted in ("Image", "ClassLabel"))
        counts = {key: int(fields[key]["classLabel"]["numClasses"]) for key in label}
        boxed = _boxed_labels(fields)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{folder / _INFO} or {_FEATURES} is not as TFDS writes it ({type(error).__name__}: {error})."
        ) from error
    if (file_format := info.get("fileFormat", "tfrecord")) != "tfrecord":
        raise DataError(
            f"{folder} is stored as {file_format}; TFRecord is read. Prepare it again with "
            f"`tfds build {name} --file_format=tfrecord`."
        )
    if len(boxed) == 1:
        counts, label = boxed, list(boxed)
    if len(image) != 1 or len(label) != 1:
        held = ", ".join(f"{key} ({kind})" for key, kind in kinds.items())
        raise DataError(f"{name} in {folder} has the features {held}; one Image and one ClassLabel are needed.")
    if "train" not in lengths:
        raise DataError(f"{folder} has no split train; it has {', '.join(lengths) or 'none'}.")
    held_out = next((split for split in ("validation", "test") if split in lengths), None)
    notes = [f"{name}: validation is TFDS's split {held_out!r}."] if held_out == "test" else []
    if held_out is None:
        notes = [f"{name} has no validation split: {validation_share:.0%} of the training images are held out."]
    shards = {"train": _shards(folder, name, "train", len(lengths["train"]))}
    shards["validation"] = shards["train"]
    if held_out:
        shards["validation"] = _shards(folder, name, held_out, len(lengths[held_out]))
    records = RecordFiles(folder, shards, (image[0], label[0]), None if held_out else validation_share)
    return name, records, _class_names(folder, label[0], counts[label[0]]), notes, _metrics(info) if boxed else ""


def _boxed_labels(fields: dict) -> dict[str, int]:
    """The feature, such as objects/label, that holds the class of every box, and its number of classes."""
    found = {}
    for group, value in fields.items():
        inner = value.get("sequence", {}).get("feature", {}).get("featuresDict", {}).get("features", {})
        if inner.get("bbox", {}).get("pythonClassName", "").endswith(".BBoxFeature"):
            key = next((key for key in ("label", "type") if "classLabel" in inner.get(key, {})), None)
            if key:
                found[f"{group}/{key}"] = int(inner[key]["classLabel"]["numClasses"])
    return found


def _metrics(info: dict) -> str:
    name = info["name"]
    if name == "voc" and info.get("configName", "").startswith("2007"):
        return "voc07"
    return name if name in ("voc", "kitti") else "coco"


def _shards(folder: Path, name: str, split: str, count: int) -> tuple[str, ...]:
    names = tuple(f"{name}-{split}.tfrecord-{i:05d}-of-{count:05d}" for i in range(count))
    if missing := [shard for shard in names if not (folder / shard).is_file()]:
        raise DataError(f"{folder} lacks {len(missing)} of {count} {split} shards, the first of them {missing[0]}.")
    return names


def _class_names(folder: Path, label: str, count: int) -> tuple[str, ...]:
    path = folder / f"{label.replace('/', '-')}.labels.txt"
    if not path.is_file():
        return tuple(str(i) for i in range(count))
    names = [line.strip() for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if len(names) != count:
        raise DataError(f"{path} names {len(names)} classes, but {folder / _FEATURES} says {count}.")
    return class_matching.imagenet_names_or_own(names)
