"""What the benchmarks share: boxes in pixels, precision over recall, means over the classes that have objects."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RECALLS = np.arange(101) / 100  # where curves are sampled


def pixels(boxes: np.ndarray, width: int, height: int) -> np.ndarray:
    """Relative boxes (n, 4) in pixels, as edges, float64."""
    return np.asarray(boxes, np.float64) * (width, height, width, height)


def precision_recall(right: np.ndarray, objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall (n,) down to each detection, best first; `right` (n,) says which are."""
    true = np.cumsum(right)
    return true / np.arange(1, len(right) + 1), true / objects


def at_recalls(values: np.ndarray, recall: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """`values` (n,) where `recall` (n,), ascending, first reaches each of `wanted`; 0 where it does not."""
    return np.append(values, 0.0)[np.searchsorted(recall, wanted)]


def curve(recall: np.ndarray, precision: np.ndarray, scores: np.ndarray) -> dict[str, list[float]]:
    """A curve as JSON has it; `scores` are those from which on detections give that recall, 0 where none do."""
    return {
        "recall": [round(float(v), 6) for v in recall],
        "precision": [round(float(v), 6) for v in precision],
        "score": [round(float(v), 6) for v in scores],
    }


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of what is not None; None where all are."""
    present = [v for v in values if v is not None]
    return float(np.mean(present)) if present else None
