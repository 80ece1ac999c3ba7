"""What training sees: a contact sheet of augmented images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from mnext_tf.data import tfrecord
from mnext_tf.data.augment import Augment
from mnext_tf.data.box_augment import BoxAugment, train_example
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.detection_pipeline import parse_objects
from mnext_tf.data.input_pipeline import report_damage, train_batches
from mnext_tf.data.order import derive_seed, shuffled_records
from mnext_tf.data.preprocess import Preprocess, eval_image, train_image
from mnext_tf.errors import ConfigError
from mnext_tf.files import atomic_write

_DRAWS = 6  # of every image
_BATCHES = 4  # of mixed images
_LEAST_SIDE = 112  # pixels of a cell; smaller images are enlarged
_GAP, _LINE = 4, 16  # pixels between cells, and of a line of text
_COLORS = ("#FF2D2D", "#00C853", "#2979FF", "#FFD600", "#E040FB", "#00E5FF", "#FF9100", "#FFFFFF")  # of boxes


def write_preview(
    folder: str | Path, dataset: Dataset, preprocess: Preprocess, augment: Augment, *, seed: int, images: int = 8
) -> Path:
    """Write preview.png and return its path: one training image a row.

    The first column is the image as it is evaluated, the others are random draws, as in training. With mixup or
    CutMix follow batches of training, each a row, with the shares of the classes. Raises ConfigError for less than
    one image and DataError for a damaged one.
    """
    if images < 1:
        raise ConfigError(f"The number of images must be at least 1; received {images}.")
    with report_damage(dataset, "train"):
        records = shuffled_records(dataset, seed, 0).take(images)
        rows = [_draws(record, dataset, preprocess, augment, derive_seed(seed, r)) for r, record in enumerate(records)]
        if augment.mixes:
            size = min(_DRAWS, dataset.splits["train"])
            batches = train_batches(dataset, preprocess, augment, size, seed=seed, epoch=0).take(_BATCHES)
            rows += [_mixed(*batch, dataset) for batch in batches]
    return _write(folder, rows, preprocess)


def preview_boxes(
    folder: str | Path, dataset: Dataset, preprocess: Preprocess, augment: BoxAugment, *, seed: int, images: int = 8
) -> Path:
    """`write_box_preview` of training images of a data set with boxes."""
    examples = []
    with report_damage(dataset, "train"):
        for record in shuffled_records(dataset, seed, 0).take(images):
            encoded, boxes, labels, ignored = (part.numpy() for part in parse_objects(record, dataset))
            examples.append((encoded, boxes[~ignored], labels[~ignored]))
    return write_box_preview(folder, examples, dataset.class_names, preprocess, augment, seed=seed)


def write_box_preview(
    folder: str | Path,
    examples: Iterable[tuple[bytes, np.ndarray, np.ndarray]],
    class_names: Sequence[str],
    preprocess: Preprocess,
    augment: BoxAugment,
    *,
    seed: int,
) -> Path:
    """Write preview.png of images with boxes, one a row, and return its path.

    The first column is the image as it is evaluated, the others are random draws, as in training; each with its boxes,
    and above it the classes that are there. `examples`: encoded image, boxes float32 (N, 4), relative (x_min, y_min,
    x_max, y_max), labels (N,). Raises ConfigError where there is none, and TensorFlow's InvalidArgumentError for a
    damaged image.
    """
    side, rows = max(_LEAST_SIDE, preprocess.input_size), []
    for r, (encoded, boxes, labels) in enumerate(examples):
        labels, seeds = np.asarray(labels, np.int32), [[derive_seed(seed, r), i] for i in range(_DRAWS)]
        cells = [(eval_image(encoded, preprocess), boxes, labels)]
        cells += [train_example(encoded, boxes, labels, preprocess, augment, each) for each in seeds]
        rows.append([_boxes_cell(*map(np.asarray, cell), class_names, side) for cell in cells])
    if not rows:
        raise ConfigError("There is no image to show.")
    return _write(folder, rows, preprocess)


def _boxes_cell(image, boxes, labels, class_names: Sequence[str], side: int) -> tuple:
    """(text, picture) with the boxes drawn on it in the colors of their classes, and the classes in words."""
    from PIL import ImageDraw

    picture = _enlarged(image, side)
    draw = ImageDraw.Draw(picture)
    for box, label in zip(boxes, labels, strict=True):
        draw.rectangle((box * (side - 1)).tolist(), outline=_COLORS[label % len(_COLORS)], width=2)
    return ", ".join(_printable(class_names[label]) for label in np.unique(labels)), np.asarray(picture)


def _write(folder: str | Path, rows: list, preprocess: Preprocess) -> Path:
    path = Path(folder) / "preview.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        _sheet(rows, max(_LEAST_SIDE, preprocess.input_size)).save(partial, "PNG")
    return path


def _draws(record, dataset: Dataset, preprocess: Preprocess, augment: Augment, seed: int) -> list:
    """(text, image) of an image in evaluation and of its draws."""
    encoded, label = tfrecord.parse(record, dataset.keys)
    cells = [(_class(dataset, int(label) - dataset.label_offset), eval_image(encoded, preprocess))]
    for i in range(_DRAWS):
        cells.append((f"training {i + 1}", train_image(encoded, preprocess, augment, [seed, i])))
    return cells


def _mixed(images, targets, dataset: Dataset) -> list:
    """(text, image) of a batch: the classes that have a share, the largest first."""
    cells = [("mixed batch:", np.full(images.shape[1:], 255))]
    for image, target in zip(images, targets.numpy(), strict=True):
        classes = [c for c in np.argsort(-target)[:2] if target[c] > 0]
        cells.append((", ".join(f"{target[c]:.2f} {_class(dataset, c)}" for c in classes), image))
    return cells


def _class(dataset: Dataset, index: int) -> str:
    return _printable(dataset.class_names[index])


def _printable(name: str) -> str:
    """A name in letters that the font of every Pillow has."""
    return name.encode("latin-1", "replace").decode("latin-1")


def _enlarged(image, side: int):
    """An image in [0, 255] as a picture of that side."""
    from PIL import Image

    pixels = np.clip(np.rint(image), 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)


def _sheet(rows: list, side: int):
    """Rows of (text, image in [0, 255]) as one picture; text is cut off at the cell's width."""
    from PIL import Image, ImageDraw

    across, down = side + _GAP, side + _GAP + _LINE
    sheet = Image.new("RGB", (across * (_DRAWS + 1) + _GAP, down * len(rows) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for r, row in enumerate(rows):
        for c, (text, image) in enumerate(row):
            x, y = _GAP + c * across, _GAP + r * down
            while draw.textlength(text) > side:
                text = text[:-1]
            draw.text((x, y), text, "black")
            sheet.paste(_enlarged(image, side), (x, y + _LINE))
    return sheet
