"""Plots: where a network errs, and its predictions for one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnext_tf.files import atomic_write

_CELLS_WITH_NUMBERS = 20  # classes
_CELLS_WITH_NAMES = 60


def confusion(path: Path, matrix: np.ndarray, class_names: tuple[str, ...], mistakes: list[dict], title: str) -> None:
    """The confusion matrix, each row as shares of its class, beside the mistakes made most often (`confusions`)."""
    plt = pyplot()
    present = np.flatnonzero(matrix.sum(0) + matrix.sum(1))
    shown, names = matrix[np.ix_(present, present)], [class_names[i] for i in present]
    shares = shown / np.maximum(shown.sum(1, keepdims=True), 1)
    n = len(present)
    height = 4.5 + 0.16 * min(n, _CELLS_WITH_NAMES) if n <= _CELLS_WITH_NAMES else 8
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(height + 6, height), width_ratios=(height, 4), layout="constrained"
    )
    plot = left.imshow(shares, cmap="Blues", vmin=0, vmax=1, interpolation="nearest" if n <= 200 else "antialiased")
    left.set(xlabel="prediction", ylabel="label", title=f"share of the label's images ({n} classes)")
    if n <= _CELLS_WITH_NAMES:
        left.set_xticks(range(n), [short(name) for name in names], rotation=90)
        left.set_yticks(range(n), [short(name) for name in names])
    if n <= _CELLS_WITH_NUMBERS:
        for i, j in np.argwhere(shown > 0):
            left.text(j, i, shown[i, j], ha="center", va="center", color="white" if shares[i, j] > 0.5 else "black")
    figure.colorbar(plot, ax=left, shrink=0.7)
    texts = [f"{short(m['label'])} → {short(m['prediction'])}" for m in mistakes]
    right.barh(range(len(texts)), [m["images"] for m in mistakes], color="#c44e52")
    right.set_yticks(range(len(texts)), texts)
    right.invert_yaxis()
    right.xaxis.get_major_locator().set_params(integer=True)
    right.set(xlabel="images", title="most frequent mistakes" if texts else "no mistakes")
    right.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
    plt.close(figure)


def annotated(path: Path, image: np.ndarray, names: list[str], probabilities: list[float], title: str) -> None:
    """An image, uint8 (h, w, 3), as the network sees it, beside bars of its first classes."""
    plt = pyplot()
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), width_ratios=(1, 1.2), layout="constrained")
    left.imshow(image)
    left.set_axis_off()
    left.set_title(short(title, 40))
    bars = right.barh(range(len(names)), probabilities, color="#4c72b0")
    right.bar_label(bars, [f"{p:.1%}" for p in probabilities], padding=3)
    right.set_yticks(range(len(names)), [short(name) for name in names])
    right.invert_yaxis()
    right.set(xlim=(0, 1.15), xticks=[0, 0.5, 1], xlabel="probability")
    right.spines[["top", "right"]].set_visible(False)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100)
    plt.close(figure)


def pyplot():
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt


def short(text: str, most: int = 24) -> str:
    text = text.replace("$", r"\$")  # matplotlib would read formulas
    return text if len(text) <= most else f"{text[: most - 1]}…"
