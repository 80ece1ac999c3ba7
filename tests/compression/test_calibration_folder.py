"""Calibration images from a folder: which are taken, and what looks wrong about them."""

import re

import numpy as np
import pytest
from PIL import Image

from mnext_tf.compression.calibration_folder import choose_files, doubts, folder_images
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError

SIZE = 16


@pytest.fixture
def folder(tmp_path):
    """60 color images, in two folders one below the other."""
    rng = np.random.default_rng(0)
    (tmp_path / "images" / "more").mkdir(parents=True)
    for i in range(60):
        place = tmp_path / "images" / ("more" if i % 2 else ".")
        Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(place / f"{i:02d}.png")
    return tmp_path / "images"


def test_files_are_taken_evenly_and_by_the_seed(folder):
    chosen = choose_files(folder, 12)
    in_order = choose_files(folder, 1000).files
    assert chosen.found == len(in_order) == 60
    assert [in_order.index(file) // 5 for file in chosen.files] == list(range(12))
    assert chosen == choose_files(str(folder), 12)
    assert chosen != choose_files(folder, 12, seed=1)


def test_the_hash_is_that_of_the_files_that_are_used(folder):
    chosen = choose_files(folder, 12)
    before = chosen.settings()
    assert (before["folder"], before["images"]) == (str(folder), 12)
    (unused,) = sorted(set(choose_files(folder, 60).files) - set(chosen.files))[:1]
    unused.write_bytes(chosen.files[0].read_bytes())
    assert chosen.settings() == before
    chosen.files[3].write_bytes(chosen.files[0].read_bytes())
    assert chosen.settings() != before


def test_images_are_those_of_evaluation_and_damaged_ones_are_skipped(folder, log_lines):
    (folder / "00.png").write_bytes(b"no image")
    (folder / "more" / "01.png").write_bytes((folder / "02.png").read_bytes()[:200])
    read = folder_images(choose_files(folder, 60), Preprocess(SIZE, crop_fraction=1.0))
    assert len(read.images) == 58
    np.testing.assert_array_equal(read.images[0], np.asarray(Image.open(folder / "02.png")))
    assert [name for name, _ in read.skipped] == ["00.png", "more/01.png"]
    assert read.doubts == []
    (line,) = log_lines
    assert line.startswith("warning")
    assert "2 images cannot be read and were skipped, for example 00.png" in line


def test_a_folder_without_images_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"calibration_data=.*nowhere is no folder"):
        choose_files(tmp_path / "nowhere", 3)
    with pytest.raises(ConfigError, match="has no images"):
        choose_files(tmp_path, 3)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"none of 1 images can be read, for example a\.png: empty file"):
        folder_images(choose_files(tmp_path, 3), Preprocess(SIZE))


NOISE = np.random.default_rng(1).uniform(0, 255, (60, SIZE, SIZE, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("images", "side", "said"),
    [
        (NOISE, SIZE // 2, None),
        (NOISE[:49], SIZE, "49 images are few"),
        (np.concatenate([NOISE[:53], NOISE[:7]]), SIZE, "7 of 60 images are copies"),
        (np.concatenate([NOISE[:54], NOISE[:6]]), SIZE, None),  # 10 % are not more than 10 %
        (np.concatenate([NOISE[:29], NOISE[29:, :, :, :1].repeat(3, -1)]), SIZE, "31 of 60 images are gray"),
        (np.concatenate([NOISE[:30], NOISE[30:, :, :, :1].repeat(3, -1)]), SIZE, None),
        (np.concatenate([NOISE[:50], 100 + NOISE[50:] / 200]), SIZE, "10 of 60 images are nearly one color"),
        (NOISE / 8, SIZE, r"very dark \(mean 16"),
        (255 - NOISE / 8, SIZE, r"very bright \(mean 239"),
        (NOISE, SIZE // 2 - 1, "60 of 60 images are smaller than half of the 16 pixels"),
    ],
)
def test_what_looks_wrong_is_said(images, side, said):
    found = doubts(list(images), [side] * len(images))
    assert len(found) == (said is not None)
    if said:
        assert re.search(said, found[0])


def test_gray_images_are_right_for_a_network_of_gray_ones():
    gray = list(NOISE[:, :, :, :1].repeat(3, -1))
    assert doubts(gray, [SIZE] * 60)
    assert not doubts(gray, [SIZE] * 60, gray=True)
