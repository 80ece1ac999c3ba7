"""The embedded data set: scikit-learn's handwritten digits, 1,797 gray images of 8 x 8 pixels."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.files import atomic_folder

CLASS_NAMES = [str(digit) for digit in range(10)]
VALIDATION_PER_CLASS = 36
_SPLIT_SEED = 20200705


def write_digits(folder: Path) -> None:
    """Write the digits to `folder` as TFRecord shards: 1,437 for training, 360 for validation.

    The split is the same everywhere: 36 images of each digit, drawn by a fixed seed.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    splits = split_indices(digits.target)
    with atomic_folder(folder) as temporary:
        summaries = {}
        for split, indices in splits.items():
            examples = (_example(pixels[i], int(digits.target[i]), i) for i in indices)
            summaries[split] = tfrecord.write_shards(examples, temporary, split, 4 if split == "train" else 1)
        tfrecord.write_sidecar(temporary, name="digits", class_names=CLASS_NAMES, label_offset=1, summaries=summaries)


def split_indices(labels: np.ndarray) -> dict[str, np.ndarray]:
    """Indices into `labels` of the training and the validation images, each in a fixed shuffled order."""
    rng = np.random.default_rng(_SPLIT_SEED)
    orders = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    return {
        "train": rng.permutation(np.concatenate([order[VALIDATION_PER_CLASS:] for order in orders])),
        "validation": rng.permutation(np.concatenate([order[:VALIDATION_PER_CLASS] for order in orders])),
    }


def _example(pixels: np.ndarray, label: int, index: int) -> tfrecord.Example:
    from PIL import Image

    encoded = io.BytesIO()
    Image.fromarray(pixels).save(encoded, "PNG")
    height, width = pixels.shape
    return tfrecord.Example(
        encoded.getvalue(), "PNG", height, width, 1, label, CLASS_NAMES[label], f"digit-{index:04d}.png"
    )
