"""Runs a detector's TFLite file in one of the forms for apps, of two or four outputs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnext_tf import boxes
from mnext_tf.errors import ExportError
from mnext_tf.inference.tflite import TFLiteNetwork, named_outputs
from mnext_tf.tflite.detector import CATEGORY, COUNT, LOCATION, OUTPUTS, SCORE, Decoding
from mnext_tf.tflite.detector_metadata import read_priors
from mnext_tf.tflite.metadata import read_metadata

_XY = [1, 0, 3, 2]  # of columns y, x, h, w, or y_min, x_min, y_max, x_max


def open_tflite(path: Path) -> TFLiteNetwork:
    """The file as `TFLiteNetwork`, or as `TFLiteDetector` where it is a detector's for apps."""
    return (TFLiteDetector if is_for_apps(path) else TFLiteNetwork)(path)


def is_for_apps(path: Path) -> bool:
    """Whether a file is a detector's in a form for apps."""
    about = read_metadata(path)
    return bool(about and about.detector and about.detector.get("form", "raw") != "raw")


class TFLiteDetector(TFLiteNetwork):
    """A file of two or four outputs as a function from float images, RGB in [0, 255], to a list of `Detections`.

    Of two outputs, boxes are decoded and suppressed as the record inside the file says. That record is `decoding`.
    Raises ExportError for a file without one, and for a raw one, which `TFLiteNetwork` runs.
    """

    def __init__(self, path: Path, **options):
        super().__init__(path, **options)
        self.output = "detections"

    def __call__(self, images) -> list[boxes.Detections]:
        return list(self._pool.map(self._one, np.asarray(images)))

    def _find_outputs(self, path: Path, interpreter) -> tuple[list[dict], int]:
        named = dict(named_outputs(interpreter))
        if self.metadata is None or self.metadata.detector is None:
            raise ExportError(f"{path} does not say how its outputs become boxes; a detector's file of ours does.")
        self.decoding = Decoding.from_dict(self.metadata.detector, f"detector.json inside {path}")
        wanted = OUTPUTS[self.decoding.form]
        if self.decoding.form == "raw" or {*named} != {*wanted}:
            raise ExportError(
                f"{path} is of the form {self.decoding.form} and gives {', '.join(named)}; this takes files that give "
                f"{' or '.join(', '.join(OUTPUTS[form]) for form in ('two', 'four'))}."
            )
        if self.decoding.form == "two":
            self._priors = read_priors(self.metadata)
        return [named[name] for name in wanted], len(self.metadata.labels)

    def _joined(self, outputs: list[np.ndarray]) -> boxes.Detections:
        given = dict(zip(OUTPUTS[self.decoding.form], outputs, strict=True))
        if self.decoding.form == "two":
            return self._suppressed(given[LOCATION][:, _XY], given[SCORE])
        count = int(given[COUNT])
        return boxes.Detections(
            given[LOCATION][:count, _XY], given[SCORE][:count], given[CATEGORY][:count].astype(np.int32)
        )

    def _suppressed(self, regression: np.ndarray, scores: np.ndarray) -> boxes.Detections:
        how = self.decoding
        variances = np.float32([how.center_variance / boxes.CENTER_VARIANCE, how.size_variance / boxes.SIZE_VARIANCE])
        decoded = boxes.decode(regression * variances.repeat(2), self._priors)
        prior, label = np.nonzero(scores >= how.score_threshold)
        kept = boxes.suppress(decoded[prior], scores[prior, label], label, how.iou_threshold, how.max_detections)
        found = np.clip(decoded[prior[kept]], 0, 1)
        return boxes.Detections(found, scores[prior, label][kept], label[kept].astype(np.int32))
