"""Losses of a detector on its packed outputs, (B, P, classes + 5): score columns, background first, then the box.

Targets are float32 (B, P, 5), as `tasks.detection_targets.match` makes them. Both losses are sums over all priors
divided by the number of those that are matched with an object, in the batch that is given. A batch that is computed in
parts, by several devices or by `accumulate`, has the mean of its parts' losses: in each part, objects count by the
number in that part. That is how the published detectors were trained, on several GPUs. A batch without any object is
divided by 1.
"""

from __future__ import annotations

import functools

_NEGATIVES = 3  # background priors that count, for each one with an object
_ALPHA, _GAMMA, _WEIGHT = 0.25, 2, 5.0  # of the focal loss


def detection_loss(scoring: str, empty_negatives: int = 0):
    """The function of (targets, packed outputs) to a scalar for "softmax" or "sigmoid" scores."""
    return focal_loss if scoring == "sigmoid" else functools.partial(multibox_loss, empty_negatives=empty_negatives)


def multibox_loss(targets, packed, empty_negatives: int = 0):
    """SSD's loss (Liu et al. 2016, arXiv 1512.02325): cross-entropy over background and classes, and smooth L1.

    In each image only 3 times as many background priors as matched ones count: those where the background is least
    probable. In an image without objects `empty_negatives` count: none in the published code.
    """
    import tensorflow as tf

    columns, positive, logits = _parts(targets, packed)
    background = -tf.nn.log_softmax(tf.stop_gradient(logits))[..., 0]
    counted = positive | _hardest(background, positive, empty_negatives)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(columns, logits)
    return _per_object(tf.where(counted, losses, 0.0), positive) + box_loss(targets, packed)


def focal_loss(targets, packed):
    """Five times the focal loss of every class (Lin et al. 2017, arXiv 1708.02002), and smooth L1.

    Alpha is 0.25, gamma 2. The background column takes no part.
    """
    import tensorflow as tf

    columns, positive, logits = _parts(targets, packed)
    logits = logits[..., 1:]
    wanted = tf.one_hot(columns - 1, logits.shape[-1])  # background: all 0
    p = tf.sigmoid(logits)
    missed = wanted * (1 - p) + (1 - wanted) * p
    alpha = wanted * _ALPHA + (1 - wanted) * (1 - _ALPHA)
    losses = alpha * missed**_GAMMA * tf.nn.sigmoid_cross_entropy_with_logits(wanted, logits)
    return _WEIGHT * _per_object(losses, positive) + box_loss(targets, packed)


def box_loss(targets, packed):
    """Smooth L1 of the four numbers of each box that is matched with an object."""
    import tensorflow as tf

    positive = targets[..., 0] > 0
    difference = tf.abs(tf.cast(packed[..., -4:], tf.float32) - targets[..., 1:])
    losses = tf.where(difference < 1, 0.5 * difference**2, difference - 0.5)
    return _per_object(tf.where(positive[..., None], losses, 0.0), positive)


def _parts(targets, packed):
    """Score columns wanted, int32 (B, P); where they are classes, bool (B, P); logits, float32 (B, P, columns)."""
    import tensorflow as tf

    columns = tf.cast(targets[..., 0], tf.int32)
    return columns, columns > 0, tf.cast(packed[..., :-4], tf.float32)


def _hardest(losses, positive, empty_negatives: int):
    """Where the largest losses (B, P) of each image are, 3 for each positive; of equal ones the first."""
    import tensorflow as tf

    count = tf.reduce_sum(tf.cast(positive, tf.int32), 1, keepdims=True)
    wanted = tf.where(count > 0, _NEGATIVES * count, empty_negatives)
    order = tf.argsort(tf.where(positive, -1.0, losses), direction="DESCENDING", stable=True)
    rank = tf.argsort(order, stable=True)
    return (rank < wanted) & ~positive


def _per_object(losses, positive):
    import tensorflow as tf

    return tf.reduce_sum(losses) / tf.maximum(1.0, tf.reduce_sum(tf.cast(positive, tf.float32)))
