import io

import numpy as np
import pytest

from mnext_tf.data import open_dataset


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """The embedded data set, written once for all tests."""
    return open_dataset(None, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def encode():
    """A photograph-like image as bytes: `encode("JPEG", mode="CMYK", size=(40, 30), exif=…)`."""
    from PIL import Image

    def encode(format, *, mode="RGB", size=(40, 30), seed=0, **options):
        coarse = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).convert(mode)
        encoded = io.BytesIO()
        image.save(encoded, format, **options)
        return encoded.getvalue()

    return encode


@pytest.fixture
def photographs(tmp_path, encode):
    """A sound folder: 2 classes, 3 training and 1 validation photograph each."""
    root = tmp_path / "photographs"
    for split, count in (("train", 3), ("val", 1)):
        for c, name in enumerate(("cat", "dog")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                path = root / split / name / f"{i}.jpg"
                path.write_bytes(encode("JPEG", seed=100 * c + 10 * i + (split == "val")))
    return root
