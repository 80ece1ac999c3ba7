"""Random erasing (Zhong et al. 2017, arXiv 1708.04896) as timm does it: one rectangle of an image."""

from __future__ import annotations

import math

from mnext_tf.models.conventions import CONVENTIONS

ERASING_MODES = ("pixel", "constant")
_TRIES = 10  # rectangles drawn before the image stays whole
_LEAST_AREA, _MOST_AREA = 0.02, 1 / 3  # shares of the image
_LEAST_ASPECT = 0.3  # height over width; at most its inverse
_MEAN, _STD = CONVENTIONS["pytorch"].mean, CONVENTIONS["pytorch"].std


def random_rectangle(side: int, probability: float, seed):
    """(y, x, height, width), int32 (4,): what to erase of an image of `side` pixels; with 1 - `probability` nothing.

    The share of the area is uniform, the aspect ratio uniform in its logarithm; zeros where ten tries do not fit.
    """
    import tensorflow as tf

    draws = tf.random.stateless_uniform((2 * _TRIES + 3,), seed)
    area = side**2 * (_LEAST_AREA + (_MOST_AREA - _LEAST_AREA) * draws[:_TRIES])
    aspect = tf.exp(math.log(_LEAST_ASPECT) * (2 * draws[_TRIES : 2 * _TRIES] - 1))
    tries = tf.round(tf.sqrt(tf.stack([area * aspect, area / aspect], 1)))  # (tries, 2): height, width
    fits = tf.reduce_all(tries < side, 1)
    erased = tf.reduce_any(fits) & (draws[-1] < probability)
    size = tf.where(erased, tries[tf.argmax(fits)], 0.0)
    begin = tf.where(erased, tf.floor(draws[-3:-1] * (side - size + 1)), 0.0)
    return tf.cast(tf.concat([begin, size], 0), tf.int32)


def erase(image, rectangle, mode: str, seed):
    """float32 (S, S, 3) in [0, 255], with the rectangle filled: "pixel", noise; "constant", ImageNet's mean color.

    timm's noise is normal with mean 0 and deviation 1 after normalization. Here it has ImageNet's mean and deviation
    in pixels, and is clipped to what an image can hold (about 3 % of the values).
    """
    import tensorflow as tf

    def filled():
        y, x, height, width = tf.unstack(rectangle)
        if mode == "pixel":
            fill = _MEAN + _STD * tf.random.stateless_normal((height, width, 3), seed)
            fill = tf.clip_by_value(fill, 0, 255)
        else:
            fill = tf.broadcast_to(tf.constant(_MEAN), (height, width, 3))
        band = image[y : y + height]
        band = tf.concat([band[:, :x], fill, band[:, x + width :]], 1)
        return tf.concat([image[:y], band, image[y + height :]], 0)

    return tf.ensure_shape(tf.cond(rectangle[2] > 0, filled, lambda: image), image.shape)
