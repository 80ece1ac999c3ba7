"""Pillow's operations on images, in TensorFlow: uint8 (S, S, 3) in and out, the same values (affine: some off by 1).

Factors, thresholds and the like may be numbers or scalar tensors.
"""

from __future__ import annotations

_LUMA = (19595 / 65536, 38470 / 65536, 7471 / 65536)  # as Pillow converts to "L"


def auto_contrast(image):
    """Every channel stretched to 0 to 255; one of a single value stays as it is."""
    import tensorflow as tf

    least, most = (tf.cast(reduce(image, [0, 1]), tf.int32) for reduce in (tf.reduce_min, tf.reduce_max))
    reach = tf.maximum(1, most - least)
    stretched = (tf.cast(image, tf.int32) - least) * 255 // reach
    return tf.cast(tf.where(most > least, stretched, tf.cast(image, tf.int32)), tf.uint8)


def equalize(image):
    """Every channel's histogram made flat; one of very few values stays as it is."""
    import tensorflow as tf

    places = tf.cast(image, tf.int32) + tf.constant([0, 256, 512])  # of each channel's values in one histogram
    counts = tf.reshape(tf.math.bincount(places, minlength=768, maxlength=768), (3, 256))
    highest = 255 - tf.argmax(tf.reverse(counts > 0, [1]), 1, output_type=tf.int32)
    step = (tf.reduce_sum(counts, 1) - tf.gather(counts, highest, batch_dims=1))[:, None] // 255
    table = (step // 2 + tf.cumsum(counts, 1, exclusive=True)) // tf.maximum(1, step)
    table = tf.where(step > 0, tf.minimum(255, table), tf.range(256))
    return tf.gather(tf.cast(tf.reshape(table, (-1,)), tf.uint8), places)


def invert(image):
    return 255 - image


def posterize(image, bits):
    """Keep the `bits` highest bits of every value: 0 to 8."""
    import tensorflow as tf

    return image & tf.cast(256 - tf.bitwise.left_shift(1, 8 - bits), tf.uint8)


def solarize(image, threshold):
    """Invert the values from `threshold` up."""
    import tensorflow as tf

    return tf.where(tf.cast(image, tf.int32) < threshold, image, 255 - image)


def solarize_add(image, amount):
    """Add to the values below 128, up to 255."""
    import tensorflow as tf

    more = tf.minimum(tf.cast(image, tf.int32) + amount, 255)
    return tf.where(image < 128, tf.cast(more, tf.uint8), image)


def brightness(image, factor):
    import tensorflow as tf

    return _to_uint8(tf.cast(image, tf.float32) * factor)


def contrast(image, factor):
    """Scale the distance from the mean gray."""
    import tensorflow as tf

    mean = tf.floor(tf.reduce_mean(_gray(image)) + 0.5)
    return _blend(mean, tf.cast(image, tf.float32), factor)


def color(image, factor):
    """Scale the distance from each pixel's own gray."""
    import tensorflow as tf

    return _blend(_gray(image), tf.cast(image, tf.float32), factor)


def sharpness(image, factor):
    """Scale the distance from a smooth image: 3 x 3 pixels, the middle one five times; the border stays."""
    import tensorflow as tf

    image = tf.cast(image, tf.float32)
    rows = image[:-2] + image[1:-1] + image[2:]
    inner = image[1:-1, 1:-1]
    smooth = tf.floor((rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * inner) / 13 + 0.5)
    return _blend(image - tf.pad(inner - smooth, [[1, 1], [1, 1], [0, 0]]), image, factor)


def affine(image, matrix, fill):
    """Every pixel (x, y) taken from (a x + b y + c, d x + e y + f) by bilinear interpolation; `fill` outside.

    matrix: (a, b, c, d, e, f), for coordinates that are 0.5 in the middle of the first pixel. fill: color.
    """
    import tensorflow as tf

    a, b, c, d, e, f = (tf.cast(value, tf.float32) for value in matrix)
    height, width = image.shape[:2]
    # the operator counts from 0 in the middle of the first pixel
    counted = tf.stack([a, b, c + (a + b - 1) / 2, d, e, f + (d + e - 1) / 2, 0.0, 0.0])
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=image[None],
        transforms=counted[None],
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )[0]
    x, y = tf.range(width, dtype=tf.float32)[None] + 0.5, tf.range(height, dtype=tf.float32)[:, None] + 0.5
    from_x, from_y = a * x + b * y + c, d * x + e * y + f
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    return tf.where(inside[..., None], moved, tf.constant(fill, tf.uint8))


def _gray(image):
    """Whole numbers as float32 (S, S, 1)."""
    import tensorflow as tf

    flat = tf.reshape(tf.cast(image, tf.float32), (-1, 3)) @ tf.constant(_LUMA, shape=(3, 1))
    return tf.floor(tf.reshape(flat, (*image.shape[:2], 1)) + 0.5)


def _blend(other, image, factor):
    """`other` at a factor of 0, `image` at 1, beyond it above."""
    return _to_uint8(other + factor * (image - other))


def _to_uint8(image):
    """Cut off, not rounded, as Pillow does."""
    import tensorflow as tf

    return tf.cast(tf.clip_by_value(image, 0, 255), tf.uint8)
