"""What a detector should answer at each prior: the class and the box of the object that it is matched with.

As in SSD (Liu et al. 2016, arXiv 1512.02325, section 2.2): a prior is matched with the object of the largest IoU from
0.5 on, and every object is matched with its best prior, whatever their IoU. Where several objects share a best prior,
the last of them has it, as in the code of the MobileNeXt authors.
"""

from __future__ import annotations

from mnext_tf.boxes import CENTER_VARIANCE, SIZE_VARIANCE

_MIN_IOU = 0.5
_AT_ONCE = 256  # boxes that are compared with all priors: some 20 MB for 3,234 of them
_LEAST_SIDE = 1e-6  # the logarithm of less is of no use


def match(boxes, labels, priors):
    """The targets of one image, float32 (P, 5), in-graph.

    Args:
      boxes: float32 (M, 4), relative (x_min, y_min, x_max, y_max). labels: (M,), classes from 0 on. Objects that are to
        be ignored must be left out.
      priors: (P, 4), relative (center x, center y, width, height).

    Column 0 is the score column, k + 1 for class k and 0 for background; the others are (dx, dy, dw, dh), 0 for
    background.
    """
    import tensorflow as tf

    boxes, priors = tf.cast(boxes, tf.float32), tf.cast(priors, tf.float32)
    best = _assign(boxes, priors)
    nothing = tf.equal(best, -1)
    columns = tf.concat([[0.0], tf.cast(labels, tf.float32) + 1], 0)
    boxes = tf.concat([[[0.0, 0, 1, 1]], boxes], 0)  # of what is matched with nothing
    targets = tf.where(nothing[:, None], 0.0, encode(tf.gather(boxes, best + 1), priors))
    return tf.concat([tf.gather(columns, best + 1)[:, None], targets], 1)


def encode(boxes, priors):
    """float32 (..., 4), relative (x_min, y_min, x_max, y_max), as (dx, dy, dw, dh) from `priors` (..., 4)."""
    import tensorflow as tf

    size = tf.maximum(boxes[..., 2:] - boxes[..., :2], _LEAST_SIDE)
    center = (boxes[..., :2] + boxes[..., 2:]) / 2
    offset = (center - priors[..., :2]) / priors[..., 2:] / CENTER_VARIANCE
    return tf.concat([offset, tf.math.log(size / priors[..., 2:]) / SIZE_VARIANCE], -1)


def _assign(boxes, priors):
    """The number of the box that each prior is matched with, int32 (P,); -1: none."""
    import tensorflow as tf

    count, corners = tf.shape(boxes)[0], _corners(priors)
    size = tf.shape(priors)[0]

    def body(begin, largest, best, forced):
        part = boxes[begin : begin + _AT_ONCE]
        numbers = begin + tf.range(tf.shape(part)[0])
        iou = _iou(part, corners)  # (boxes, priors)
        here = tf.reduce_max(iou, 0)
        best = tf.where(here > largest, begin + tf.argmax(iou, 0, tf.int32), best)
        overlaps = tf.reduce_max(iou, 1) > 0  # no prior is forced on a box of no area
        prior = tf.boolean_mask(tf.argmax(iou, 1, tf.int32), overlaps)
        forced = tf.tensor_scatter_nd_max(forced, prior[:, None], tf.boolean_mask(numbers, overlaps))
        return begin + _AT_ONCE, tf.maximum(here, largest), best, forced

    none = tf.fill((size,), -1)
    start = tf.constant(0), tf.zeros((size,)), none, none
    _, largest, best, forced = tf.while_loop(lambda begin, *_: begin < count, body, start)
    return tf.where(forced >= 0, forced, tf.where(largest >= _MIN_IOU, best, -1))


def _iou(boxes, corners):
    """(M, 4) and (P, 4), both as corners, to (M, P)."""
    import tensorflow as tf

    x0, y0, x1, y1 = (boxes[:, i, None] for i in range(4))
    left, top, right, bottom = tf.unstack(corners, axis=1)
    width = tf.maximum(0.0, tf.minimum(x1, right) - tf.maximum(x0, left))
    height = tf.maximum(0.0, tf.minimum(y1, bottom) - tf.maximum(y0, top))
    common = width * height
    return tf.math.divide_no_nan(common, (x1 - x0) * (y1 - y0) + (right - left) * (bottom - top) - common)


def _corners(priors):
    import tensorflow as tf

    half = priors[:, 2:] / 2
    return tf.concat([priors[:, :2] - half, priors[:, :2] + half], 1)
