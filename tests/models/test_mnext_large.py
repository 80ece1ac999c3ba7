"""The larger MobileNeXt: groups, padding, squeeze-excite."""

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.models.conventions import CONVENTIONS

NARROW = {"width": 0.25, "input_size": 33, "num_classes": 4}


@pytest.fixture(scope="module")
def large(randomise):
    return randomise(create_model("mnext_l", **NARROW))


def blocks(model, suffix):
    return [layer.name.removesuffix(suffix) for layer in model.layers if layer.name.endswith(suffix)]


def test_blocks_with_a_shortcut(large):
    """All but the first of stages 3 to 7 and the second of stage 2 and 8; stage 1, of two blocks, has none."""
    expected = [4, 6, 7, 8, 10, 11, 12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25, 26, 28]
    assert blocks(large, "_se_scale") == [f"block{i:02d}" for i in range(1, 29)]
    assert blocks(large, "_add") == [f"block{i:02d}" for i in expected]


def test_only_the_larger_one_has_groups_and_not_where_the_width_changes(large):
    def grouped(model):
        return {layer.name for layer in model.layers if getattr(layer, "groups", 1) == 2}

    narrow = blocks(large, "_depthwise1")
    assert grouped(large) == {f"{block}_{part}" for block in narrow for part in ("reduce", "expand")}
    assert grouped(create_model("mnext_s", **NARROW)) == set()


def test_groups_do_not_mix_and_both_forms_are_the_same(large):
    import tensorflow as tf

    layer = large.get_layer("block16_expand")
    kernel = layer.weights[0].numpy()
    inputs, outputs = 2 * kernel.shape[2], kernel.shape[3]
    dense = np.zeros((inputs, outputs), np.float32)
    dense[: inputs // 2, : outputs // 2] = kernel[0, 0, :, : outputs // 2]
    dense[inputs // 2 :, outputs // 2 :] = kernel[0, 0, :, outputs // 2 :]
    x = tf.random.stateless_normal((2, 3, 3, inputs), seed=(0, 0))
    for training in (False, True):
        np.testing.assert_allclose(layer(x, training=training), x.numpy() @ dense, atol=1e-5)


def test_every_weight_has_a_gradient(large):
    import tensorflow as tf

    images = tf.random.stateless_uniform((4, 33, 33, 3), seed=(0, 0), maxval=255.0)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(large(images, training=True) ** 2)
    found = tape.gradient(loss, large.trainable_variables)
    assert all(g is not None and np.isfinite(g).all() for g in found)
    assert all(np.any(g) for g, v in zip(found, large.trainable_variables, strict=True) if len(v.shape) == 4)


def test_squeeze_excite_scales_each_channel_by_its_own_number(large):
    import tensorflow as tf

    scale = large.get_layer("block05_se_scale")
    probe = np.random.default_rng(0).uniform(0, 255, (1, 33, 33, 3)).astype(np.float32)
    x, weights, y = tf.keras.Model(large.input, [*scale.input, scale.output])(probe, training=False)
    assert weights.shape == (1, 1, 1, x.shape[-1])
    assert (weights.numpy() > 0).all()
    assert (weights.numpy() < 1).all()
    np.testing.assert_allclose(y, x * weights, rtol=1e-6)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_of_strided_convolutions(kernel, size):
    """Where the first output looks: `before` pixels of zeros stand before the image."""
    import tensorflow as tf

    from mnext_tf.models import keras_layers
    from mnext_tf.models.blocks import Layers

    on_this_size = {8: (kernel - 2) // 2, 9: kernel // 2}[size]
    cases = {  # zeros before the image, pixels of the output
        "pytorch": (kernel // 2, (size + 1) // 2),
        "tensorflow": (on_this_size, (size + 1) // 2),
        "efficientnet": ((kernel - 2) // 2, size // 2),
    }
    image = np.random.default_rng(0).standard_normal((1, size, size, 1)).astype(np.float32)
    for name, (before, pixels) in cases.items():
        net = Layers(keras_layers, CONVENTIONS[name])
        x = keras_layers.Input((size, size, 1))
        model = tf.keras.Model(x, net.depthwise(x, "d", kernel=kernel, stride=2, activation=None))
        layer = model.get_layer("d")
        weights, seen = layer.get_weights()[0][before:, before:, 0, 0], kernel - before
        got = tf.keras.Model(x, layer.output)(image)
        assert got.shape == (1, pixels, pixels, 1)
        np.testing.assert_allclose(got[0, 0, 0, 0], (image[0, :seen, :seen, 0] * weights).sum(), rtol=1e-4, atol=1e-5)
