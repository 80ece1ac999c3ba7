"""Images for inference from folders, archives, records or single files: read and preprocessed once for all networks."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from mnext_tf.data.image_files import MAX_PIXELS, check_pixels, read_image, read_listed
from mnext_tf.data.preprocess import Preprocess, encoded_size, eval_image
from mnext_tf.errors import DataError
from mnext_tf.text import path_text

_AHEAD = 8  # batches of images at most in memory


class Item(NamedTuple):
    """An image that has not been read yet. `read` gives JPEG or PNG bytes; it raises DataError with a reason."""

    name: str
    label: int
    read: Callable[[], bytes]


@dataclass
class Images:
    """`count` images at most. `items` starts again at each call; `skipped` holds (name, reason) of the last pass."""

    name: str
    count: int
    labelled: bool
    items: Callable[[], Iterator[Item]]
    skipped: list[tuple[str, str]] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)  # known to be so before any pass


class Batch(NamedTuple):
    """pixels: for each preprocessing, float32 (n, size, size, 3) in [0, 255]."""

    names: list[str]
    labels: list[int]
    pixels: dict[Preprocess, np.ndarray]


def preprocessed(
    images: Images, preprocesses: Sequence[Preprocess], batch_size: int, *, progress: bool = True
) -> Iterator[Batch]:
    """Batches of all sound images, in order, read and resized on all cores.

    Damaged ones are in `images.skipped`; raises DataError where none is sound.
    """
    import tensorflow as tf
    from tqdm import tqdm

    encoded = [tf.TensorSpec((), tf.string)]
    resize = {p: tf.function(lambda e, p=p: eval_image(e, p), input_signature=encoded) for p in preprocesses}
    images.skipped[:] = images.unreadable

    def load(item: Item):
        try:
            data = tf.constant(item.read())
            return item, {p: function(data).numpy() for p, function in resize.items()}
        except DataError as error:
            return item, str(error)
        except tf.errors.InvalidArgumentError:
            return item, "not a sound JPEG or PNG"

    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        tqdm(total=images.count, desc=images.name, unit="img", disable=None if progress else True) as bar,
    ):
        todo, done, sound = images.items(), [], 0
        while chunk := list(itertools.islice(todo, batch_size * _AHEAD)):
            for item, loaded in pool.map(load, chunk):
                bar.update()
                if isinstance(loaded, str):
                    images.skipped.append((item.name, loaded))
                    continue
                done.append((item, loaded))
                sound += 1
                if len(done) == batch_size:
                    yield _batch(done, preprocesses)
                    done = []
        if done:
            yield _batch(done, preprocesses)
    if not sound:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in images.skipped[:5])
        raise DataError(f"{images.name}: no image can be read.{reasons}")


def open_images(
    source: str | Path | None,
    class_names: Sequence[str],
    *,
    run=None,
    split: str | None = None,
    label_offset: int | None = None,
    cache_dir: str | Path = "data",
    max_pixels: int = MAX_PIXELS,
) -> Images:
    """The images that `source` names: a folder in any layout, or "tfds:NAME"; None: those of `run`.

    Labels come in the order of `class_names`, the classes of the networks. An image of more than
    `max_pixels` is skipped before it is decoded.
    """
    from mnext_tf.data.opening import has_records, open_dataset
    from mnext_tf.runs.dataset import run_dataset

    if source is None:
        return images_of_dataset(run_dataset(run), split or "validation", max_pixels=max_pixels)
    given = {"class_names": class_names, "label_offset": label_offset, "max_pixels": max_pixels}
    if has_records(source):
        return images_of_dataset(open_dataset(source, cache_dir, **given), split or "validation", max_pixels=max_pixels)
    return images_in_folder(Path(source), split=split, **given)


def images_in_folder(
    data_dir: Path,
    class_names: Sequence[str],
    *,
    split: str | None = None,
    label_offset: int | None = None,
    max_pixels: int = MAX_PIXELS,
) -> Images:
    """Images in any layout of `mnext_tf.data.sources.layouts`, labels in the order of `class_names`.

    split: "train" or "validation"; None takes validation where the data has splits of its own, else all images.
    """
    from mnext_tf.data.sources.layouts import list_images

    given = {"class_names": class_names, "label_offset": label_offset}
    listing = list_images(data_dir, split=split or "validation", **given)
    if listing.hash_split and split is None:
        listing = list_images(data_dir, **given)

    def items():
        for image in listing.images:
            read = lambda image=image: read_listed(listing, image, lossless=True, max_pixels=max_pixels).encoded
            yield Item(path_text(image.name), image.label or 0, read)

    return Images(listing.name, len(listing.images), listing.labelled, items, unreadable=list(listing.skipped))


def images_of_dataset(dataset, split: str = "validation", *, max_pixels: int = MAX_PIXELS) -> Images:
    """The records of a split, in stored order."""
    from mnext_tf.data.input_pipeline import stored_examples

    def checked(encoded: bytes) -> bytes:
        check_pixels(*encoded_size(encoded), max_pixels)
        return encoded

    def items():
        for name, encoded, label in stored_examples(dataset, split):
            yield Item(name, label, lambda encoded=encoded: checked(encoded))

    return Images(f"{dataset.name}, {split}", dataset.splits[split], dataset.labelled, items)


def images_of_paths(paths: Sequence[Path], *, max_pixels: int = MAX_PIXELS) -> Images:
    """Single files, and folders with all images below them; raises DataError where one does not exist."""
    from mnext_tf.data.sources.layouts import list_image_files

    files = []
    for path in map(Path, paths):
        if not path.exists():
            raise DataError(f"{path_text(path)} does not exist. Give images or folders of images.")
        files += list_image_files(path) if path.is_dir() else [path]
    if not files:
        raise DataError(f"{', '.join(map(path_text, paths))}: there are no images.")

    def items():
        for path in files:
            read = lambda path=path: read_image(path, "", 0, path.name, lossless=True, max_pixels=max_pixels).encoded
            yield Item(path_text(path), 0, read)

    return Images("images", len(files), False, items)


def _batch(done: list, preprocesses: Sequence[Preprocess]) -> Batch:
    return Batch(
        [item.name for item, _ in done],
        [item.label for item, _ in done],
        {p: np.stack([loaded[p] for _, loaded in done]) for p in preprocesses},
    )
