"""Numbers from predictions. Labels and predictions are class indices."""

from __future__ import annotations

import numpy as np


def softmax(logits: np.ndarray) -> np.ndarray:
    """(n, classes) to probabilities, in float64."""
    powers = np.exp(logits - logits.max(1, keepdims=True, initial=-np.inf), dtype=np.float64)
    return powers / powers.sum(1, keepdims=True)


def probabilities(outputs: np.ndarray) -> np.ndarray:
    """Of a network's outputs: their softmax, unless the network has taken it already."""
    if (outputs >= 0).all() and np.allclose(outputs.sum(1), 1, atol=0.02):  # int8 rounds to 1/256
        return outputs.astype(np.float64)
    return softmax(outputs)


def top_classes(logits: np.ndarray, k: int = 5) -> np.ndarray:
    """(n, classes) to the k classes of the largest logits, best first; of equal ones the smaller index first."""
    return np.argsort(-logits, axis=1, kind="stable")[:, :k]


def accuracy(top: np.ndarray, labels: np.ndarray, k: int) -> float:
    """Share of images whose label is among the first k of `top` (n, >= k)."""
    return float((top[:, :k] == labels[:, None]).any(1).mean())


def interval(share: float, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's 95 % interval of a share measured on n images: what another sample of that size might give."""
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))


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
