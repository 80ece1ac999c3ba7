"""From encoded bytes to what a network takes: RGB pixels in [0, 255] at its input size."""

from __future__ import annotations

import dataclasses
import struct
from dataclasses import dataclass
from typing import ClassVar

from mnext_tf.data.augment import Augment, random_changes, random_window
from mnext_tf.errors import ConfigError
from mnext_tf.records import Record, field

_MAX_ASPECT = 8  # long side over short side, of what evaluation resizes
UNSMOOTHED = {
    "bicubic": 3,
    "bilinear": 2,
    "nearest": 2,
}  # up to this shrinkage, nothing is antialiased
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # JPEG's markers SOF0 to SOF15
INTERPOLATIONS = ("bicubic", "bilinear", "nearest")
FITS = ("crop", "squash")


@dataclass(frozen=True)
class Preprocess(Record):
    """Resize the short side to `resize_size`, then take the center crop of `input_size`; or squash the image.

    This record travels with a model. Pixel normalization is not part of it: that is inside the
    network. `crop_fraction` is input_size over the resized short side; 1.0 keeps the whole short side.
    fit: "crop", or "squash": the whole image is resized to the square, whatever its shape, as detectors have it;
    crop_fraction does not count then, and images up to 2 (bicubic: 3) times the square are not antialiased.
    Raises ConfigError for a value out of range.
    """

    input_size: int = field(224, "Side of the square input, in pixels.", at_least=1)
    crop_fraction: float = field(0.875, "Evaluation takes this share of the short side.", above=0, at_most=1)
    interpolation: str = field("bicubic", "How images are resized.", choices=INTERPOLATIONS)
    fit: str = field(
        "crop", "Take a center crop, or squash the whole image to the square.", choices=FITS, absent="crop"
    )

    VERSION: ClassVar[int] = 2

    def to_dict(self) -> dict:
        """As version 1 where that says all: its readers, apps among them, know these fields only."""
        value = super().to_dict()
        return value if self.fit != "crop" else {**{k: v for k, v in value.items() if k != "fit"}, "version": 1}

    def changed(self, **fields) -> Preprocess:
        """With the fields that are not None in place of these; ConfigError for the crop of an image that has none."""
        fields = {name: value for name, value in fields.items() if value is not None}
        if self.fit == "squash" and fields.get("crop_fraction", 1.0) != 1:
            raise ConfigError(
                f"crop_fraction={fields['crop_fraction']:g} is for classifiers; a detector takes the whole image. "
                "Leave it out."
            )
        return dataclasses.replace(self, **fields)

    @property
    def words(self) -> str:
        """What is done to an image, for the console."""
        if self.fit == "squash":
            return f"whole image to {self.input_size} x {self.input_size}, {self.interpolation}"
        return f"short side to {self.resize_size}, {self.interpolation}, center {self.input_size}"

    @property
    def resize_size(self) -> int:
        """The short side in pixels before the center crop."""
        return round(self.input_size / self.crop_fraction)


def squashed(input_size: int) -> Preprocess:
    """What detectors are published with."""
    return Preprocess(input_size, crop_fraction=1.0, interpolation="bilinear", fit="squash")


def encoded_size(encoded: bytes) -> tuple[int, int]:
    """(width, height) in the header of a JPEG or PNG, as `decode` finds them; (0, 0) where there is none."""
    if encoded.startswith(b"\x89PNG") and len(encoded) >= 24:
        return struct.unpack_from(">II", encoded, 16)
    position = 2
    while (position := encoded.find(b"\xff", position)) >= 0 and position + 9 <= len(encoded):
        marker = encoded[position + 1]
        if marker in _FRAME_HEADERS:
            height, width = struct.unpack_from(">HH", encoded, position + 5)
            return width, height
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # stuffing or a marker without a segment
            position += 1
        else:
            position += 2 + int.from_bytes(encoded[position + 2 : position + 4], "big")
    return 0, 0


def decode(encoded):
    """JPEG or PNG bytes, distinguished by content, to uint8 RGB (h, w, 3).

    Gray is repeated over the channels and alpha is dropped. Raises TensorFlow's
    InvalidArgumentError on damaged bytes.
    """
    import tensorflow as tf

    image = tf.cond(tf.io.is_jpeg(encoded), lambda: _decode_jpeg(encoded), lambda: _decode_png(encoded))
    return tf.ensure_shape(image, (None, None, 3))


def eval_image(encoded, preprocess: Preprocess):
    """Encoded bytes to float32 (S, S, 3), RGB in [0, 255]; nothing is random.

    JPEGs are decoded at full scale, however large: a reduced scale would change pixels that an app
    and Pillow resize to, and evaluation must show what an app shows.
    """
    if preprocess.fit == "squash":
        return _squash(decode(encoded), preprocess)
    return _resize_and_center_crop(decode(encoded), preprocess)


