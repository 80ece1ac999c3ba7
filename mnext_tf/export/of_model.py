"""A run folder of a Keras model that the user trained, so that every stage works on it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.data.opening import open_dataset
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError
from mnext_tf.models import save_weights
from mnext_tf.runs.config import DatasetConfig, ImportSource, RunConfig
from mnext_tf.runs.run import Run, create_run
from mnext_tf.runs.stages import run_stage


def run_of_model(
    model,
    folder: Path,
    *,
    labels: Sequence[str] | None = None,
    calibration: np.ndarray | str | Path | None = None,
    preprocess: Preprocess | None = None,
) -> Run:
    """Make the run folder `folder` of a model that `mnext_tf.create_model` built and `model.fit` trained.

    Args:
      labels: class names in order of the logits; None calls them class 0, class 1, ...
      calibration: images that exports are verified and int8 files calibrated on: an array (n, size, size, 3) of RGB
        pixels in [0, 255], or a data folder; None takes crops of two embedded images.
      preprocess: how an app should prepare images; None takes the usual center crop.

    Raises ConfigError for a model of another origin and for images of another shape or range.
    """
    config = getattr(model, "mnext_config", None)
    if config is None:
        raise ConfigError(
            "Only networks that mnext_tf.create_model built can be exported: others have no known layers and "
            "normalization. Build the network with create_model and load your weights into it."
        )
    names = tuple(labels or (f"class {i}" for i in range(config.num_classes)))
    if len(names) != config.num_classes:
        raise ConfigError(f"{len(names)} labels were given; the model has {config.num_classes} classes.")
    if isinstance(calibration, np.ndarray):
        calibration = _write_images(calibration, config.input_size, folder.parent / "calibration")
    source = "photographs" if calibration is None else calibration
    dataset = open_dataset(source, folder.parent / "data", class_names=names)
    run = create_run(
        folder,
        RunConfig(
            model=config,
            init="imported",
            dataset=DatasetConfig.of(dataset),
            class_names=names,
            preprocess=preprocess or Preprocess(input_size=config.input_size, crop_fraction=_crop(calibration)),
            recipe=None,
            source=ImportSource("model", "", 0, "Keras", "mnext_tf"),
        ),
    )

    def build(stage: Path) -> dict:
        save_weights(model, stage / "model.weights.h5")
        return {}

    run_stage(run, "import", inputs={}, settings={}, build=build)
    return run


def _crop(calibration) -> float:
    """Images that were given at the network's size are used whole."""
    return Preprocess.crop_fraction if calibration is None else 1.0


def _write_images(images: np.ndarray, size: int, folder: Path) -> Path:
    """The array as a folder of PNG files."""
    from PIL import Image

    if images.ndim != 4 or images.shape[1:] != (size, size, 3) or images.dtype.kind not in "uif" or len(images) < 2:
        raise ConfigError(
            f"calibration must hold at least 2 images, shape (n, {size}, {size}, 3); received {images.shape} of "
            f"{images.dtype}."
        )
    if images.min() < 0 or images.max() > 255:
        raise ConfigError(f"calibration images must be in [0, 255]; received {images.min():g} to {images.max():g}.")
    folder.mkdir(parents=True)
    for i, image in enumerate(np.rint(images).astype(np.uint8)):
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "PNG")
        (folder / f"{i:06d}.png").write_bytes(buffer.getvalue())
    return folder
