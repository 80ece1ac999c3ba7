"""The fused batch norm is Keras's own, in output, gradients and moving statistics."""

import numpy as np
import pytest

from mnext_tf.models.keras_layers import BatchNormalization


@pytest.fixture(params=[(4, 3, 5, 6), (8, 1, 1, 6)], ids=["planes", "single pixels"])
def pair(request):
    """(ours, Keras's, a batch): the same weights in both."""
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal(2, 3, request.param), tf.float32)
    ours = BatchNormalization(momentum=0.9, epsilon=1e-3)
    theirs = tf.keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3)
    weights = [rng.uniform(0.5, 1.5, 6) for _ in range(4)]
    for layer in (ours, theirs):
        layer.build(x.shape)
        layer.set_weights(weights)
    return ours, theirs, x


def test_inference_is_the_same(pair):
    ours, theirs, x = pair
    np.testing.assert_array_equal(ours(x, training=False), theirs(x, training=False))


def test_a_frozen_layer_keeps_its_statistics(pair):
    ours, theirs, x = pair
    before = [w.numpy() for w in ours.weights]
    ours.trainable = theirs.trainable = False
    np.testing.assert_array_equal(ours(x, training=True), theirs(x, training=True))
    for weight, value in zip(ours.weights, before, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_training_output_and_gradients_are_the_same(pair):
    import tensorflow as tf

    ours, theirs, x = pair
    results = []
    for layer in (ours, theirs):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.sin(y))
        results.append([y, *tape.gradient(loss, [x, *layer.trainable_variables])])
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_moving_statistics_take_the_unbiased_variance(pair):
    ours, theirs, x = pair
    before = ours.moving_variance.numpy()
    ours(x, training=True)
    theirs(x, training=True)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    n = np.prod(x.shape[:-1])
    biased = (np.asarray(theirs.moving_variance) - 0.9 * before) / 0.1
    np.testing.assert_allclose(ours.moving_variance, 0.9 * before + 0.1 * biased * n / (n - 1), rtol=1e-4)
