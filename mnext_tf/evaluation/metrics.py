"""Numbers from predictions. Labels and predictions are class indices."""

from __future__ import annotations

import numpy as np


def top_classes(outputs: np.ndarray, k: int = 5) -> np.ndarray:
    """(n, classes) to the k classes of the largest outputs, best first; of equal ones the smaller index first."""
    return np.argsort(-outputs, axis=1, kind="stable")[:, :k]


def accuracy(top: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of images whose label is among the first k of `top` (n, >= k)."""
    return float((top[:, :k] == labels[:, None]).any(1).mean())


def confusion_matrix(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """(classes, classes) counts: row = label, column = prediction."""
    return np.bincount(labels * classes + predicted, minlength=classes * classes).reshape(classes, classes)


def per_class(matrix: np.ndarray, class_names: tuple[str, ...]) -> list[dict]:
    """A row for each class that has images or was predicted: recall is the class's accuracy, both None over nothing."""
    rows = []
    for i, name in enumerate(class_names):
        images, predicted, correct = int(matrix[i].sum()), int(matrix[:, i].sum()), int(matrix[i, i])
        if images or predicted:
            rows.append(
                {
                    "class": i,
                    "name": name,
                    "images": images,
                    "correct": correct,
                    "accuracy": round(correct / images, 6) if images else None,
                    "predicted": predicted,
                    "precision": round(correct / predicted, 6) if predicted else None,
                }
            )
    return rows


def confusions(matrix: np.ndarray, class_names: tuple[str, ...], most: int = 15) -> list[dict]:
    """The mistakes made most often, as {label, prediction, images}."""
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    pairs = [divmod(int(i), len(matrix)) for i in order]
    return [
        {"label": class_names[a], "prediction": class_names[b], "images": int(wrong[a, b])}
        for a, b in pairs
        if wrong[a, b]
    ]
