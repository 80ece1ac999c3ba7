"""TFLite metadata: how to feed a .tflite file, and what its classes are called.

The format is that of TensorFlow Lite's metadata_schema.fbs (identifier M001): a FlatBuffer in a buffer of the model,
and a ZIP archive of files behind the model's own bytes. MediaPipe and Android Studio read it.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.tflite import flatbuffer

_MOST_ARCHIVED = 64 << 20  # bytes, unpacked

LABELS, PREPROCESS, DETECTOR = "labels.txt", "preprocess.json", "detector.json"

_BUFFER, _IDENTIFIER = b"TFLITE_METADATA", b"M001"

# The schema's numbers.
_DESCRIPTIONS, _AXIS_LABELS, _VALUE_LABELS, _RGB = 1, 2, 3, 1
_FEATURE, _IMAGE, _BOXES, _NORMALIZATION, _THRESHOLD, _BOUNDARIES = 1, 2, 3, 1, 3, 1

# The part of the schema that image classifiers and detectors use, in the notation of flatbuffer.py.
_SCHEMA = {
    "ModelMetadata": [
        ("name", "string"),
        ("description", "string"),
        ("version", "string"),
        ("subgraphs", ["SubGraphMetadata"]),
        ("author", "string"),
        ("license", "string"),
        ("files", ["AssociatedFile"]),
        ("min_parser_version", "string"),
    ],
    "SubGraphMetadata": [
        ("name", "string"),
        ("description", "string"),
        ("inputs", ["TensorMetadata"]),
        ("outputs", ["TensorMetadata"]),
        *[None] * 5,  # files, process units and groups of tensors
        ("custom", ["CustomMetadata"]),
    ],
    "CustomMetadata": [("name", "string"), ("data", "bytes")],
    "TensorMetadata": [
        ("name", "string"),
        ("description", "string"),
        None,  # names of dimensions
        ("content", "Content"),
        ("process_units", ["ProcessUnit"]),
        ("stats", "Stats"),
        ("files", ["AssociatedFile"]),
    ],
    "AssociatedFile": [("name", "string"), ("description", "string"), ("type", "byte")],
    "Content": [
        ("properties", {_FEATURE: "FeatureProperties", _IMAGE: "ImageProperties", _BOXES: "BoundingBoxProperties"})
    ],
    "FeatureProperties": [],
    "ImageProperties": [("color_space", "byte")],
    "BoundingBoxProperties": [("index", ["uint"]), ("type", "byte")],
    "ProcessUnit": [("options", {_NORMALIZATION: "NormalizationOptions", _THRESHOLD: "ScoreThresholdingOptions"})],
    "NormalizationOptions": [("mean", ["float"]), ("std", ["float"])],
    "ScoreThresholdingOptions": [("threshold", "float")],
    "Stats": [("max", ["float"]), ("min", ["float"])],
}


@dataclass(frozen=True)
class Metadata:
    """What a file says of itself.

    mean, std: of (pixel - mean) / std, which whoever feeds the file has to compute; one value, or one a channel.
    labels: class names in order of the outputs, () where there are none. preprocess: the record of `Preprocess`
    in files of ours, else None. detector: that of `Decoding` in detectors of ours, else None. custom: what the format
    itself does not know, by name.
    """

    name: str = ""
    description: str = ""
    version: str = ""
    author: str = ""
    license: str = ""
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    labels: tuple[str, ...] = ()
    preprocess: dict | None = None
    detector: dict | None = None
    custom: dict[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def feeds_pixels(self) -> bool:
        """Whether the file takes pixels as they are."""
        return set(self.mean) == {0.0} and set(self.std) == {1.0}

    def normalize(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels (..., 3) in [0, 255] to what the file takes, float32."""
        return (pixels.astype(np.float32) - np.float32(self.mean)) / np.float32(self.std)


