"""How records hold objects: the Object Detection API's schema, and that of TensorFlow Datasets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mnext_tf.data.objects import Objects, clean
from mnext_tf.data.preprocess import encoded_size
from mnext_tf.errors import DataError

KEYS = ("image/encoded", "image/object/class/label")  # of the Object Detection API's schema
LABEL_OFFSET = 1  # its first class; 0 is the background, and stands for a region to ignore
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TFDS_KITTI = "type"  # what TFDS calls the label in KITTI alone, whose boxes it counts from the bottom


@dataclass(frozen=True)
class ObjectKeys:
    """Names of the features that hold the objects of a record.

    boxes: four features x_min, y_min, x_max, y_max, or one of rows y_min, x_min, y_max, x_max. Of `truncation` and
    `occlusion` the first that is there counts. from_bottom: y runs from the lower edge up.
    """

    image: str
    label: str
    boxes: tuple[str, ...]
    difficult: str
    crowd: str
    area: str
    truncation: tuple[str, ...]
    occlusion: tuple[str, ...]
    from_bottom: bool = False


def object_keys(keys: Sequence[str]) -> ObjectKeys:
    """The features beside `keys`, those of image and labels, which tell the schema."""
    image, label = keys
    if label == KEYS[1]:
        at = "image/object/"
        boxes = tuple(f"{at}bbox/{corner}" for corner in _CORNERS)
        return ObjectKeys(
            image, label, boxes, f"{at}difficult", f"{at}is_crowd", f"{at}area", (f"{at}truncated",), (f"{at}occluded",)
        )
    group, name = label.rsplit("/", 1)
    return ObjectKeys(
        image,
        label,
        (f"{group}/bbox",),
        f"{group}/is_difficult",
        f"{group}/is_crowd",
        f"{group}/area",
        (f"{group}/truncated", f"{group}/is_truncated"),
        (f"{group}/occluded",),
        from_bottom=name == _TFDS_KITTI,
    )


def object_features(objects: Objects, class_names: Sequence[str], label_offset: int) -> dict:
    """Features of the Object Detection API's schema, and `occluded`; `label_offset`: the stored label of class 0."""
    import tensorflow as tf

    def floats(values):
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    def integers(values):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values.astype(np.int64)))

    at = "image/object/"
    texts = [class_names[k].encode() if k >= 0 else b"DontCare" for k in objects.labels]
    return {
        **{f"{at}bbox/{corner}": floats(objects.boxes[:, i]) for i, corner in enumerate(_CORNERS)},
        f"{at}class/label": integers(objects.labels + label_offset),
        f"{at}class/text": tf.train.Feature(bytes_list=tf.train.BytesList(value=texts)),
        f"{at}difficult": integers(objects.difficult),
        f"{at}is_crowd": integers(objects.crowd),
        f"{at}area": floats(objects.area),
        f"{at}truncated": floats(objects.truncation),
        f"{at}occluded": integers(objects.occlusion),
    }


def read_objects(feature, keys: ObjectKeys, label_offset: int, where: str) -> tuple[bytes, Objects, Counter]:
    """(encoded image, its objects, how many of each kind) of the features of a tf.train.Example.

    Raises DataError, which begins with `where`, for features that are missing, of another type, or of unequal lengths.
    """
    encoded = feature[keys.image].bytes_list.value
    if len(encoded) != 1:
        raise DataError(f"{where} has {len(encoded)} {keys.image} values; a record of an image has one.")
    labels = _numbers(feature, keys.label, where, kinds=("int64_list",)) - label_offset
    count = len(labels)
    columns = [_numbers(feature, key, where, kinds=("float_list",)) for key in keys.boxes]
    if any(len(column) != count * 4 // len(columns) for column in columns):
        lengths = ", ".join(f"{len(column)} {key}" for column, key in zip(columns, keys.boxes, strict=True))
        raise DataError(f"{where} has {count} {keys.label} and {lengths} values; the lengths must agree.")
    boxes = np.stack(columns, 1) if len(columns) == 4 else columns[0].reshape(-1, 4)[:, [1, 0, 3, 2]]
    if keys.from_bottom:
        boxes = np.stack([boxes[:, 0], 1 - boxes[:, 3], boxes[:, 2], 1 - boxes[:, 1]], 1)

    def column(*names: str, absent=0, kinds=("int64_list",)) -> np.ndarray:
        values = next((v for name in names if len(v := _numbers(feature, name, where, kinds=kinds))), None)
        if values is None:
            return np.full(count, absent)
        if len(values) != count:
            raise DataError(f"{where} has {count} {keys.label} and {len(values)} {names[0]} values; both or none.")
        return values

    anything = ("float_list", "int64_list")
    objects, tally = clean(
        boxes,
        labels,
        column(keys.difficult) > 0,
        column(keys.crowd) > 0,
        column(keys.area, absent=np.nan, kinds=anything),
        column(*keys.truncation, kinds=anything),
        column(*keys.occlusion),
        *encoded_size(encoded[0]),
    )
    return encoded[0], objects, tally


def _numbers(feature, name: str, where: str, *, kinds: Sequence[str]) -> np.ndarray:
    kind = feature[name].WhichOneof("kind") if name in feature else None
    if kind is None:
        return np.zeros(0, np.float32 if kinds[0] == "float_list" else np.int64)
    if kind not in kinds:
        raise DataError(f"{where} has a {kind} for {name}; {' or '.join(kinds)} is needed.")
    return np.array(getattr(feature[name], kind).value, np.float32 if kind == "float_list" else np.int64)


def parse_objects(serialized, keys: Sequence[str], label_offset: int):
    """One serialized record to (encoded, boxes float32 (M, 4), labels int32 (M,), ignored bool (M,)), in-graph.

    Boxes are x_min, y_min, x_max, y_max relative to the image, as in `Objects`: those of other programs are clipped,
    and those that leave nothing are dropped. labels count from 0; -1: a region to ignore.
    """
    import tensorflow as tf

    names = object_keys(keys)

    def numbers(dtype, shape=()):
        return tf.io.FixedLenSequenceFeature(shape, dtype, allow_missing=True)

    floats = {name: numbers(tf.float32, () if len(names.boxes) == 4 else (4,)) for name in names.boxes}
    integers = {name: numbers(tf.int64) for name in (names.label, names.difficult, names.crowd)}
    parsed = tf.io.parse_single_example(
        serialized, {names.image: tf.io.FixedLenFeature([], tf.string), **floats, **integers}
    )
    if len(names.boxes) == 4:
        boxes = tf.stack([parsed[name] for name in names.boxes], 1)
    else:
        boxes = tf.gather(parsed[names.boxes[0]], [1, 0, 3, 2], axis=1)
    if names.from_bottom:
        x0, y0, x1, y1 = tf.unstack(boxes, axis=1)
        boxes = tf.stack([x0, 1 - y1, x1, 1 - y0], 1)
    labels = tf.maximum(tf.cast(parsed[names.label] - label_offset, tf.int32), -1)
    none = tf.zeros_like(labels, tf.int64)  # a flag that a record does not have is false for all of its boxes
    flags = [tf.concat([parsed[name], none], 0)[: tf.size(labels)] > 0 for name in (names.difficult, names.crowd)]
    ignored = flags[0] | flags[1] | (labels < 0)
    clipped = tf.clip_by_value(boxes, 0, 1)
    keep = tf.reduce_all(tf.math.is_finite(boxes), 1) & tf.reduce_all(clipped[:, 2:] > clipped[:, :2], 1)
    return parsed[names.image], *(tf.boolean_mask(values, keep) for values in (clipped, labels, ignored))
