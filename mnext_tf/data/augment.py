"""Random augmentation of training images. Every draw is a function of the seed that is passed in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from mnext_tf.data.erasing import ERASING_MODES, erase, random_rectangle
from mnext_tf.data.rand_augment import parse_rand_augment, rand_augment
from mnext_tf.records import Record, field

_TRIES = 10  # windows drawn before the center is taken


@dataclass(frozen=True)
class Augment(Record):
    """What a training image goes through, in this order: random resized crop, flip, color, shift, erasing,
    mixing with another image.

    crop_scale_min: smallest share of the image's area that a random crop takes; 1.0 turns the
        random crop off, and images are resized and cropped as in evaluation.
    crop_ratio_max: a crop's width over height lies between 1 / this and this.
    flip: mirror every second image left to right. Not for digits or text.
    color_jitter: brightness, contrast and saturation are each scaled by a factor in 1 ± this.
    shift: largest translation in either direction, as a share of the side; zeros come in.
    rand_augment: RandAugment instead of color jitter, in timm's notation; empty: none.
    erasing: probability that one rectangle of an image is erased.
    erasing_mode: what it is filled with: noise in every pixel, or the mean color.
    mixup, cutmix: alpha of the Beta distribution that two images' shares are drawn from; 0: off. With
        both above 0, every batch has either with equal probability.

    Raises ConfigError for a value out of range.
    """

    crop_scale_min: float = field(
        0.08, "Least share of the area that a random crop keeps; 1: no random crops.", above=0, at_most=1
    )
    crop_ratio_max: float = field(4 / 3, "Largest aspect ratio of a random crop.", at_least=1, at_most=10)
    flip: bool = field(True, "Random horizontal flips.")
    color_jitter: float = field(0.4, "Brightness, contrast and saturation vary by this share.", at_least=0, at_most=1)
    shift: float = field(0.0, "Random shift, as a share of the side.", at_least=0, below=1)
    rand_augment: str = field(
        "", "RandAugment, such as rand-m9-mstd0.5; then there is no color jitter. Empty: none.", absent=""
    )
    erasing: float = field(0.0, "Probability that a rectangle is erased.", at_least=0, at_most=1, absent=0.0)
    erasing_mode: str = field(
        "pixel", "Erase with noise in every pixel, or with the mean color.", choices=ERASING_MODES, absent="pixel"
    )
    mixup: float = field(0.0, "Alpha of mixup: blends of two images; 0: off.", at_least=0, absent=0.0)
    cutmix: float = field(0.0, "Alpha of CutMix: a rectangle from another image; 0: off.", at_least=0, absent=0.0)

    VERSION: ClassVar[int] = 2

    def __post_init__(self):
        super().__post_init__()
        parse_rand_augment(self.rand_augment)

    @property
    def mixes(self) -> bool:
        """Whether two images are mixed, so that targets are shares of the classes."""
        return self.mixup > 0 or self.cutmix > 0


def random_window(shape, augment: Augment, seed):
    """A crop window (y, x, height, width), int32 (4,), in an image of `shape` (h, w, 3).

    As the published recipes draw it: the share of the area uniform, the aspect ratio uniform in its
    logarithm, ten tries to fit it in, then the largest center crop of an allowed ratio. TensorFlow's
    own operator draws the height uniformly, whose crops have 36 % of the area instead of 44 %.
    """
    import tensorflow as tf

    size = tf.cast(shape[:2], tf.float32)
    draws = tf.random.stateless_uniform((2 * _TRIES + 2,), seed)
    area = tf.reduce_prod(size) * (augment.crop_scale_min + (1 - augment.crop_scale_min) * draws[:_TRIES])
    reach = math.log(augment.crop_ratio_max)
    ratio = tf.exp(reach * (2 * draws[_TRIES : 2 * _TRIES] - 1))
    tries = tf.round(tf.sqrt(tf.stack([area / ratio, area * ratio], 1)))  # (tries, 2): height, width
    fits = tf.reduce_all((tries >= 1) & (tries <= size), 1)
    largest = tf.minimum(size, tf.maximum(1.0, tf.round(tf.reverse(size, [0]) * augment.crop_ratio_max)))
    crop = tf.where(tf.reduce_any(fits), tries[tf.argmax(fits)], largest)
    begin = tf.where(tf.reduce_any(fits), tf.floor(draws[-2:] * (size - crop + 1)), (size - crop) // 2)
    return tf.cast(tf.concat([begin, crop], 0), tf.int32)


def random_changes(image, augment: Augment, seed):
    """What follows the crop, on a float32 (S, S, 3) image; same shape out, in [0, 255].

    Values are clipped once, after the color: brightness does not lose highlights that a lower contrast brings back.
    RandAugment works on whole numbers.
    """
    import tensorflow as tf

    side = image.shape[0]
    draws = tf.unstack(tf.random.stateless_uniform((6,), tf.bitwise.invert(seed)))
    if augment.flip:
        image = tf.cond(draws[0] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
    settings = parse_rand_augment(augment.rand_augment)
    if augment.color_jitter and not settings:
        image = change_color(image, *(1 + augment.color_jitter * (2 * draw - 1) for draw in draws[1:4]))
    image = tf.clip_by_value(image, 0, 255)
    if settings:
        image = rand_augment(tf.cast(tf.round(image), tf.uint8), settings, _another(seed, 1))
        image = tf.cast(image, tf.float32)
    if reach := round(augment.shift * side):
        y, x = (tf.cast(draw * (2 * reach + 1), tf.int32) for draw in draws[4:6])
        padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]])
        image = padded[y : y + side, x : x + side]
    if augment.erasing:
        rectangle = random_rectangle(side, augment.erasing, _another(seed, 2))
        image = erase(image, rectangle, augment.erasing_mode, _another(seed, 3))
    return tf.ensure_shape(image, (side, side, 3))


def _another(seed, which: int):
    """A seed for other draws of the same image."""
    import tensorflow as tf

    return seed + tf.constant([which, 0], seed.dtype)


def change_color(image, brightness, contrast, saturation):
    """Scale all pixels, then the distance from the mean gray, then that from each pixel's own gray; not clipped.

    Each step is linear, so that one 3 x 3 matrix and one offset do all three.
    """
    import tensorflow as tf

    height, width = image.shape[:2]
    gray = tf.constant([[0.2989], [0.587], [0.1140]])  # as in tf.image and Pillow
    column_means = tf.reduce_mean(tf.reshape(image, (height, width * 3)), 0)
    mean = tf.reduce_mean(tf.reshape(column_means, (width, 3)) @ gray)
    mixed = brightness * contrast * (saturation * tf.eye(3) + (1 - saturation) * gray)
    changed = tf.reshape(image, (-1, 3)) @ mixed + (1 - contrast) * brightness * mean
    return tf.reshape(changed, (height, width, 3))