@dataclass(frozen=True)
class TensorInfo:
    """An output: its name, what it holds, its bounds if it has any, and whether its last axis has the labels.

    kind: "feature", "classes" (its values are classes, and have the labels), or "boxes" (relative to the image, as
    y_min, x_min, y_max, x_max). threshold: smaller scores are to be left out.
    """

    name: str
    description: str
    bounds: tuple[float, float] | None = None
    labeled: bool = False
    kind: str = "feature"
    threshold: float | None = None


def labels_text(labels: Sequence[str]) -> str:
    """The content of labels.txt. Raises ConfigError for a name with a line break in it."""
    if broken := [name for name in labels if "\n" in name or "\r" in name]:
        raise ConfigError(f"The class name {broken[0]!r} has a line break in it; labels.txt has one name a line.")
    return "".join(f"{name}\n" for name in labels)


def parse_labels(text: str) -> tuple[str, ...]:
    """The class names in the content of a labels.txt; only "\\n" and "\\r\\n" end a line."""
    lines = text.replace("\r\n", "\n").split("\n")
    return tuple(lines[:-1] if lines[-1] == "" else lines)


def add_metadata(model: bytes, about: Metadata, outputs: Sequence[TensorInfo]) -> bytes:
    """The .tflite file `model` with `about` in it, in place of what it had before; `outputs` are in its order.

    Labels, preprocessing, and how a detector is decoded are entries of the archive.
    """
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT

    tree = flatbuffer.read_model(model)
    packed = flatbuffer.encode(_SCHEMA, "ModelMetadata", _document(about, outputs), _IDENTIFIER)
    buffer = BufferT()
    buffer.data = np.frombuffer(packed, np.uint8)
    entry = MetadataT()
    entry.name, entry.buffer = _BUFFER, len(tree.buffers)
    tree.buffers.append(buffer)
    tree.metadata = [m for m in tree.metadata or [] if m.name != _BUFFER] + [entry]
    files = {}
    if about.labels:
        files[LABELS] = labels_text(about.labels)
    for name, record in ((PREPROCESS, about.preprocess), (DETECTOR, about.detector)):
        if record:
            files[name] = json.dumps(record, indent=2) + "\n"
    return _with_archive(flatbuffer.write_model(tree), files)


def read_metadata(path: Path) -> Metadata | None:
    """What a .tflite file says of itself; None where it says nothing. Raises ExportError where that is damaged."""
    data = Path(path).read_bytes()
    try:
        return _read(data)
    except (ValueError, KeyError, TypeError, IndexError, struct.error) as e:  # of text, JSON and offsets to nowhere
        raise ExportError(f"The metadata inside {path} cannot be read: {e}.") from e


