"""What lies beside a network, or inside its file: preprocessing and class names."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from mnext_tf.data import imagenet
from mnext_tf.data.preprocess import Preprocess, squashed
from mnext_tf.errors import ConfigError
from mnext_tf.files import read_json
from mnext_tf.tflite.detector import Decoding
from mnext_tf.tflite.metadata import DETECTOR, LABELS, PREPROCESS, Metadata, parse_labels

_log = logging.getLogger(__name__)


def preprocess_of(
    path: Path, size: int, about: Metadata | None, given: dict | None, *, detector: bool = False
) -> Preprocess:
    """How images are prepared for the network at `path`, which takes `size` pixels; `given` replaces fields.

    Raises ConfigError where preprocess.json is damaged or gives another size, and for a detector's crop.
    """
    about = about or Metadata()
    kept = _read_preprocess(_folder(path) / PREPROCESS, path, about.preprocess)
    preprocess = kept or (squashed(size) if detector else Preprocess(input_size=size, interpolation="bilinear"))
    if not (given or kept):
        flags = "--interpolation changes" if detector else "--crop_fraction and --interpolation change"
        _log.info(
            f"{path} has no {PREPROCESS} in it or beside it: {preprocess.words}, fed as {_fed(about)}. {flags} that."
        )
    preprocess = preprocess.changed(**(given or {}))
    if preprocess.input_size != size:
        raise ConfigError(f"{path} takes {size} pixels, its preprocessing gives {preprocess.input_size}.")
    return preprocess


def decoding_of(path: Path, about: Metadata | None) -> Decoding | None:
    """How a detector's outputs become boxes, by detector.json beside the network or inside its file; None: no detector.

    Raises ConfigError where that is damaged.
    """
    beside = _folder(path) / DETECTOR
    inside = about.detector if about else None
    if inside:
        return Decoding.from_dict(inside, f"{DETECTOR} inside {path}")
    if not beside.is_file():
        return None
    try:
        return Decoding.from_dict(read_json(beside), str(beside))
    except (ValueError, RecursionError) as e:  # of JSON and of the record
        raise ConfigError(f"{beside} is damaged ({e}). Export again.") from e


def labels_of(path: Path, classes: int, about: Metadata | None, given: Sequence[str] | None) -> tuple[str, ...]:
    """Class names in order of the outputs: `given`, those beside the network, those inside it, or made up.

    Raises ConfigError where there are not `classes` of them.
    """
    beside = [p for p in (_folder(path) / LABELS, _folder(path) / "assets" / LABELS) if p.is_file()]
    labels = tuple(given or ()) or (read_labels(beside[0]) if beside else ()) or (about or Metadata()).labels
    if not labels:
        labels = imagenet.names_for(classes) or tuple(f"class {i}" for i in range(classes))
        _log.info(f"{path} has no {LABELS} in it or beside it: its classes are called {', '.join(labels[:2])} ...")
    if len(labels) != classes:
        raise ConfigError(f"{path} has {classes} classes, but there are {len(labels)} class names for it.")
    return labels


def read_labels(path: Path) -> tuple[str, ...]:
    """One class name per line, in order of the outputs. Raises ConfigError where the file cannot be read."""
    try:
        return parse_labels(Path(path).read_text(encoding="utf-8-sig"))
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} is not a list of class names, one per line ({e}).") from e


def _folder(path: Path) -> Path:
    return path if path.is_dir() else path.parent


def _fed(about: Metadata) -> str:
    if about.feeds_pixels:
        return "RGB in [0, 255]"
    return f"(RGB - {', '.join(f'{m:g}' for m in about.mean)}) / {', '.join(f'{s:g}' for s in about.std)}"


def _read_preprocess(beside: Path, network: Path, inside: dict | None) -> Preprocess | None:
    if beside.is_file():
        where, fix = str(beside), ", or delete it to take what is usual"
    elif inside:
        where, fix = f"{PREPROCESS} inside {network}", ""
    else:
        return None
    try:
        return Preprocess.from_dict(read_json(beside) if beside.is_file() else inside)
    except (ValueError, RecursionError) as e:  # of JSON and of the record
        raise ConfigError(f"{where} is damaged ({e}). Export again{fix}.") from e
