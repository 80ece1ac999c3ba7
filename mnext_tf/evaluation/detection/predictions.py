"""Detections in image files: for the console, as tables, and drawn."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.preprocess import decode, encoded_size
from mnext_tf.evaluation.detection.drawing import draw_boxes
from mnext_tf.evaluation.predictions import plot_path
from mnext_tf.files import atomic_write
from mnext_tf.inference.image_stream import Images, preprocessed
from mnext_tf.inference.predictor import Predictor
from mnext_tf.text import printable


@dataclass(frozen=True)
class Found:
    """Names, sizes (width, height) in pixels, and detections of images."""

    names: list[str]
    sizes: list[tuple[int, int]]
    detections: list[Detections]


def detect_images(network: Predictor, images: Images, *, score: float = 0.0, progress: bool = False) -> Found:
    """The detections of at least `score` in all sound images; `images.skipped` lists the others."""
    sizes: dict[str, tuple[int, int]] = {}

    def measured():
        for item in images.items():
            yield item._replace(read=lambda item=item: _measured(item, sizes))

    found = Found([], [], [])
    stream = dataclasses.replace(images, items=measured)
    for batch in preprocessed(stream, [network.preprocess], 32, progress=progress):
        found.names.extend(batch.names)
        found.detections.extend(d.above(score) for d in network.predict(batch.pixels[network.preprocess]))
    found.sizes.extend(sizes[name] for name in found.names)
    return found


def _measured(item, sizes: dict) -> bytes:
    encoded = item.read()
    sizes[item.name] = encoded_size(encoded)
    return encoded


def format_detections(found: Found, labels: Sequence[str]) -> str:
    """Each file, and below it a line for each detection: score, class, and box in pixels."""
    lines = []
    for name, (width, height), detections in zip(found.names, found.sizes, found.detections, strict=True):
        lines.append(f"{printable(name)}  {len(detections)} found")
        pixels = detections.boxes * np.array([width, height, width, height])
        for box, score, label in zip(pixels, detections.scores, detections.labels, strict=True):
            edges = " ".join(f"{edge:.0f}" for edge in box)
            lines.append(f"  {score:7.2%}  {printable(labels[label])}  {edges}")
    return "\n".join(lines)


def draw_detections(images: Images, found: Found, labels: Sequence[str], folder: Path) -> list[Path]:
    """<name>.png of each image with its boxes, in `folder`."""
    from PIL import Image

    Path(folder).mkdir(parents=True, exist_ok=True)
    by_name, written = dict(zip(found.names, found.detections, strict=True)), []
    for item in images.items():
        if item.name not in by_name:
            continue
        path = plot_path(folder, item.name, written)
        with atomic_write(path) as temporary:
            drawn = draw_boxes(decode(item.read()).numpy(), by_name[item.name], labels)
            Image.fromarray(drawn).save(temporary, "PNG")
        written.append(path)
    return written
