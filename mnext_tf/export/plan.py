"""What a .tflite file of a run is made with: what the user chose now or before, and what follows from the run."""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass

import numpy as np

from mnext_tf.compression.calibration import calibration_images
from mnext_tf.compression.calibration_folder import CalibrationFolder, choose_files, folder_images
from mnext_tf.compression.keep_float import kernel_layers, named_layers
from mnext_tf.errors import ConfigError, one_of
from mnext_tf.export.checks import check_enough_zeros
from mnext_tf.export.settings import ExportSettings, remembered
from mnext_tf.naming import CALIBRATED, IO_TYPES, PRECISIONS
from mnext_tf.runs.dataset import run_dataset
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network
from mnext_tf.text import path_text

CALIBRATION_IMAGES = {"trained": 200, "imported": 200, "random": 32}
_OF_FOLDER = 200
_NOT_STATED = "not stated"


@dataclass(frozen=True)
class Plan:
    """calibration: the folder whose images set the ranges; None for the run's training images.

    keep_float, auto_keep_float: layers that compute in float32, and how many more. See `ExportSettings` for the others.
    """

    precision: str
    io_type: str
    effort: str
    about: dict[str, str]
    calibration_count: int
    calibration: CalibrationFolder | None
    sparse: bool = False
    keep_float: str = ""
    auto_keep_float: int = 0

    def settings(self) -> dict:
        """Of the stage. What a release did not know yet is left out where it is not used: old stages stay current."""
        found: dict = {"precision": self.precision, "about": self.about}
        if self.precision in CALIBRATED:
            found["calibration_count"] = self.calibration_count
            found |= {"calibration_data": self.calibration.settings()} if self.calibration else {}
        if self.precision == "int8":
            found["io_type"] = self.io_type
            found |= {} if self.effort == "fast" else {"effort": self.effort}
            found |= {"keep_float": self.keep_float} if self.keep_float else {}
            found |= {"auto_keep_float": self.auto_keep_float} if self.auto_keep_float else {}
        found |= {"sparse": True} if self.sparse else {}
        return found

    @property
    def changes_int8(self) -> bool:
        """Whether the file is another than the converter's."""
        return self.effort != "fast" or bool(self.keep_float or self.auto_keep_float)

    def calibration_images(self, run: Run) -> tuple[list[np.ndarray], dict]:
        """(the images that set the ranges, what a stage's result says of them)"""
        config = run.config
        if self.precision not in CALIBRATED:
            return [], {"calibration_images": 0}
        if self.calibration is None:
            images = calibration_images(run_dataset(run), config.preprocess, self.calibration_count, seed=config.seed)
            return images, {"calibration_images": len(images)}
        read = folder_images(self.calibration, config.preprocess, gray=config.dataset.name == "digits")
        about = {"folder": path_text(self.calibration.folder), "skipped": len(read.skipped), "doubts": read.doubts}
        return read.images, {"calibration_images": len(read.images), "calibration_data": about}


def make_plan(run: Run, stage: str, precision: str, io_type: str, given: ExportSettings) -> Plan:
    """Raises ConfigError for what does not fit together; `given` is remembered otherwise."""
    one_of("precision", precision, PRECISIONS)
    one_of("io_type", io_type, IO_TYPES)
    if io_type != "int8" and precision != "int8":
        raise ConfigError(f"io_type={io_type} is for int8; {precision} files take and give float32.")
    if given.sparse:
        if precision != "float32":
            raise ConfigError(f"sparse is for float32 files; XNNPACK has no sparse kernels for {precision}.")
        check_enough_zeros(load_network(run))
    if given.calibration_data:
        if precision not in CALIBRATED:
            raise ConfigError(f"calibration_data is for {' and '.join(CALIBRATED)}; {precision} files have no ranges.")
        choose_files(given.calibration_data, 1)  # what cannot be used is not remembered
        given = dataclasses.replace(given, calibration_data=os.path.abspath(given.calibration_data))
    if given.keep_float or given.auto_keep_float:
        _check_float_layers(run, precision, given.keep_float or "", given.auto_keep_float or 0)
    if run.config.task == "detection" and given.effort not in (None, "fast", "good"):
        raise ConfigError(f"effort={given.effort} is for classifiers; detectors have effort=fast and effort=good.")
    chosen = remembered(run, stage, given)
    count = chosen.calibration_count or (_OF_FOLDER if chosen.calibration_data else CALIBRATION_IMAGES[run.config.init])
    folder = choose_files(chosen.calibration_data, count, seed=run.config.seed) if chosen.calibration_data else None
    trained_for_int8 = run.config.recipe is not None and run.config.recipe.qat
    effort = (chosen.effort or ("trained" if trained_for_int8 else "fast")) if precision == "int8" else "fast"
    if effort == "trained" and not trained_for_int8:
        raise ConfigError(f"effort=trained is for runs of quantization-aware training, which {run.folder} is not.")
    about = {"author": chosen.author or _NOT_STATED, "license": chosen.license or _NOT_STATED}
    more = (bool(chosen.sparse), chosen.keep_float or "", chosen.auto_keep_float or 0)
    return Plan(precision, io_type, effort, about, count, folder, *more)


def _check_float_layers(run: Run, precision: str, names: str, count: int) -> None:
    model = run.config.model
    if precision != "int8":
        raise ConfigError(f"keep_float and auto_keep_float are for int8; this is {precision}.")
    if count and model.priors:
        raise ConfigError("auto_keep_float is for classifiers; name a detector's layers with keep_float.")
    if count and model.identity_tensor_multiplier != 1:
        raise ConfigError("auto_keep_float does not know networks of an identity_tensor_multiplier other than 1.")
    allowed = kernel_layers(model.create())
    named_layers(names, allowed)
    if count > len(allowed):
        raise ConfigError(f"auto_keep_float={count} is more than the {len(allowed)} layers with a kernel.")
