"""The metadata of detectors: what MediaPipe's ObjectDetector reads, and how our own files are decoded."""

from __future__ import annotations

import dataclasses

import numpy as np

from mnext_tf.errors import ExportError
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.detector import (
    BOXES,
    CATEGORY,
    CLASSES,
    COUNT,
    LOCATION,
    OUTPUTS,
    SCORE,
    Decoding,
    order_outputs,
    outputs_of,
)
from mnext_tf.tflite.metadata import Metadata, TensorInfo, add_metadata

_NAME, _IDENTIFIER = "DETECTOR_METADATA", b"V001"
_CENTER_FORM = ("x_center", "y_center", "width", "height")

# MediaPipe's object_detector_metadata_schema.fbs, in the notation of flatbuffer.py.
_SCHEMA = {
    "ObjectDetectorOptions": [
        ("min_parser_version", "string"),
        ("ssd", "SsdAnchorsOptions"),
        ("decoding", "TensorsDecodingOptions"),
    ],
    "SsdAnchorsOptions": [("fixed", "FixedAnchorsSchema")],
    "FixedAnchorsSchema": [("anchors", ["FixedAnchor"])],
    "FixedAnchor": [(name, "float") for name in _CENTER_FORM],
    "TensorsDecodingOptions": [
        *((name, "int") for name in ("num_classes", "num_boxes", "num_coords", "keypoint_coord_offset")),
        *((name, "int") for name in ("num_keypoints", "num_values_per_keypoint")),
        *((name, "float") for name in ("x_scale", "y_scale", "w_scale", "h_scale")),
        *((name, "bool") for name in ("apply_exponential_on_box_size", "sigmoid_score")),
    ],
}

_OUTPUTS = {
    CLASSES: TensorInfo(CLASSES, "Logits of the background and of the classes, a row for each prior"),
    BOXES: TensorInfo(BOXES, "dx, dy, dw, dh from each prior"),
    COUNT: TensorInfo(COUNT, "How many of the rows are boxes"),
}


def add_detector_metadata(model: bytes, about: Metadata, decoding: Decoding, priors: np.ndarray | None = None) -> bytes:
    """The detector's .tflite file `model` with `about` and `decoding` in it; its form is `decoding.form`.

    priors: (P, 4), center form, for a file of two outputs, which carries them. Raises ExportError for a file of another
    form.
    """
    ends = outputs_of(flatbuffer.read_model(model))
    if len(ends) != len(OUTPUTS[decoding.form]):
        raise ExportError(f"A detector's file of the form {decoding.form} has other outputs than these {len(ends)}.")
    custom = {}
    if decoding.form == "two":
        custom[_NAME] = _options(decoding, priors, dict(ends)[SCORE])
    about = dataclasses.replace(about, detector=decoding.to_dict(), custom=custom)
    return add_metadata(model, about, _outputs(ends, decoding))


def read_priors(about: Metadata) -> np.ndarray:
    """The priors that a file of two outputs carries, float32 (P, 4) in center form. Raises ExportError without them."""
    try:
        found = flatbuffer.decode(_SCHEMA, "ObjectDetectorOptions", about.custom[_NAME], _IDENTIFIER)
        anchors = found["ssd"]["fixed"]["anchors"]
    except (KeyError, ValueError) as e:
        raise ExportError(f"The priors inside a detector's file cannot be read: {e}.") from e
    return np.array([[anchor.get(name, 0.0) for name in _CENTER_FORM] for anchor in anchors], np.float32)


def _outputs(ends: list[tuple[str, list[int]]], decoding: Decoding) -> list[TensorInfo]:
    if decoding.form == "raw":
        logits, _ = order_outputs(ends)
        return [_OUTPUTS[CLASSES if i == logits else BOXES] for i in range(2)]
    decoded = decoding.form == "four"
    where = "y_min, x_min, y_max, x_max, from 0 to 1" if decoded else "dy, dx, dh, dw from each prior"
    made = {
        LOCATION: TensorInfo(LOCATION, where, kind="boxes"),
        CATEGORY: TensorInfo(CATEGORY, "Class of each box", labeled=True, kind="classes"),
        SCORE: TensorInfo(SCORE, "Scores", bounds=(0.0, 1.0), labeled=not decoded, threshold=decoding.score_threshold),
        **_OUTPUTS,
    }
    return [made[name] for name in OUTPUTS[decoding.form]]


def _options(decoding: Decoding, priors: np.ndarray | None, scores: list[int]) -> bytes:
    """DETECTOR_METADATA. MediaPipe aborts the process unless keypoints have two values, even where there are none."""
    _, count, classes = scores
    if np.shape(priors) != (count, 4):
        raise ExportError(f"The file has {count} boxes; received priors of shape {np.shape(priors)}.")
    centers, sizes = decoding.scales
    anchors = [dict(zip(_CENTER_FORM, map(float, prior), strict=True)) for prior in np.asarray(priors)]
    coding = {
        "num_classes": int(classes),
        "num_boxes": int(count),
        "num_coords": 4,
        "num_values_per_keypoint": 2,
        **{"x_scale": centers, "y_scale": centers, "w_scale": sizes, "h_scale": sizes},
        "apply_exponential_on_box_size": True,
    }
    document = {"ssd": {"fixed": {"anchors": anchors}}, "decoding": coding}
    return flatbuffer.encode(_SCHEMA, "ObjectDetectorOptions", document, _IDENTIFIER)
