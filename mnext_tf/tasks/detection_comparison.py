"""How the outputs of a form of a detector differ from those of the Keras network."""

from __future__ import annotations

import numpy as np

from mnext_tf.boxes import BESIDE_CLASSES, Detections, iou
from mnext_tf.tasks.binned_ap import binned_counts, mean_ap

SHOWN = 0.3  # the score from which a detection of the Keras network must be found again
_NEAR = 0.9 * SHOWN  # what a detection that finds it must have: one at the threshold may fall a little below
_SAME = 0.9  # the IoU of the same box
_GROUPS = 20  # of images, of which each in turn is left out to see how much mAP50 depends on the images


class DetectionComparison:
    """Accumulates, batch by batch, differences of packed outputs, of detections, and of their average precision.

    output: "detections" of a form that gives nothing else, else "logits".
    """

    def __init__(self, task, output: str = "logits"):
        self._task, self._packed = task, output != "detections"
        self._images = self._boxes = self._same = 0
        self._difference, self._largest = np.zeros(2), np.zeros(2)  # of logits, of box regressions
        self._counts: list[dict[str, np.ndarray]] = [{} for _ in range(_GROUPS)]
        self._labeled = True

    def update(self, outputs, reference: np.ndarray, objects: np.ndarray | None) -> None:
        """outputs, reference (of Keras): packed (n, priors, classes + 5); objects: (n, most, 6), or None.

        Of a form that gives detections, `outputs` are those.
        """
        first = self._images
        self._images += len(outputs)
        self._labeled = self._labeled and objects is not None
        if self._packed:
            self._differ(outputs, reference)
            if not np.isfinite(self._difference).all():
                return
        found = self._task.decode(outputs) if self._packed else outputs
        expected = found if outputs is reference else self._task.decode(reference)
        for mine, theirs in zip(found, expected, strict=True):
            shown = theirs.above(SHOWN)
            self._boxes += len(shown)
            self._same += found_again(mine.above(_NEAR), shown)
        for i, rows in enumerate(() if objects is None else objects):
            group = self._counts[(first + i) % _GROUPS]
            for name, count in binned_counts(
                found[i : i + 1], rows[None], reference.shape[-1] - BESIDE_CLASSES
            ).items():
                group[name] = group.get(name, 0) + count

    def _differ(self, outputs: np.ndarray, reference: np.ndarray) -> None:
        difference = np.abs(outputs.astype(np.float64) - reference)
        for i, columns in enumerate((slice(None, -4), slice(-4, None))):
            self._difference[i] = np.maximum(self._difference[i], difference[..., columns].max())  # NaN stays
            self._largest[i] = max(self._largest[i], float(np.abs(reference[..., columns]).max()))

    def result(self) -> dict:
        """map50 (None without labels) and same_boxes are in 0..1; boxes: those of at least SHOWN that Keras finds.

        map50_without: map50 with one group of the images after the other left out; [] of a single image.

        max_relative_difference is over the largest reference value, of the logits or of the box regressions, whichever
        is larger; None of a form that gives detections.
        """
        return {
            "images": self._images,
            "map50": mean_ap(_sum(self._counts)) if self._labeled and self._counts[0] else None,
            "map50_without": self._without() if self._labeled else [],
            "boxes": self._boxes,
            "same_boxes": self._same / self._boxes if self._boxes else 1.0,
            "max_abs_difference": float(self._difference.max()) if self._packed else None,
            "max_relative_difference": float((self._difference / np.maximum(self._largest, 1e-30)).max())
            if self._packed
            else None,
        }

    def _without(self) -> list[float]:
        groups = [group for group in self._counts if group]
        if len(groups) < 2:
            return []
        return [round(mean_ap(_sum([*groups[:g], *groups[g + 1 :]])), 6) for g in range(len(groups))]


def drop_interval(measured: dict, reference: dict) -> float:
    """Half the 95 % interval of the difference of two map50 on the same images, by the jackknife; 0 where not known.

    By Student's t, since the groups are few.
    """
    from scipy.stats import t

    mine, theirs = measured["map50_without"], reference["map50_without"]
    if not mine or len(mine) != len(theirs):
        return 0.0
    freedom = len(mine) - 1
    return float(t.ppf(0.975, freedom) * np.sqrt(freedom * np.subtract(theirs, mine).var()))


def _sum(groups: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: sum(group[name] for group in groups if group) for name in groups[0]}


def found_again(found: Detections, wanted: Detections) -> int:
    """How many of `wanted` have one of the same class and IoU above 0.9 in `found`."""
    if not len(found) or not len(wanted):
        return 0
    same = iou(wanted.boxes, found.boxes) * (wanted.labels[:, None] == found.labels[None])
    return int((same.max(1) > _SAME).sum())