def _squash(image, preprocess: Preprocess):
    """The whole image to a square; antialiased only where pixels would be passed over, as training has it.

    A detector tells the two kinds of pixels apart: antialiased in evaluation alone, one lost 2 points of AP. MediaPipe
    and OpenCV never antialias.
    """
    import tensorflow as tf

    size = (preprocess.input_size,) * 2
    if preprocess.interpolation == "nearest":
        resized = tf.cast(tf.image.resize(image, size, "nearest"), tf.float32)
    else:
        scale = tf.cast(size, tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
        kernel = {"bilinear": "triangle", "bicubic": "keyscubic"}[preprocess.interpolation]
        options = {"size": size, "scale": scale, "translation": [0.0, 0.0], "kernel_type": kernel}

        def resize(antialias: bool):
            return tf.raw_ops.ScaleAndTranslate(images=image[None], antialias=antialias, **options)[0]

        limit = UNSMOOTHED[preprocess.interpolation] * preprocess.input_size
        resized = tf.cond(tf.reduce_max(tf.shape(image)[:2]) > limit, lambda: resize(True), lambda: resize(False))
    return tf.ensure_shape(tf.clip_by_value(resized, 0, 255), (*size, 3))


def train_image(encoded, preprocess: Preprocess, augment: Augment, seed):
    """Encoded bytes to float32 (S, S, 3), RGB in [0, 255], augmented by the random `seed`, int (2,).

    Of a JPEG only the crop is decoded, at the smallest of JPEG's own scales 1, 1/2, 1/4, 1/8 at
    which it is no smaller than S.
    """
    import tensorflow as tf

    seed = tf.convert_to_tensor(seed)
    if augment.crop_scale_min == 1.0:
        image = eval_image(encoded, preprocess)
    else:
        crop = _decode_random_window(encoded, preprocess.input_size, augment, seed)
        image = _resize_crop(tf.ensure_shape(crop, (None, None, 3)), preprocess)
    return random_changes(image, augment, seed)


def _decode_jpeg(encoded):
    import tensorflow as tf

    # TensorFlow's default transform is the fast, inexact one; this one is what Pillow uses
    return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")


def _decode_png(encoded):
    import tensorflow as tf

    return tf.io.decode_png(encoded, channels=3)


def _decode_random_window(encoded, side: int, augment: Augment, seed):
    import tensorflow as tf

    image = PartlyDecoded(encoded)
    window = random_window(image.shape, augment, seed)
    return image.read(window, image.halvings(tf.reduce_min(window[2:]) // side))


class PartlyDecoded:
    """A JPEG or PNG of which only a window is needed. `shape`: int32 (3,), height, width, and channels."""

    def __init__(self, encoded):
        import tensorflow as tf

        def decoded_png():
            image = _decode_png(encoded)
            return tf.shape(image), image

        self._encoded, self._is_jpeg = encoded, tf.io.is_jpeg(encoded)
        self.shape, self._png = tf.cond(
            self._is_jpeg, lambda: (tf.io.extract_jpeg_shape(encoded), tf.zeros((0, 0, 3), tf.uint8)), decoded_png
        )

    def halvings(self, shrinkage):
        """How often a JPEG's sides can be halved while it is decoded and then shrunk by an int32 `shrinkage` in all."""
        import tensorflow as tf

        most = tf.gather([0, 0, 1, 1, 2, 2, 2, 2, 3], tf.clip_by_value(shrinkage, 0, 8))
        return tf.where(self._is_jpeg, most, 0)

    def read(self, window, halvings):
        """uint8 (h, w, 3) of the window (y, x, height, width), rounded to whole pixels of the scaled image."""
        import tensorflow as tf

        ratio = tf.bitwise.left_shift(1, halvings)
        begin, end = ((corner + ratio // 2) // ratio for corner in (window[:2], window[:2] + window[2:]))
        scaled = tf.concat([begin, end - begin], 0)  # to the nearest of the scaled image's pixels

        def from_jpeg(ratio: int):
            crop = tf.io.decode_and_crop_jpeg
            return crop(self._encoded, scaled, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

        # the branches are as small as they can be: those not taken cost time, too
        branches = [lambda ratio=ratio: from_jpeg(ratio) for ratio in (1, 2, 4, 8)]
        branches.append(lambda: tf.slice(self._png, [*tf.unstack(window[:2]), 0], [*tf.unstack(window[2:]), 3]))
        return tf.switch_case(tf.where(self._is_jpeg, halvings, len(branches) - 1), branches)


def _resize_crop(image, preprocess: Preprocess):
    """uint8 (h, w, 3) to float32 (S, S, 3), not clipped.

    Antialiasing costs more than decoding does. It is left out where every pixel counts without it too: up to a
    shrinkage of 3 (bicubic) or 2. A crop of a JPEG is shrunk by less than 2, in the longer direction by 2 2/3.
    """
    import tensorflow as tf

    size = (preprocess.input_size,) * 2

    def resize(antialias: bool):
        return tf.cast(tf.image.resize(image, size, preprocess.interpolation, antialias=antialias), tf.float32)

    limit = UNSMOOTHED[preprocess.interpolation] * preprocess.input_size
    longer = tf.reduce_max(tf.shape(image)[:2])
    resized = tf.cond(longer > limit, lambda: resize(True), lambda: resize(False))
    return tf.ensure_shape(resized, (*size, 3))


def _resize_and_center_crop(image, preprocess: Preprocess):
    """Sizes and offsets are rounded as torchvision's Resize and CenterCrop round them."""
    import tensorflow as tf

    side = preprocess.input_size
    # Only the middle of a strip can be in the crop; resized whole, 20000 x 3 pixels would take gigabytes.
    most = _MAX_ASPECT * tf.reduce_min(tf.shape(image)[:2])
    begin = tf.maximum(0, tf.shape(image)[:2] - most) // 2
    image = image[begin[0] : begin[0] + most, begin[1] : begin[1] + most]
    size = tf.shape(image)[:2]
    size = preprocess.resize_size * size // tf.reduce_min(size)
    image = _resize(image, size, preprocess.interpolation)
    y, x = tf.unstack(tf.cast(tf.round((size - side) / 2), tf.int32))
    return tf.ensure_shape(image[y : y + side, x : x + side], (side, side, 3))


def _resize(image, size, interpolation: str):
    """uint8 to float32 in [0, 255]. Antialiasing widens the filter when shrinking only, as Pillow does."""
    import tensorflow as tf

    resized = tf.cast(tf.image.resize(image, size, interpolation, antialias=True), tf.float32)
    return tf.clip_by_value(resized, 0, 255)  # bicubic overshoots at edges
