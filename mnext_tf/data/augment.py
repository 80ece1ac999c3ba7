"""Random changes to training images. Every draw is a function of the seed that is passed in."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.errors import ConfigError


@dataclass(frozen=True)
class Augment:
    """What a training image goes through, in this order: random resized crop, flip, colour, shift.

    crop_scale_min: smallest share of the image's area that a random crop takes; 1.0 turns the
        random crop off, and images are resized and cropped as in evaluation.
    crop_ratio_max: a crop's width over height lies between 1 / this and this.
    flip: mirror every second image left to right. Not for digits or text.
    color_jitter: brightness, contrast and saturation are each scaled by a factor in 1 ± this.
    shift: largest translation in either direction, as a share of the side; zeros come in.

    Raises ConfigError for a value out of range.
    """

    crop_scale_min: float = 0.08
    crop_ratio_max: float = 4 / 3
    flip: bool = True
    color_jitter: float = 0.4
    shift: float = 0.0

    def __post_init__(self):
        _check("crop_scale_min", self.crop_scale_min, 0 < self.crop_scale_min <= 1, "above 0 and at most 1")
        _check("crop_ratio_max", self.crop_ratio_max, 1 <= self.crop_ratio_max <= 10, "between 1 and 10")
        _check("color_jitter", self.color_jitter, 0 <= self.color_jitter <= 1, "between 0 and 1")
        _check("shift", self.shift, 0 <= self.shift < 1, "at least 0 and below 1")


def _check(name: str, value: float, ok: bool, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {allowed}; received {value}.")


def random_window(shape, augment: Augment, seed):
    """A crop window (y, x, height, width), int32 (4,), in an image of `shape` (h, w, 3)."""
    import tensorflow as tf

    begin, size, _ = tf.image.stateless_sample_distorted_bounding_box(
        shape,
        bounding_boxes=tf.zeros((1, 0, 4)),
        seed=seed,
        min_object_covered=0.0,
        aspect_ratio_range=(1 / augment.crop_ratio_max, augment.crop_ratio_max),
        area_range=(augment.crop_scale_min, 1.0),
        max_attempts=20,
        use_image_if_no_bounding_boxes=True,
    )
    return tf.concat([begin[:2], size[:2]], 0)


def flip_color_shift(image, augment: Augment, seed):
    """What follows the crop, on a float32 (S, S, 3) image in [0, 255]; same shape and range out."""
    import tensorflow as tf

    draws = tf.unstack(tf.random.stateless_uniform((6,), seed))
    if augment.flip:
        image = tf.cond(draws[0] < 0.5, lambda: tf.reverse(image, [1]), lambda: image)
    if augment.color_jitter:
        brightness, contrast, saturation = (1 + augment.color_jitter * (2 * draw - 1) for draw in draws[1:4])
        image = tf.clip_by_value(image * brightness, 0, 255)
        mean = tf.reduce_mean(tf.image.rgb_to_grayscale(image))
        image = tf.clip_by_value(mean + contrast * (image - mean), 0, 255)
        grey = tf.image.rgb_to_grayscale(image)
        image = tf.clip_by_value(grey + saturation * (image - grey), 0, 255)
    side = image.shape[0]
    if reach := round(augment.shift * side):
        y, x = (tf.cast(draw * (2 * reach + 1), tf.int32) for draw in draws[4:6])
        padded = tf.pad(image, [[reach, reach], [reach, reach], [0, 0]])
        image = tf.ensure_shape(padded[y : y + side, x : x + side], (side, side, 3))
    return image
