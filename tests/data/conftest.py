import io

import numpy as np
import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data.prepare import prepare
from mnext_tf.data.sources.layouts import list_images


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


@pytest.fixture(scope="session")
def many(tmp_path_factory, encode):
    """60 training and 12 validation photographs in 3 classes, among them every kind of trouble."""
    from PIL import Image

    root = tmp_path_factory.mktemp("many") / "many"
    for split, count in (("train", 20), ("val", 4)):
        for c, name in enumerate(("n01440764", "n01443537", "Zürich see")):
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                path = root / split / name / f"{name}_{i}.JPEG"
                path.write_bytes(encode("JPEG", seed=1000 * c + 10 * i + (split == "val")))
    turned = Image.Exif()
    turned[0x0112] = 6
    odd = root / "train/n01440764"
    (odd / "n01440764_0.JPEG").write_bytes(encode("PNG"))
    (odd / "n01440764_1.JPEG").write_bytes(encode("JPEG", mode="CMYK"))
    (odd / "n01440764_2.JPEG").write_bytes(encode("JPEG", exif=turned))
    (odd / "n01440764_3.JPEG").write_bytes(encode("JPEG")[:200])
    (odd / "n01440764_4.JPEG").write_bytes(b"")
    (odd / "n01443537_99.JPEG").write_bytes(encode("JPEG", seed=99))
    (odd / "broken.JPEG").symlink_to("nowhere")
    return root


@pytest.fixture(scope="session")
def contents():
    """`contents(folder)`: every byte below it, hidden files too."""

    def contents(folder):
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    return contents


@pytest.fixture(scope="session")
def undisturbed(many, contents, tmp_path_factory):
    """(record, bytes of every file) of `many` in shards of 4,000 bytes, some images each."""
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    record = prepare(list_images(many), out, shard_bytes=4_000)
    return record, contents(out)
