"""Layers with operators of their own are Keras's: in values, gradients, and the networks made of them."""

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.models import keras_layers


def gradients(layer, before, x, **options):
    """(output, gradients by input and kernel) of `layer` behind `before`, computed in a graph."""
    import tensorflow as tf

    @tf.function(autograph=False)
    def compute(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(before(x), **options)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, tf.float32)))
        return y, *tape.gradient(loss, [x, *layer.trainable_variables])

    return [tf.cast(value, tf.float32).numpy() for value in compute(x)]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 0.02)])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("padding", ["same", "padded"])
@pytest.mark.parametrize("size", [6, 7])
def test_strided_depthwise_convolutions_train_as_keras_does(size, padding, kernel, dtype, tolerance):
    import tensorflow as tf

    x = tf.cast(tf.random.stateless_normal((2, size, size + 1, 4), (0, 1)), dtype)
    before = tf.keras.layers.ZeroPadding2D(kernel // 2) if padding == "padded" else tf.identity
    options = {"padding": "same" if padding == "same" else "valid", "use_bias": False, "dtype": dtype}
    ours, keras = (k.DepthwiseConv2D(kernel, 2, **options) for k in (keras_layers, tf.keras.layers))
    for layer in (ours, keras):
        layer.build(before(x).shape)
    keras.set_weights(ours.get_weights())
    for a, b in zip(gradients(ours, before, x, training=True), gradients(keras, before, x), strict=True):
        assert np.abs(a - b).max() <= tolerance * np.abs(b).max()


def test_relu6_in_bfloat16_has_keras_values_and_gradients():
    import tensorflow as tf

    x = tf.cast([[-1, 0, 0.5, 5.96875, 6, 7, float("nan")]], tf.bfloat16)
    ours, keras = (k.ReLU(6.0, dtype="bfloat16") for k in (keras_layers, tf.keras.layers))
    values, slopes = gradients(ours, tf.identity, x, training=True)
    expected, expected_slopes = gradients(keras, tf.identity, x)
    np.testing.assert_array_equal(values[:, :-1], expected[:, :-1])
    assert np.isnan(values[0, -1])  # a training that has diverged must show it
    np.testing.assert_array_equal(slopes[:, :-1], expected_slopes[:, :-1])


@pytest.mark.parametrize("name", ["mnext", pytest.param("mnext_l", marks=pytest.mark.slow), "mobilenet_v1"])
def test_folded_batch_norm_changes_rounding_only(name, randomise):
    import tensorflow as tf

    model = randomise(create_model(name, input_size=64, num_classes=5))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)

    @tf.function(autograph=False)
    def folded(images):
        with keras_layers.folded_batch_norm():
            return model(images, training=False)

    operators = {op.type for op in folded.get_concrete_function(images).graph.get_operations()}
    expected = model(images, training=False).numpy()
    assert "BiasAdd" in operators
    np.testing.assert_allclose(folded(images), expected, atol=1e-4 * np.abs(expected).max())


def test_mixed_precision_keeps_the_weights_of_batch_norm_in_float32():
    import tensorflow as tf

    layer = keras_layers.BatchNormalization(momentum=0.9, dtype=tf.keras.mixed_precision.Policy("mixed_bfloat16"))
    x = tf.cast(tf.random.stateless_normal((4, 3, 3, 2), (0, 1)), tf.bfloat16)
    layer.build(x.shape)
    start = np.array([1 + 2**-12, 1 - 2**-12], np.float32)  # bfloat16 rounds both to 1
    layer.moving_mean.assign(start)
    assert layer(x, training=True).dtype == tf.bfloat16
    batch = tf.reduce_mean(tf.cast(x, tf.float32), (0, 1, 2))
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.9 * start + 0.1 * batch.numpy(), rtol=1e-5, atol=1e-6)
