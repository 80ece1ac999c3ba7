"""Random augmentation of training images with boxes, as SSD draws it (Liu et al. 2016, arXiv 1512.02325).

Colors are distorted; the image lies somewhere on a larger canvas of the mean color; a crop of that is taken, which may
have to overlap an object; every second one is mirrored, and all is resized to a square. The canvas never exists: the
crop is known before the image is decoded, and of a JPEG only that part is, at the smallest scale that suffices.

Every draw is a function of the seed that is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.data.preprocess import UNSMOOTHED, PartlyDecoded, Preprocess
from mnext_tf.records import Record, field

MEAN_COLOR = (123, 117, 104)  # of the canvas, RGB
_BRIGHTNESS, _CONTRAST, _SATURATION, _HUE = 32.0, 0.5, 0.5, 18 / 360  # largest changes at strength 1
_PERMUTATIONS = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
_MIN_IOU = (0.0, 0.1, 0.3, 0.5, 0.7, 0.9)  # with one object at least, of the crops; 0: any
_TRIES = 50  # crops that are drawn; where none is fit, another overlap is asked for
_LEAST_RATIO = 0.5  # of a crop's sides; the largest is its inverse
_LEAST_SIDE = 1e-3  # of the crop; what is left of a smaller object cannot be learned
_EDGE = 0.01  # pixels of the result; within them rounding decides whether a pixel is inside
_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic", "nearest": "box"}


@dataclass(frozen=True)
class BoxAugment(Record):
    """What a training image of a detector goes through, in this order; the defaults are SSD's.

    distortion: strength of the changes of brightness, contrast, saturation and hue, each made with a probability of
        one half.
    swap_channels: probability that red, green and blue change places; for objects that are told by their color, 0.
    expand: probability that the image is put on a larger canvas. expand_ratio_max: its sides over the image's, at most.
    crop_side_min: a crop's sides over those of the canvas, at least.
    flip: mirror every second image left to right.

    Raises ConfigError for a value out of range.
    """

    distortion: float = field(1.0, "Strength of random changes of color; 1: SSD's, 0: none.", at_least=0, at_most=1)
    swap_channels: float = field(0.5, "Probability that color channels change places.", at_least=0, at_most=1)
    expand: float = field(0.5, "Probability that an image is shrunk onto a canvas.", at_least=0, at_most=1)
    expand_ratio_max: float = field(4.0, "Sides of that canvas over the image's, at most.", at_least=1, at_most=10)
    crop_side_min: float = field(
        0.3, "Least share of the sides that a crop around objects keeps; 1: no crops.", above=0, at_most=1
    )
    flip: bool = field(True, "Random horizontal flips.")


def train_example(encoded, boxes, labels, preprocess: Preprocess, augment: BoxAugment, seed):
    """An encoded image with its objects, augmented by the random `seed`, int (2,).

    Args:
      boxes: float32 (N, 4), relative (x_min, y_min, x_max, y_max). labels: (N,), any type.

    Returns (image float32 (S, S, 3), RGB in [0, 255]; boxes (M, 4), relative to it, within 0..1; labels (M,)), M <= N.
    Of an image without objects the whole is taken. Raises TensorFlow's InvalidArgumentError on damaged bytes.
    """
    import tensorflow as tf

    draws = tf.random.stateless_uniform((_WINDOWS + _COLORS + 1,), tf.convert_to_tensor(seed))
    where, colors, mirror = tf.split(draws, (_WINDOWS, _COLORS, 1))
    source = PartlyDecoded(encoded)
    view = random_view(boxes, source.shape, augment, where)
    boxes, labels = boxes_in_view(boxes, labels, view)
    image, inside = _see(source, view, preprocess)
    if augment.distortion or augment.swap_channels:
        image = distort(image, augment, colors)
    image = _on_canvas(tf.clip_by_value(image, 0, 255), inside)
    if augment.flip:
        image, boxes = tf.cond(mirror[0] < 0.5, lambda: _mirrored(image, boxes), lambda: (image, boxes))
    return tf.ensure_shape(image, (preprocess.input_size, preprocess.input_size, 3)), boxes, labels


_WINDOWS, _COLORS = 4 + len(_MIN_IOU) + 1 + 4 * _TRIES, 10  # draws


def random_view(boxes, shape, augment: BoxAugment, draws):
    """What is seen of an image of `shape` (h, w, 3): float32 (4,), as boxes are, but it may reach beyond the image.

    As in SSD: with equal probability the whole canvas, a crop whose IoU with an object is at least 0.1, 0.3, 0.5, 0.7,
    or 0.9, or any crop. There is the center of an object in each. Where none of the crops drawn has that overlap,
    another one is asked for.
    """
    import tensorflow as tf

    expand, order, tries = tf.split(draws, (4, len(_MIN_IOU) + 1, 4 * _TRIES))
    ratio = 1 + (augment.expand_ratio_max - 1) * expand[1]
    ratio = tf.where(expand[0] < augment.expand, ratio, 1.0)
    begin = (1 - ratio) * expand[2:4]
    canvas = tf.concat([begin, begin + ratio], 0)
    if augment.crop_side_min == 1:
        return canvas
    windows, fits = _crops(_relative_to(boxes, canvas), shape, augment.crop_side_min, tf.reshape(tries, (4, _TRIES)))
    order = tf.argsort(order)
    wanted = tf.gather(fits, tf.gather(order, tf.argmax(tf.gather(tf.reduce_any(fits, 1), order))))
    window = tf.gather(windows, tf.argmax(wanted))
    return tf.tile(begin, (2,)) + ratio * window


def _crops(boxes, shape, side_min: float, draws):
    """Windows (1 + tries, 4), the first of them the whole, and whether each is fit (1 + overlaps, 1 + tries)."""
    import tensorflow as tf

    width, height = (side_min + (1 - side_min) * draws[i] for i in (0, 1))
    x, y = (1 - width) * draws[2], (1 - height) * draws[3]
    windows = tf.stack([x, y, x + width, y + height], 1)
    aspect = height * tf.cast(shape[0], tf.float32) / (width * tf.cast(shape[1], tf.float32))
    overlap, has_center = _overlaps(windows, boxes)
    fit = has_center & (aspect >= _LEAST_RATIO) & (aspect <= 1 / _LEAST_RATIO)
    fits = fit & (overlap >= tf.constant(_MIN_IOU)[:, None])
    whole = tf.one_hot(0, _TRIES + 1, True, False)[None]  # the first of the windows, and of the things to ask for
    return tf.concat([[[0.0, 0, 1, 1]], windows], 0), tf.concat([whole, tf.pad(fits, [[0, 0], [1, 0]])], 0)


def _overlaps(windows, boxes):
    """The largest IoU of each window with any box, 0 without boxes, and whether a box has its center there."""
    import tensorflow as tf

    begin, end = windows[:, None, :2], windows[:, None, 2:]
    common = tf.reduce_prod(tf.maximum(0.0, tf.minimum(end, boxes[:, 2:]) - tf.maximum(begin, boxes[:, :2])), -1)
    areas = tf.reduce_prod(end - begin, -1) + tf.reduce_prod(boxes[:, 2:] - boxes[:, :2], -1)
    iou = tf.math.divide_no_nan(common, areas - common)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    inside = tf.reduce_all((center > begin) & (center < end), -1)
    return tf.maximum(0.0, tf.reduce_max(iou, 1)), tf.reduce_any(inside, 1)


def boxes_in_view(boxes, labels, view):
    """The boxes whose center is in the view, relative to it and cut off at its edges, with their labels."""
    import tensorflow as tf

    boxes = _relative_to(boxes, view)
    center = (boxes[:, :2] + boxes[:, 2:]) / 2
    clipped = tf.clip_by_value(boxes, 0, 1)
    kept = tf.reduce_all((center > 0) & (center < 1) & (clipped[:, 2:] - clipped[:, :2] >= _LEAST_SIDE), 1)
    return tf.boolean_mask(clipped, kept), tf.boolean_mask(labels, kept)


def _relative_to(boxes, view):
    import tensorflow as tf

    return (boxes - tf.tile(view[:2], (2,))) / tf.tile(view[2:] - view[:2], (2,))


def _see(source: PartlyDecoded, view, preprocess: Preprocess):
    """float32 (S, S, 3) of the view, not clipped, and in which rows and columns there is image, two bool (S,)."""
    import tensorflow as tf

    side = preprocess.input_size
    size = tf.cast(source.shape[:2], tf.float32)
    first, span = tf.reverse(view[:2], [0]), tf.reverse(view[2:] - view[:2], [0])  # y, x
    shrinkage = size * span / side  # pixels of the image in one of the result
    halvings = source.halvings(tf.cast(tf.reduce_min(shrinkage), tf.int32))
    ratio = tf.bitwise.left_shift(1, halvings)
    begin = tf.cast(size * tf.clip_by_value(first, 0, 1), tf.int32) // ratio * ratio
    begin = tf.minimum(begin, (source.shape[:2] - 1) // ratio * ratio)
    end = tf.cast(tf.math.ceil(size * tf.clip_by_value(first + span, 0, 1)), tf.int32)
    end = tf.maximum(begin + ratio, -(-end // ratio) * ratio)
    pixels = source.read(tf.concat([begin, end - begin], 0), halvings)
    scale = tf.cast(ratio, tf.float32) / shrinkage
    offset = (tf.cast(begin, tf.float32) - size * first) / shrinkage
    image = _resample(pixels, side, scale, offset, preprocess.interpolation)
    place = tf.range(side, dtype=tf.float32) + 0.5
    low, high = -first / span * side + _EDGE, (1 - first) / span * side - _EDGE  # edges of the image
    return image, [(place >= low[i]) & (place <= high[i]) for i in (0, 1)]


def _resample(pixels, side: int, scale, offset, interpolation: str):
    """uint8 (h, w, 3) to float32 (side, side, 3), at `scale` and moved by `offset`, both (y, x); 0 beyond its edges."""
    import tensorflow as tf

    def resample(antialias: bool):
        return tf.raw_ops.ScaleAndTranslate(
            images=pixels[None],
            size=(side, side),
            scale=scale,
            translation=offset,
            kernel_type=_KERNELS[interpolation],
            antialias=antialias,
        )[0]

    if interpolation == "nearest":
        return resample(False)
    smooth = tf.reduce_min(scale) * UNSMOOTHED[interpolation] < 1
    return tf.cond(smooth, lambda: resample(True), lambda: resample(False))


def _on_canvas(image, inside):
    """The image where it is `inside` (rows, columns), and the mean color elsewhere."""
    import tensorflow as tf

    side = image.shape[0]
    color = tf.constant(MEAN_COLOR * side, tf.float32)
    there = inside[0][:, None] & tf.repeat(inside[1], 3)  # lines of 3 S numbers: faster than pixels of 3
    return tf.reshape(tf.where(there, tf.reshape(image, (side, 3 * side)), color), (side, side, 3))


def distort(image, augment: BoxAugment, draws):
    """Change the colors of a float32 (S, S, 3) image; not clipped.

    SSD makes contrast the first or the last of the changes after brightness. Without rounding in between that is the
    same: the others keep the ratios of the channels. Saturation scales the distance from the largest channel (HSV).
    """
    import tensorflow as tf

    made, size = tf.unstack(draws[:5] < 0.5), tf.unstack(augment.distortion * (2 * draws[5:] - 1))
    brightness = tf.where(made[0], _BRIGHTNESS * size[0], 0.0)
    contrast = tf.where(made[1], 1 + _CONTRAST * size[1], 1.0)
    saturation = tf.where(made[2], 1 + _SATURATION * size[2], 1.0)
    image = (image + brightness) * contrast
    image = tf.cond(made[3], lambda: tf.image.adjust_hue(image, _HUE * size[3]), lambda: image)
    planes = tf.transpose(image, (2, 0, 1))  # twice as fast, with both ways
    value = tf.reduce_max(planes, 0)
    planes = value + saturation * (planes - value)
    which = tf.cast(draws[9] * len(_PERMUTATIONS), tf.int32)
    swap = tf.where(draws[4] < augment.swap_channels, tf.gather(tf.constant(_PERMUTATIONS), which), [0, 1, 2])
    return tf.transpose(tf.gather(planes, swap), (1, 2, 0))


def _mirrored(image, boxes):
    import tensorflow as tf

    x_min, y_min, x_max, y_max = tf.unstack(boxes, axis=1)
    return tf.reverse(image, [1]), tf.stack([1 - x_max, y_min, 1 - x_min, y_max], 1)
