"""What a network sees in single images."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnext_tf.evaluation.accuracy import run_networks
from mnext_tf.inference.images import Images, preprocessed
from mnext_tf.inference.predictor import Network


def predict(network: Network, images: Images, *, top: int = 5) -> list[dict]:
    """A row for each sound image: {file, predictions: [{class, name, probability}, ...]}, best first.

    Damaged images are left out and stand in `images.skipped`; DataError where none is sound.
    """
    (evaluated,), names, _ = run_networks([network], images, top_k=top)
    return [
        {
            "file": name,
            "predictions": [
                {"class": int(c), "name": network.class_names[c], "probability": float(p)}
                for c, p in zip(classes, probabilities, strict=True)
            ],
        }
        for name, classes, probabilities in zip(names, evaluated.top, evaluated.probabilities, strict=True)
    ]


def csv_rows(predictions: list[dict]) -> list[dict]:
    """A row for each image and place: file, rank, class, name, probability."""
    return [
        {"file": row["file"], "rank": rank, **{**p, "probability": round(p["probability"], 6)}}
        for row in predictions
        for rank, p in enumerate(row["predictions"], start=1)
    ]


def format_predictions(predictions: list[dict]) -> str:
    """For the eye: the file, then a line for each class."""
    lines = []
    for row in predictions:
        lines.append(row["file"])
        lines += [f"  {p['probability']:7.2%}  {p['name']}" for p in row["predictions"]]
    return "\n".join(lines)


def annotate(network: Network, images: Images, predictions: list[dict], folder: Path) -> list[Path]:
    """A picture for each image, <name>.png in `folder`: the pixels that the network saw, and its first classes."""
    from mnext_tf.evaluation import plots

    Path(folder).mkdir(parents=True, exist_ok=True)
    rows, written = {row["file"]: row["predictions"] for row in predictions}, []
    for batch in preprocessed(images, [network.preprocess], 16, progress=False):
        for name, pixels in zip(batch.names, batch.pixels[network.preprocess], strict=True):
            path = Path(folder) / f"{'_'.join(Path(name).with_suffix('').parts[-2:]).strip('/_')}.png"
            path = path if path not in written else path.with_stem(f"{path.stem}_{len(written)}")
            plots.annotated(
                path,
                np.clip(np.rint(pixels), 0, 255).astype(np.uint8),
                [p["name"] for p in rows[name]],
                [p["probability"] for p in rows[name]],
                Path(name).name,
            )
            written.append(path)
    return written
