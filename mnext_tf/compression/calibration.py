"""The images that set the ranges of an int8 file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import report_damage
from mnext_tf.data.order import CALIBRATION_KEY, derive_seed, shuffled_records
from mnext_tf.data.preprocess import Preprocess, eval_image
from mnext_tf.errors import ConfigError


def calibration_images(dataset: Dataset, preprocess: Preprocess, count: int, *, seed: int = 0) -> list[np.ndarray]:
    """`count` training images, float32 (S, S, 3) as in evaluation, as even over the classes as the data allows.

    Images with boxes have no class of their own: any of them are taken.

    No image comes twice; a split with fewer images gives all of them. The choice depends on `seed`.
    Raises ConfigError for a count below 1 and DataError for a damaged image.
    """
    if count < 1:
        raise ConfigError(f"The number of calibration images must be at least 1; received {count}.")
    rng = np.random.default_rng(derive_seed(seed, CALIBRATION_KEY))
    boxes = dataset.task == "detection"
    available = [dataset.splits["train"]] if boxes else dataset.class_counts["train"]
    wanted = _even_quotas(np.array(available), count, rng)
    images: list[np.ndarray] = []
    with report_damage(dataset, "train"):
        for record in shuffled_records(dataset, seed, 0):
            if not wanted.any():
                break
            if boxes:
                encoded, label = tfrecord.parse_image(record, dataset.keys), 0
            else:
                encoded, stored = tfrecord.parse(record, dataset.keys)
                label = int(stored) - dataset.label_offset
            if wanted[label]:
                wanted[label] -= 1
                images.append(eval_image(encoded, preprocess).numpy())
    return images


def _even_quotas(available: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Images to take of each class: none above `available`, otherwise at most 1 apart; they sum to `count`."""
    quotas = np.zeros_like(available)
    while count and (quotas < available).any():
        classes = np.flatnonzero(quotas < available)
        if len(classes) > count:
            classes = rng.choice(classes, count, replace=False)
        quotas[classes] += 1
        count -= len(classes)
    return quotas


def spanning(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The images; two corner pixels of the first are made black and white if no image has such.

    The input's range is then [0, 255] for any images: scale 1, so that an app feeds an int8 file
    `pixel - 128` and a uint8 file the pixel itself.
    """
    images = list(images)
    if min(i.min() for i in images) > 0 or max(i.max() for i in images) < 255:
        images[0] = images[0].copy()
        images[0][0, 0], images[0][-1, -1] = 0, 255
    return images


def _feed(images: Sequence[np.ndarray], progress: bool) -> Iterator[list[np.ndarray]]:
    from tqdm import tqdm

    bar = tqdm(images, desc="calibrating", unit="img", disable=None if progress else True)
    for image in bar:
        yield [image[None]]
