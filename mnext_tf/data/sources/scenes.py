"""The embedded data set "scenes": scikit-learn's digits on textured ground, with their boxes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.objects import annotation, annotation_row, place
from mnext_tf.data.sources.digits import CLASS_NAMES, split_indices
from mnext_tf.files import atomic_folder

COUNTS = {"train": 960, "validation": 120}
_SEEDS = {"train": 20200705, "validation": 20200706}
_SIDES = (96, 160)  # pixels of an image
_MOST = 5  # digits in an image
_SIZES = (0.22, 0.5)  # side of a digit before its margins are cut, as a share of the image's shorter side
_CONTRAST = (80, 150)  # gray levels between a digit and the darker ground
_INK = 0.25  # share of a digit's color from which a pixel belongs to its box
_TRIES = 20  # places drawn for a digit until it covers no other


def write_scenes(folder: Path) -> None:
    """Write 960 training and 120 validation scenes to `folder` as TFRecord shards: the same everywhere.

    A scene has one to five digits of varied size, color, and contrast, which do not cover each other. No digit of the
    validation scenes is in a training scene: the split of the digits is that of the data set "digits".
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    splits = split_indices(digits.target)
    with atomic_folder(folder) as temporary:
        summaries = {}
        for split, count in COUNTS.items():
            examples = _scenes(digits.images[splits[split]] / 16, digits.target[splits[split]], split, count)
            summaries[split] = tfrecord.write_shards(examples, temporary, split, 4 if split == "train" else 1)
        tfrecord.write_sidecar(
            temporary,
            name="scenes",
            class_names=CLASS_NAMES,
            label_offset=1,
            summaries=summaries,
            task="detection",
            metrics="coco",
        )


def _scenes(digits: np.ndarray, labels: np.ndarray, split: str, count: int) -> Iterator[tfrecord.Example]:
    from PIL import Image

    rng = np.random.default_rng(_SEEDS[split])
    for i in range(count):
        pixels = _ground(rng)
        taken = np.zeros(pixels.shape[:2], bool)
        rows = []
        for _ in range(rng.integers(1, _MOST + 1)):
            chosen = rng.integers(len(digits))
            if box := _paste(digits[chosen], pixels, taken, rng):
                rows.append(annotation_row(box, labels[chosen]))
        height, width = taken.shape
        encoded = io.BytesIO()
        Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(encoded, "JPEG", quality=90)
        objects, tally = place(annotation(rows), width, height)
        shown = {"objects": objects, "tally": tally, "class_names": tuple(CLASS_NAMES)}
        yield tfrecord.Example(
            encoded.getvalue(), "JPEG", height, width, 3, 0, "", f"scene-{split}-{i:03d}.jpg", **shown
        )


def _ground(rng: np.random.Generator) -> np.ndarray:
    """Colored patches of random size with a fine grain, float64 (h, w, 3)."""
    from PIL import Image

    width, height = rng.integers(_SIDES[0], _SIDES[1] + 1, 2)
    base = rng.uniform(40, 90, 3)
    pixels = np.zeros((height, width, 3))
    for amplitude in (14, 8):
        cells = rng.integers(3, 16, 2)
        for channel in range(3):
            coarse = Image.fromarray(rng.normal(0, amplitude, cells).astype(np.float32))
            pixels[..., channel] += np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC))
    return base + pixels + rng.normal(0, 5, pixels.shape)


def _paste(digit: np.ndarray, pixels: np.ndarray, taken: np.ndarray, rng) -> tuple[int, int, int, int] | None:
    """Draw a digit, float (8, 8) in 0..1, where nothing is yet; its box in pixels, None where no place was found."""
    from PIL import Image

    height, width = taken.shape
    low, high = (share * min(height, width) for share in _SIZES)
    size = round(np.exp(rng.uniform(np.log(low), np.log(high))))
    enlarged = Image.fromarray(digit.astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
    ink = np.clip(np.asarray(enlarged), 0, 1)
    rows, columns = (np.flatnonzero((ink > _INK).any(axis)) for axis in (1, 0))
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    h, w = ink.shape
    for _ in range(_TRIES):
        y, x = rng.integers(0, height - h + 1), rng.integers(0, width - w + 1)
        if not taken[y : y + h, x : x + w].any():
            break
    else:
        return None
    taken[y : y + h, x : x + w] = True
    part = pixels[y : y + h, x : x + w]
    mean = part.mean((0, 1))
    color = mean + rng.uniform(*_CONTRAST) + rng.normal(0, 12, 3)
    part += ink[..., None] * (color - part)
    return int(x), int(y), int(x) + w, int(y) + h
