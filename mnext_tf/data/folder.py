"""A user's photographs in `train/<class>/` and `val/<class>/` into TFRecord shards."""

from __future__ import annotations

import io
import os
import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import tfrecord
from mnext_tf.errors import DataError

LAYOUT = "train/<class>/<photograph> and val/<class>/<photograph>"
_FOLDERS = {"train": ("train",), "validation": ("val", "validation")}
_EXTENSIONS = {".jpg", ".jpeg", ".jpe", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_SHARD_BYTES = 128 << 20
_CHUNK = 256  # photographs that are in memory at once
_PNG_BIT_DEPTH = 24  # offset in the file; Pillow does not tell 16-bit RGB from 8-bit
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright


@dataclass(frozen=True)
class Listing:
    """What a folder holds: (path, class index) per split, and how many other files lie beside them."""

    class_names: list[str]
    photographs: dict[str, list[tuple[Path, int]]]
    ignored: int

    def fingerprint(self, source: Path) -> str:
        """Of paths, sizes and modification times: cheap, and changes with any edit."""
        entries = [
            (_text(path.relative_to(source)), *_size_and_time(path))
            for photographs in self.photographs.values()
            for path, _ in photographs
        ]
        return files.sha256_of(sorted(entries))


def list_folder(source: Path) -> Listing:
    """Find classes and photographs. Raises DataError where the layout does not hold."""
    if not source.is_dir():
        raise DataError(f"{source} is not a folder; the layout is {LAYOUT}.")
    if not any(source.iterdir()):
        raise DataError(f"{source} is empty; the layout is {LAYOUT}.")
    roots = {split: _split_folder(source, split) for split in tfrecord.SPLITS}
    classes = {split: _visible_folders(root) for split, root in roots.items()}
    class_names = [_text(path.name) for path in classes["train"]]
    if len(class_names) < 2:
        raise DataError(
            f"{roots['train']} holds {len(class_names)} class folders ({', '.join(class_names) or 'none'}); "
            f"at least 2 are needed. The layout is {LAYOUT}."
        )
    if unknown := [_text(p.name) for p in classes["validation"] if _text(p.name) not in class_names]:
        raise DataError(
            f"{roots['validation']} has classes that {roots['train']} lacks: {', '.join(unknown)}. "
            "Add training images of them or remove them."
        )
    ignored = 0
    photographs: dict[str, list[tuple[Path, int]]] = {}
    for split, folders in classes.items():
        photographs[split] = []
        for folder in folders:
            label = class_names.index(_text(folder.name))
            entries = sorted(folder.iterdir())
            images = [p for p in entries if p.suffix.lower() in _EXTENSIONS and p.name[0] != "." and not p.is_dir()]
            photographs[split] += [(path, label) for path in images]
            ignored += len(entries) - len(images)
    _require_images(class_names, {s: Counter(label for _, label in p) for s, p in photographs.items()}, roots, "image")
    return Listing(class_names, photographs, ignored)


def write_folder(source: Path, folder: Path, progress: bool = True) -> None:
    """Convert the photographs under `source` to shards in `folder`, which appears whole or not at all.

    Sound JPEG and PNG files are stored byte for byte, whatever their extension says. What TensorFlow
    cannot decode or would show turned is converted: EXIF-rotated JPEGs to JPEG of quality 95, CMYK,
    16-bit PNG and other formats to PNG. Damaged files are left out and listed in dataset.json.
    Raises DataError for a wrong layout or a class without a sound image.
    """
    from tqdm import tqdm

    source = Path(source)
    listing = list_folder(source)
    roots = {split: _split_folder(source, split) for split in tfrecord.SPLITS}
    total = sum(map(len, listing.photographs.values()))
    skipped: list[tuple[str, str]] = []
    with (
        files.write_folder_beside(folder) as temporary,
        tqdm(total=total, desc="converting", unit="image", disable=None if progress else True) as bar,
    ):
        summaries = {}
        for split, photographs in listing.photographs.items():
            size = sum(_size_and_time(path)[0] for path, _ in photographs)
            examples = _examples(source, photographs, listing.class_names, skipped, bar)
            num_shards = min(1024, 1 + size // _SHARD_BYTES)
            summaries[split] = tfrecord.write_shards(examples, temporary, split, num_shards, label_offset=1)
        counts = {s: Counter({k - 1: n for k, n in v.label_counts.items()}) for s, v in summaries.items()}
        _require_images(listing.class_names, counts, roots, "sound image", skipped)
        tfrecord.write_sidecar(
            temporary,
            name=source.resolve().name,
            class_names=listing.class_names,
            label_offset=1,
            summaries=summaries,
            skipped=sorted(skipped),
            ignored=listing.ignored,
        )


def read_photograph(path: Path, class_name: str, label: int, filename: str) -> tfrecord.Example:
    """Read one file, converting it where needed. Raises DataError with the reason when it is damaged."""
    from PIL import Image

    try:
        data = path.read_bytes()
        if not data:
            raise DataError("empty file")
        with Image.open(io.BytesIO(data)) as image:
            rotated = image.getexif().get(_ORIENTATION, 1) != 1
            jpeg = image.format in ("JPEG", "MPO")  # MPO: a JPEG with further pictures after the first
            eight_bit_png = image.format == "PNG" and data[_PNG_BIT_DEPTH] <= 8
            plain = eight_bit_png or (jpeg and image.mode in ("RGB", "L"))
            if not (plain and not rotated and _tensorflow_decodes(data)):
                data = _reencode(image, as_jpeg=jpeg and rotated)
        with Image.open(io.BytesIO(data)) as image:
            channels = 1 if image.mode in ("1", "L") else 3
            kind = "PNG" if image.format == "PNG" else "JPEG"
            return tfrecord.Example(data, kind, image.height, image.width, channels, label, class_name, filename)
    except DataError:
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise DataError(_reason(error)) from error


def _reencode(image, *, as_jpeg: bool) -> bytes:
    """Upright RGB; raises what Pillow raises when the pixels cannot be read."""
    import numpy as np
    from PIL import Image, ImageOps

    if image.mode in ("I", "F"):
        raise DataError(f"32-bit pixels ({image.format}) have no known range")
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    encoded = io.BytesIO()
    if as_jpeg:
        image.convert("RGB").save(encoded, "JPEG", quality=95, subsampling=0)
    else:
        image.convert("RGB").save(encoded, "PNG")
    return encoded.getvalue()


def _tensorflow_decodes(data: bytes) -> bool:
    import tensorflow as tf

    from mnext_tf.data.preprocess import decode

    try:
        decode(data)
    except tf.errors.InvalidArgumentError:
        return False
    return True


def _examples(source: Path, photographs, class_names, skipped, bar) -> Iterator[tfrecord.Example]:
    """Sound photographs in a fixed shuffled order; reasons of the others go to `skipped`."""
    order = list(photographs)
    random.Random(0).shuffle(order)

    def read(item):
        path, label = item
        name = _text(path.relative_to(source))
        try:
            return read_photograph(path, class_names[label], label, name)
        except DataError as error:
            return name, str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for start in range(0, len(order), _CHUNK):
            for result in pool.map(read, order[start : start + _CHUNK]):
                bar.update()
                if isinstance(result, tfrecord.Example):
                    yield result
                else:
                    skipped.append(result)


def _require_images(class_names, counts: dict[str, Counter], roots: dict[str, Path], what: str, skipped=()) -> None:
    """Every class needs training images; validation needs at least one image."""
    reasons = "".join(f"\n  {name}: {reason}" for name, reason in skipped[:5])
    if lacking := [name for label, name in enumerate(class_names) if not counts["train"][label]]:
        raise DataError(
            f"{roots['train']} has no {what} of {', '.join(lacking)}. Add some or remove the class.{reasons}"
        )
    if not counts["validation"].total():
        raise DataError(f"{roots['validation']} has no {what}. The layout is {LAYOUT}.{reasons}")


def _split_folder(source: Path, split: str) -> Path:
    for name in _FOLDERS[split]:
        if (source / name).is_dir():
            return source / name
    found = sorted(_text(p.name) + ("/" if p.is_dir() else "") for p in source.iterdir())
    more = f" and {len(found) - 10} more" if len(found) > 10 else ""
    raise DataError(
        f"{source} has no {' or '.join(_FOLDERS[split])} folder; found {', '.join(found[:10])}{more}. "
        f"The layout is {LAYOUT}."
    )


def _visible_folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _size_and_time(path: Path) -> tuple[int, int]:
    try:
        stat = path.stat()
    except OSError:  # a broken link; reading it gives the reason
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def _text(path) -> str:
    """A path as text that JSON can hold, also where its bytes are not UTF-8."""
    return os.fsencode(path).decode("utf-8", "replace")


def _reason(error: Exception) -> str:
    from PIL import UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return "not an image that Pillow can read"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
