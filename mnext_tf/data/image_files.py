"""An image file as TensorFlow can decode it: read, checked and, where needed, converted."""

from __future__ import annotations

import dataclasses
import errno
import functools
import io
import os
import re
import stat
from pathlib import Path

from mnext_tf.data import tfrecord
from mnext_tf.data.objects import place
from mnext_tf.data.sources.file_walk import is_file_error
from mnext_tf.data.sources.listing import ImageListing, ListedImage
from mnext_tf.errors import DataError
from mnext_tf.text import path_text

MEGAPIXEL = 1 << 20
MAX_PIXELS = 64 * MEGAPIXEL  # 192 MiB once decoded; more than any telephone's 64-megapixel camera takes

# MPO opens as JPEG. Pillow knows more formats, and starts Ghostscript for one of them.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
_PNG_BIT_DEPTH = 24  # offset in the file; Pillow does not tell 16-bit RGB from 8-bit
_ORIENTATION = 0x0112  # EXIF tag; 1 is upright
_SUFFIXES = {"JPEG": {".jpg", ".jpeg", ".jpe"}, "PNG": {".png"}}


def read_image(
    path: Path, class_name: str, label: int, filename: str, *, lossless: bool = False, max_pixels: int = MAX_PIXELS
) -> tfrecord.Example:
    """Read one file, converting it where needed. Raises DataError with the reason when it cannot be used.

    A failure of the disk, the network or the memory is no damage: it stays an OSError or MemoryError.
    Sound JPEG and PNG files are kept byte for byte, whatever their extension says. What TensorFlow
    cannot decode, or would show rotated, is converted: EXIF-rotated JPEGs to JPEG of quality 95, CMYK,
    16-bit PNG and other formats to PNG; `remark` of the Example says so.

    Args:
      lossless: convert to PNG always, for images that are not kept.
      max_pixels: width times height, checked before any pixel is decoded.
    """
    return _example(_read_file(path), class_name, label, filename, lossless, max_pixels)


def read_listed(
    listing: ImageListing, image: ListedImage, *, lossless: bool = False, max_pixels: int = MAX_PIXELS
) -> tfrecord.Example:
    """`read_image` of a listed image, also of one inside an archive; the label is 0 where there is none.

    Objects of an annotated image are those of its pixels as they are kept: upright.

    Raises OSError for whatever is wrong with an archive: it was sound when it was listed.
    """
    if image.member:
        with open(image.member.archive, "rb") as f:
            f.seek(image.member.offset)
            data = f.read(image.member.size)
        if len(data) < image.member.size:
            raise OSError(errno.ESTALE, "it is shorter than when it was listed", image.member.archive)
    else:
        data = _read_file(listing.root / image.name)
    named = listing.class_name(image), image.label or 0, path_text(image.name)
    example = _example(data, *named, lossless, max_pixels)
    if image.annotation is None:
        return example
    objects, tally = place(image.annotation, example.width, example.height, example.orientation)
    return dataclasses.replace(example, objects=objects, tally=tally, class_names=listing.class_names)


def check_pixels(width: int, height: int, max_pixels: int, what: str = "") -> None:
    """Raises DataError, with `what` before the reason, for an image that would take too much memory."""
    if width * height > max_pixels:
        raise DataError(
            f"{what}{width} x {height} pixels are more than the limit of {max_pixels / MEGAPIXEL:g} megapixels; raise "
            "max_megapixels if the image is to be trusted"
        )


def _read_file(path: Path) -> bytes:
    try:
        # A pipe would be waited for without O_NONBLOCK; on regular files it changes nothing.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as f:
            if not stat.S_ISREG(os.fstat(f.fileno()).st_mode):
                raise DataError("not a regular file")
            return f.read()
    except IsADirectoryError:
        raise DataError("not a regular file") from None
    except OSError as error:
        if not is_file_error(error):
            raise
        raise DataError(_reason(error)) from error
    except ValueError as error:  # a name with a zero byte
        raise DataError(_reason(error)) from error


def _example(
    data: bytes, class_name: str, label: int, filename: str, lossless: bool, max_pixels: int
) -> tfrecord.Example:
    try:
        if not data:
            raise DataError("empty file")
        with _open(data, max_pixels) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            rotated = orientation != 1
            jpeg = image.format in ("JPEG", "MPO")  # MPO: a JPEG with further images after the first
            deep = image.format == "PNG" and data[_PNG_BIT_DEPTH] > 8
            plain = (image.format == "PNG" and not deep) or (jpeg and image.mode in ("RGB", "L"))
            if not (plain and not rotated and _tensorflow_decodes(data)):
                remark = _why_converted(image, jpeg=jpeg, rotated=rotated, deep=deep)
                data = _reencode(image, as_jpeg=jpeg and rotated and not lossless)
            else:
                suffix = os.path.splitext(filename)[1].lower()
                kind = "JPEG" if jpeg else "PNG"
                remark = "" if suffix in _SUFFIXES[kind] else f"kept: {kind} named {suffix or 'without extension'}"
        with _open(data, max_pixels) as image:
            channels = 1 if image.mode in ("1", "L") else 3
            kind = "PNG" if image.format == "PNG" else "JPEG"
            size = (image.height, image.width)
        return tfrecord.Example(data, kind, *size, channels, label, class_name, filename, remark, orientation)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the system's, for example too many open files; Pillow's own have no number
        raise DataError(_reason(error)) from error


def _open(data: bytes, max_pixels: int):
    """An image whose header is read and whose pixels are not."""
    image = _pillow(max_pixels).open(io.BytesIO(data), formats=_FORMATS)
    check_pixels(*image.size, max_pixels)
    return image


@functools.cache
def _pillow(max_pixels: int):
    """Pillow's Image, whose own limit is not below ours."""
    import warnings

    from PIL import Image

    if Image.MAX_IMAGE_PIXELS is not None:
        Image.MAX_IMAGE_PIXELS = max(Image.MAX_IMAGE_PIXELS, max_pixels)
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # we refuse such images
    return Image


def _why_converted(image, *, jpeg: bool, rotated: bool, deep: bool) -> str:
    if rotated:
        return "converted: rotated by EXIF"
    if deep:
        return "converted: 16-bit PNG"
    if jpeg and image.mode not in ("RGB", "L"):
        return f"converted: {image.mode} JPEG"
    if jpeg or image.format == "PNG":
        return f"converted: {image.format} that TensorFlow does not decode"
    return f"converted: {image.format}"


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
    if not _tensorflow_decodes(encoded.getvalue()):
        raise DataError(f"{image.width} x {image.height} pixels are a shape that TensorFlow does not decode")
    return encoded.getvalue()


def _tensorflow_decodes(data: bytes) -> bool:
    import tensorflow as tf

    from mnext_tf.data.preprocess import decode

    try:
        decode(data)
    except tf.errors.InvalidArgumentError:
        return False
    except tf.errors.ResourceExhaustedError as error:
        raise MemoryError(error.message) from error
    return True


def _reason(error: Exception) -> str:
    """Why, in words that are the same each time: no addresses."""
    from PIL import Image, UnidentifiedImageError

    if isinstance(error, UnidentifiedImageError):
        return f"not an image in one of the formats {', '.join(_FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        return "more pixels than max_megapixels allows"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return re.sub(r" at 0x[0-9a-f]+", "", str(error)) or type(error).__name__
