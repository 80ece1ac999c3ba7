"""RandAugment (Cubuk et al. 2019, arXiv 1909.13719) with the operations and strengths of timm."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from mnext_tf.data import image_operations as ops
from mnext_tf.errors import ConfigError
from mnext_tf.models.conventions import CONVENTIONS

_HIGHEST = 10  # magnitude
_UNIFORM = 100  # a deviation above this means: uniform from 0 to the magnitude
_FILL = tuple(round(value) for value in CONVENTIONS["pytorch"].mean)


@dataclass(frozen=True)
class RandAugment:
    """`count` operations one after the other, each drawn anew and made with a probability of one half.

    magnitude: 0 to 10, how strong they are. deviation: every operation draws its own magnitude from a normal
    distribution of this width; above 100, uniformly from 0 to `magnitude`. increasing: all operations grow with the
    magnitude; else, as in the first implementations, posterize and solarize shrink with it, and color, contrast,
    brightness and sharpness go from 0.1 to 1.9 times.
    """

    magnitude: int = _HIGHEST
    count: int = 2
    deviation: float = 0.0
    increasing: bool = False


def parse_rand_augment(text: str) -> RandAugment | None:
    """What timm's text asks for: "rand" and any of -m9, -n2, -mstd0.5, -inc1; None for no text.

    Raises ConfigError for anything else; timm's weights (w) and other limits (mmax) are not implemented.
    """
    if not text:
        return None
    start, *parts = text.split("-")
    matches = [re.fullmatch(r"(m)(\d|10)|(n)([1-9])|(mstd)(\d+(?:\.\d+)?)|(inc)(1)", part) for part in parts]
    found = dict(filter(None, match.groups()) for match in matches if match)
    if start != "rand" or len(found) < len(parts):
        raise ConfigError(
            "rand_augment must be rand and any of -m0 to -m10 (magnitude), -n1 to -n9 (operations per image), "
            "-mstd0.5 (deviation of the magnitude) and -inc1 (stronger with magnitude), each once, such as "
            f"rand-m9-mstd0.5; received {text!r}."
        )
    return RandAugment(
        int(found.get("m", _HIGHEST)), int(found.get("n", 2)), float(found.get("mstd", 0)), "inc" in found
    )


def rand_augment(image, settings: RandAugment, seed):
    """uint8 (S, S, 3) to the same shape, changed by operations that follow from `seed`, int (2,).

    What an operation uncovers is filled with the mean color of ImageNet; interpolation is bilinear.
    """
    import tensorflow as tf

    shape = image.shape
    draws = tf.random.stateless_uniform((settings.count, 4), seed)
    for draw, level in zip(tf.unstack(draws), tf.unstack(_levels(settings, draws[:, 3], seed)), strict=True):
        image = _operation(settings.increasing)(image, draw, level)
    return tf.ensure_shape(image, shape)


@functools.cache
def _operation(increasing: bool):
    """A function of (image, three draws from 0 to 1, level) that makes one operation, or none.

    Traced once: fifteen branches take a second or two.
    """
    import tensorflow as tf

    operations = list(_operations(increasing).values())

    @tf.function
    def change(image, draws, level):
        signed = tf.where(draws[0] < 0.5, level, -level)
        branches = [functools.partial(operation, image, level, signed) for operation in operations]
        choice = tf.cast(draws[1] * len(branches), tf.int32)
        choice = tf.where(draws[2] < 0.5, choice, len(branches))
        return tf.switch_case(choice, [*branches, lambda: image])

    return change


def _levels(settings: RandAugment, uniform, seed):
    """Magnitudes as shares of the highest, 0 to 1, (count,); `uniform`: draws from 0 to 1."""
    import tensorflow as tf

    if settings.deviation > _UNIFORM:
        return uniform * settings.magnitude / _HIGHEST
    normal = tf.random.stateless_normal((settings.count,), tf.bitwise.invert(seed))
    return tf.clip_by_value(settings.magnitude + settings.deviation * normal, 0, _HIGHEST) / _HIGHEST


def _operations(increasing: bool) -> dict[str, Callable]:
    """timm's operations: functions of (image, level, level with a random sign); levels are 0 to 1."""
    import tensorflow as tf

    def whole(number):
        return tf.cast(number, tf.int32)

    def enhance(change):
        if increasing:
            return lambda image, level, signed: change(image, tf.maximum(0.1, 1 + 0.9 * signed))
        return lambda image, level, signed: change(image, 0.1 + 1.8 * level)

    def move(matrix):
        return lambda image, level, signed: ops.affine(image, matrix(signed, image.shape[0]), _FILL)

    def up(most, value):
        return most - value if increasing else value

    return {
        "auto_contrast": lambda image, level, signed: ops.auto_contrast(image),
        "equalize": lambda image, level, signed: ops.equalize(image),
        "invert": lambda image, level, signed: ops.invert(image),
        "rotate": move(lambda signed, side: _rotation(signed * math.pi / 6, side)),
        "posterize": lambda image, level, signed: ops.posterize(image, up(4, whole(4 * level))),
        "solarize": lambda image, level, signed: ops.solarize(image, up(256, whole(256 * level))),
        "solarize_add": lambda image, level, signed: ops.solarize_add(image, whole(110 * level)),
        "color": enhance(ops.color),
        "contrast": enhance(ops.contrast),
        "brightness": enhance(ops.brightness),
        "sharpness": enhance(ops.sharpness),
        "shear_x": move(lambda signed, side: (1, 0.3 * signed, 0, 0, 1, 0)),
        "shear_y": move(lambda signed, side: (1, 0, 0, 0.3 * signed, 1, 0)),
        "translate_x": move(lambda signed, side: (1, 0, 0.45 * side * signed, 0, 1, 0)),
        "translate_y": move(lambda signed, side: (1, 0, 0, 0, 1, 0.45 * side * signed)),
    }


def _rotation(angle, side: int):
    """The matrix that turns an image about its middle, counterclockwise, by an angle in radians."""
    import tensorflow as tf

    c, s = tf.cos(angle), tf.sin(angle)
    return c, -s, side / 2 * (1 - c + s), s, c, side / 2 * (1 - c - s)
