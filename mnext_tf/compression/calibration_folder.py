"""Calibration images from a folder, for a network whose own data are not at hand."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.data.image_files import read_image
from mnext_tf.data.order import CALIBRATION_KEY, derive_seed
from mnext_tf.data.preprocess import Preprocess, eval_image
from mnext_tf.data.sources.layouts import list_image_files
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.files import cached_sha256, sha256_of
from mnext_tf.text import path_text

FEWEST = 50  # images; the ranges of fewer are often too narrow
_FEW = 0.1  # share of the images that may look wrong
_DARK, _BRIGHT = 20, 235  # mean of all pixels
_FLAT = 3  # standard deviation of an image's pixels
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class CalibrationFolder:
    """The files of a folder that calibrate; `found` is the number of images in it."""

    folder: Path
    files: tuple[Path, ...]
    found: int

    def settings(self) -> dict:
        """What a stage depends on: the hash is that of the chosen files, by their names below the folder."""
        content = [[path_text(file.relative_to(self.folder)), cached_sha256(file)] for file in self.files]
        return {"folder": path_text(self.folder), "images": len(self.files), "sha256": sha256_of(content)}


@dataclass(frozen=True)
class Calibration:
    """images: float32 (S, S, 3) as in evaluation. skipped: (file, reason). doubts: what looks wrong."""

    images: list[np.ndarray]
    skipped: list[tuple[str, str]]
    doubts: list[str]


def choose_files(folder: str | Path, count: int, *, seed: int = 0) -> CalibrationFolder:
    """`count` of the images below `folder`, one at random from each of `count` equal parts of their sorted list.

    Fewer images than that are taken all. Raises ConfigError where there is no such folder or no image in it.
    """
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise ConfigError(f"calibration_data={folder} is no folder. Name a folder with images.")
    try:
        files = list_image_files(folder)
    except DataError as e:
        raise ConfigError(f"calibration_data={folder} cannot be read: {e}") from e
    if not files:
        raise ConfigError(f"calibration_data={folder} has no images, in no folder below it. Name a folder with images.")
    parts = np.linspace(0, len(files), min(count, len(files)) + 1).astype(int)
    rng = np.random.default_rng(derive_seed(seed, CALIBRATION_KEY))
    chosen = [files[rng.integers(low, high)] for low, high in itertools.pairwise(parts)]
    return CalibrationFolder(folder, tuple(chosen), len(files))


def folder_images(source: CalibrationFolder, preprocess: Preprocess, *, gray: bool = False) -> Calibration:
    """The chosen images; damaged ones are skipped. What looks wrong is logged as warnings.

    gray: the network is for gray images. Raises ConfigError where no image can be read.
    """
    from tqdm import tqdm

    images, short_sides, skipped = [], [], []
    for file in tqdm(source.files, desc="reading calibration images", unit="img", disable=None, leave=False):
        try:
            example = read_image(file, "", 0, file.name, lossless=True)
        except DataError as e:
            skipped.append((path_text(file.relative_to(source.folder)), str(e)))
            continue
        images.append(eval_image(example.encoded, preprocess).numpy())
        short_sides.append(min(example.width, example.height))
    if not images:
        raise ConfigError(
            f"calibration_data={source.folder}: none of {len(skipped)} images can be read, for example "
            f"{skipped[0][0]}: {skipped[0][1]}. Name a folder with sound images."
        )
    found = doubts(images, short_sides, gray=gray)
    for doubt in [*_skipped_text(skipped), *found]:
        _log.warning(f"calibration_data={source.folder}: {doubt}")
    return Calibration(images, skipped, found)


def doubts(images: Sequence[np.ndarray], short_sides: Sequence[int], *, gray: bool = False) -> list[str]:
    """What looks wrong about calibration images, a sentence each that says what to do.

    short_sides: in pixels, before they were resized.
    """
    count, size, said = len(images), images[0].shape[0], []
    many = lambda number: number > _FEW * count
    if count < FEWEST:
        said.append(f"{count} images are few, give at least {FEWEST}, better 200, of what the network will see.")
    if many(copies := count - len({image.tobytes() for image in images})):
        said.append(f"{copies} of {count} images are copies of others, remove them: they add nothing to the ranges.")
    if not gray and 2 * (number := sum(np.ptp(image, axis=-1).max() < 1 for image in images)) > count:
        said.append(f"{number} of {count} images are gray, give color images if the network will see such.")
    if many(number := sum(image.std() < _FLAT for image in images)):
        said.append(f"{number} of {count} images are nearly one color, replace them with photographs.")
    mean = float(np.mean([image.mean() for image in images]))
    if not _DARK <= mean <= _BRIGHT:
        word = "dark" if mean < _DARK else "bright"
        said.append(
            f"the images are very {word} (mean {mean:.0f} of 255), check that they are what the network will see."
        )
    if many(number := sum(2 * side < size for side in short_sides)):
        said.append(f"{number} of {count} images are smaller than half of the {size} pixels, give larger ones.")
    return said


def _skipped_text(skipped: list[tuple[str, str]]) -> list[str]:
    if not skipped:
        return []
    name, reason = skipped[0]
    return [f"{len(skipped)} images cannot be read and were skipped, for example {name}: {reason}"]
