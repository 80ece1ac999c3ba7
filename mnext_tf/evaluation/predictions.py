"""Predictions of single images as tables and plots."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mnext_tf.inference.image_stream import Images, preprocessed
from mnext_tf.inference.predictor import Predictor
from mnext_tf.text import printable


def csv_rows(predictions: list[dict]) -> list[dict]:
    """A row for each image and rank: the image's own fields (file, network), rank, class, name, probability."""
    return [
        {**_image(row), "rank": rank, **{**p, "probability": round(p["probability"], 6)}}
        for row in predictions
        for rank, p in enumerate(row["predictions"], start=1)
    ]


def format_predictions(predictions: list[dict]) -> str:
    """A list for the console: each file once; below it, for each network, a line per class."""
    files = dict.fromkeys(row["file"] for row in predictions)
    networks = dict.fromkeys(row["network"] for row in predictions if "network" in row)
    lines = []
    for file in files:
        lines.append(printable(file))
        for row in (r for r in predictions if r["file"] == file):
            lines += [f"  {printable(row['network'])}"] if len(networks) > 1 else []
            lines += [f"  {p['probability']:7.2%}  {printable(p['name'])}" for p in row["predictions"]]
    return "\n".join(lines)


def folder_name(network: Predictor) -> str:
    """The network's name, in characters that folders have."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in network.name).strip("._")


def _image(row: dict) -> dict:
    return {key: value for key, value in row.items() if key != "predictions"}


def plot_path(folder: Path, name: str, written: list[Path]) -> Path:
    """Where the plot of the image `name` goes: another name than any of those in `written`."""
    path = Path(folder) / f"{'_'.join(Path(name).with_suffix('').parts[-2:]).strip('/_')}.png"
    return path if path not in written else path.with_stem(f"{path.stem}_{len(written)}")


def annotate(network: Predictor, images: Images, predictions: list[dict], folder: Path) -> list[Path]:
    """A plot for each image, <name>.png in `folder`: the pixels that the network saw, and its first classes."""
    from mnext_tf.evaluation import plots

    Path(folder).mkdir(parents=True, exist_ok=True)
    rows, written = {row["file"]: row["predictions"] for row in predictions}, []
    for batch in preprocessed(images, [network.preprocess], 16, progress=False):
        for name, pixels in zip(batch.names, batch.pixels[network.preprocess], strict=True):
            path = plot_path(folder, name, written)
            plots.annotated(
                path,
                np.clip(np.rint(pixels), 0, 255).astype(np.uint8),
                [p["name"] for p in rows[name]],
                [p["probability"] for p in rows[name]],
                Path(name).name,
            )
            written.append(path)
    return written
