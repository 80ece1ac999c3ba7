"""Batch normalization with the statistics of all devices that train together."""

from __future__ import annotations

import tensorflow as tf


def normalize(layer, x):
    """(y, mean, variance) of the batch on all replicas; the variance is the unbiased one, as moving averages take it.

    The replicas add up their means, the squares of these, and their variances, in one sum. A variance is taken about
    the replica's own mean; only the spread of the means is a difference of squares, E[m**2] - E[m]**2, of numbers that
    are small because the moving mean is subtracted first. Float32 is enough for that, where it would lose the variance
    of a channel far from zero as E[x**2] - E[x]**2. Each replica must have as many images. Gradients pass through.

    Args:
      layer: a BatchNormalization; gamma, beta, epsilon, and the moving mean are taken from it.
      x: (batch of this replica, height, width, channels).
    """
    replica = tf.distribute.get_replica_context()
    wide = tf.cast(x, tf.float32)
    origin = tf.stop_gradient(tf.cast(tf.convert_to_tensor(layer.moving_mean), tf.float32))
    mean, variance = tf.nn.moments(wide, [0, 1, 2])
    mean -= origin
    mean, square, variance = tf.unstack(
        replica.all_reduce(tf.distribute.ReduceOp.MEAN, tf.stack([mean, tf.square(mean), variance]))
    )
    variance += tf.nn.relu(square - tf.square(mean))
    mean += origin
    gamma, beta = (tf.cast(tf.convert_to_tensor(v), tf.float32) for v in (layer.gamma, layer.beta))
    y = tf.nn.batch_normalization(wide, mean, variance, beta, gamma, layer.epsilon)
    count = tf.cast(tf.size(wide[..., 0]) * replica.num_replicas_in_sync, tf.float32)
    return tf.cast(y, x.dtype), mean, variance * count / tf.maximum(count - 1, 1)