def _read(data: bytes) -> Metadata | None:
    from ai_edge_litert.schema_py_generated import Model

    if data[4:8] != b"TFL3":
        return None
    model = Model.GetRootAs(data, 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    buffers = [e.Buffer() for e in entries if e.Name() == _BUFFER]
    if not buffers:
        return None
    packed = model.Buffers(buffers[0]).DataAsNumpy()
    document = flatbuffer.decode(_SCHEMA, "ModelMetadata", bytes(packed), _IDENTIFIER)
    graph = (document.get("subgraphs") or [{}])[0]
    mean, std = _normalization(graph)
    archive = _archive(data)
    files = [file for tensor in graph.get("outputs", []) for file in tensor.get("files", [])]
    names = [file["name"] for file in files if file.get("type") in (_AXIS_LABELS, _VALUE_LABELS)]
    names += [LABELS] * (DETECTOR in archive)  # a raw detector's have a column more than there are names
    labels = next((parse_labels(archive[name].decode("utf-8")) for name in names if name in archive), ())
    return Metadata(
        **{key: document.get(key, "") for key in ("name", "description", "version", "author", "license")},
        mean=mean,
        std=std,
        labels=labels,
        preprocess=json.loads(archive[PREPROCESS]) if PREPROCESS in archive else None,
        detector=json.loads(archive[DETECTOR]) if DETECTOR in archive else None,
        custom={entry["name"]: entry["data"] for entry in graph.get("custom", [])},
    )


def _normalization(graph: dict) -> tuple[tuple[float, ...], tuple[float, ...]]:
    units = [unit for tensor in graph.get("inputs", [])[:1] for unit in tensor.get("process_units", [])]
    options = [unit["options"][1] for unit in units if "options" in unit]
    if not options:
        return (0.0,), (1.0,)
    mean, std = (tuple(options[0].get(key, ())) for key in ("mean", "std"))
    if len(mean) not in (1, 3) or len(std) != len(mean) or not all(std):
        raise ValueError(f"its normalization has the means {mean} and deviations {std}")
    return mean, std


def _document(about: Metadata, outputs: Sequence[TensorInfo]) -> dict:
    size = about.preprocess["input_size"] if about.preprocess else None
    cropped = not about.preprocess or about.preprocess.get("fit", "crop") == "crop"
    image = {
        "name": "image",
        "description": "RGB pixels from 0 to 255" + (f", {size} x {size}" if size else ""),
        "content": {"properties": (_IMAGE, {"color_space": _RGB})},
        "process_units": [{"options": (_NORMALIZATION, {"mean": about.mean, "std": about.std})}],
        "stats": {"max": [255.0], "min": [0.0]},
    }
    unlabeled = not any(info.labeled for info in outputs)
    described = [
        {"name": name, "description": description, "type": _DESCRIPTIONS}
        for name, description, record in (
            (LABELS, "Class names, one a line, without the background.", about.labels if unlabeled else ()),
            (PREPROCESS, f"How an image is resized{' and cropped' * cropped}.", about.preprocess),
            (DETECTOR, "How the outputs become boxes.", about.detector),
        )
        if record
    ]
    graph = {
        "inputs": [image],
        "outputs": [_output(info, bool(about.labels)) for info in outputs],
        "custom": [{"name": name, "data": data} for name, data in about.custom.items()] or None,
    }
    return {
        **{key: getattr(about, key) or None for key in ("name", "description", "version", "author", "license")},
        "subgraphs": [graph],
        "files": described or None,
        "min_parser_version": "1.0.0",
    }


def _output(info: TensorInfo, labels: bool) -> dict:
    properties = (_BOXES, {"index": (1, 0, 3, 2), "type": _BOUNDARIES}) if info.kind == "boxes" else (_FEATURE, {})
    tensor = {"name": info.name, "description": info.description, "content": {"properties": properties}}
    if info.labeled and labels:
        kind = _VALUE_LABELS if info.kind == "classes" else _AXIS_LABELS
        tensor["files"] = [{"name": LABELS, "description": "Class names, one a line.", "type": kind}]
    if info.threshold is not None:
        tensor["process_units"] = [{"options": (_THRESHOLD, {"threshold": info.threshold})}]
    if info.bounds:
        tensor["stats"] = {"max": [info.bounds[1]], "min": [info.bounds[0]]}
    return tensor


def _with_archive(model: bytes, files: dict[str, str]) -> bytes:
    """`model` with a ZIP of `files` behind it: not compressed, as MediaPipe maps it, and the same bytes each time."""
    if not files:
        return model
    whole = io.BytesIO(model)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            archive.writestr(zipfile.ZipInfo(name), text.encode("utf-8"))
    return whole.getvalue()


def _archive(data: bytes) -> dict[str, bytes]:
    """The files of the archive behind a model, by name. Raises ValueError for a damaged or an outsized one."""
    if not zipfile.is_zipfile(io.BytesIO(data)):
        return {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > _MOST_ARCHIVED:
                raise ValueError(f"its archive holds more than {_MOST_ARCHIVED >> 20} MB")
            return {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, OverflowError) as e:
        raise ValueError(f"its archive is damaged ({e})") from e
