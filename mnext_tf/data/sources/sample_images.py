"""The embedded data set "photographs": crops of scikit-learn's two sample images, without labels.

An untrained or imported network is calibrated and compared on them where no other data is given.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.preprocess import Preprocess, eval_image
from mnext_tf.data.sources.listing import UNLABELLED
from mnext_tf.files import atomic_folder

PHOTOGRAPHS = ("flower.jpg", "china.jpg")
COUNTS = {"train": 160, "validation": 80}
_SHORT_SIDE = 288
_SEED = 20200705


def write_sample_images(folder: Path) -> None:
    """Write 240 crops to `folder` as TFRecord shards: the same everywhere, 160 for training, 80 for validation.

    Each takes 0.1 to 1 of a sample image's area and is resized to a short side of 288. Crops of both
    splits overlap: they show how networks differ from each other, not how accurate one is.
    """
    crops = _crops()
    with atomic_folder(folder) as temporary:
        summaries = {
            split: tfrecord.write_shards((next(crops) for _ in range(count)), temporary, split, 1)
            for split, count in COUNTS.items()
        }
        tfrecord.write_sidecar(
            temporary, name="photographs", class_names=UNLABELLED, label_offset=1, summaries=summaries, labelled=False
        )


def sample_pixels(preprocess: Preprocess, photograph: str = "flower.jpg") -> np.ndarray:
    """One of scikit-learn's `PHOTOGRAPHS` as a network takes it: uint8 (S, S, 3), RGB."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    encoded = io.BytesIO()
    Image.fromarray(load_sample_image(photograph)).save(encoded, "PNG")
    return np.rint(eval_image(encoded.getvalue(), preprocess).numpy()).astype(np.uint8)


def _crops() -> Iterator[tfrecord.Example]:
    from PIL import Image
    from sklearn.datasets import load_sample_images

    samples = [Image.fromarray(image) for image in load_sample_images().images]
    rng = np.random.default_rng(_SEED)
    for i in range(sum(COUNTS.values())):
        sample = samples[i % len(samples)]
        area = rng.uniform(0.1, 1) * sample.width * sample.height
        ratio = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3)))
        width = min(sample.width, max(1, round(np.sqrt(area * ratio))))
        height = min(sample.height, max(1, round(np.sqrt(area / ratio))))
        x, y = rng.integers(0, sample.width - width + 1), rng.integers(0, sample.height - height + 1)
        scale = _SHORT_SIDE / min(width, height)
        size = (round(width * scale), round(height * scale))
        crop = sample.resize(size, Image.Resampling.BICUBIC, box=(x, y, x + width, y + height))
        encoded = io.BytesIO()
        crop.save(encoded, "JPEG", quality=95)
        name = f"crop-{i:03d}.jpg"
        yield tfrecord.Example(encoded.getvalue(), "JPEG", crop.height, crop.width, 3, 0, UNLABELLED[0], name)
