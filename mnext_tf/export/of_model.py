"""A run folder of a Keras model that the user trained, so that every stage works on it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.boxes import DETECTION_SETTINGS, DetectionSettings
from mnext_tf.data.opening import open_dataset
from mnext_tf.data.preprocess import Preprocess, squashed
from mnext_tf.errors import ConfigError
from mnext_tf.inference.predictor import check_images
from mnext_tf.models import save_weights
from mnext_tf.runs.config import DatasetConfig, ImportSource, RunConfig
from mnext_tf.runs.run import Run, create_run
from mnext_tf.runs.stages import run_stage
from mnext_tf.tflite.metadata import labels_text


def run_of_model(
    model,
    folder: Path,
    *,
    labels: Sequence[str] | None = None,
    calibration: np.ndarray | str | Path | None = None,
    preprocess: Preprocess | None = None,
    detection: DetectionSettings | None = None,
) -> Run:
    """Make the run folder `folder` of a model that `create_model` or `create_detector` built and `model.fit` trained.

    Args:
      labels: class names in order of the logits; None calls them class 0, class 1, ...
      calibration: images to calibrate int8 files on and to verify all exports on: an array (n, size, size, 3) of RGB
        pixels in [0, 255], or a data folder; None takes crops of two embedded images.
      preprocess: how an app should prepare images; None takes the usual center crop, or of a detector the whole image.
      detection: how a detector's outputs become boxes; None: as its priors were published.

    Raises ConfigError for a model of another origin, for images of another shape or range, and where `folder` holds a
    run already.
    """
    folder = Path(folder)
    if (folder / "config.json").exists():
        raise ConfigError(f"{folder} holds a run already. Choose another folder or delete it.")
    config = getattr(model, "mnext_config", None)
    if config is None:
        raise ConfigError(
            "Only networks that mnext_tf.create_model or create_detector built can be exported: others have no known "
            "layers and normalization. Build the network with one of them and load your weights into it."
        )
    names = tuple(labels or (f"class {i}" for i in range(config.num_classes)))
    if len(names) != config.num_classes:
        raise ConfigError(f"{len(names)} labels were given; the model has {config.num_classes} classes.")
    if detection and not config.priors:
        raise ConfigError("detection is for models that create_detector built; this one classifies.")
    labels_text(names)  # refuses names that a labels.txt cannot hold
    usual, share = Preprocess(config.input_size), {}
    if config.priors:
        usual, detection = squashed(config.input_size), detection or DETECTION_SETTINGS[config.priors]
    if isinstance(calibration, np.ndarray):  # used whole; half of them calibrate, half verify
        usual, share = dataclasses.replace(usual, crop_fraction=1.0), {"validation_share": 0.5}
        calibration = _write_images(calibration, config.input_size, folder / "images")
    source = "photographs" if calibration is None else calibration
    dataset = open_dataset(source, folder / "data", class_names=names, **share)
    run = create_run(
        folder,
        RunConfig(
            model=config,
            init="imported",
            dataset=DatasetConfig.of(dataset),
            class_names=names,
            preprocess=preprocess or usual,
            recipe=None,
            task="detection" if config.priors else "classification",
            detection=detection,
            source=ImportSource("model", "", 0, "Keras", "mnext_tf"),
        ),
    )

    def build(stage: Path) -> dict:
        save_weights(model, stage / "model.weights.h5")
        return {}

    run_stage(run, "import", inputs={}, settings={}, build=build)
    return run


def _write_images(images: np.ndarray, size: int, folder: Path) -> Path:
    """The array as a folder of PNG files."""
    from PIL import Image

    images = check_images(images, size)
    if len(images) < 2:
        raise ConfigError("calibration must hold at least 2 images: one to calibrate on, one to verify.")
    folder.mkdir(parents=True)
    for i, image in enumerate(np.rint(np.clip(images, 0, 255)).astype(np.uint8)):
        Image.fromarray(image).save(folder / f"{i:06d}.png")
    return folder
