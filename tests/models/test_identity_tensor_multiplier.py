"""MobileNeXt whose shortcuts carry a part of the channels."""

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.errors import ConfigError
from mnext_tf.models import check_model_arguments
from mnext_tf.models.registry import identity_divisor
from mnext_tf.models.summary import count_multiply_adds, count_parameters

NARROW = {"width": 0.25, "input_size": 48, "num_classes": 5}


@pytest.fixture(scope="module")
def half(randomise):
    return randomise(create_model("mnext", identity_tensor_multiplier=0.5, **NARROW))


def test_every_shortcut_carries_the_lower_half_of_its_channels(half):
    import tensorflow as tf

    adds = [layer.name.removesuffix("_add") for layer in half.layers if layer.name.endswith("_add")]
    assert len(adds) == 12  # (3 - 1) + (3 - 1) + 4 - 1 + 4 - 1 + 3 - 1: all but the first block of a stage
    probe = np.random.default_rng(0).uniform(0, 255, (1, 48, 48, 3)).astype(np.float32)
    for block in adds:
        mask, add = half.get_layer(f"{block}_identity_mask"), half.get_layer(f"{block}_add")
        body = half.get_layer(f"{block}_depthwise2_bn")
        inspect = tf.keras.Model(half.input, [mask.input, body.output, add.output])
        identity, without, with_shortcut = (x.numpy() for x in inspect(probe, training=False))
        kept = identity.shape[-1] // 2
        assert identity[..., :kept].any()
        assert identity[..., kept:].any()
        np.testing.assert_array_equal(with_shortcut[..., kept:], without[..., kept:])
        np.testing.assert_array_equal(with_shortcut[..., :kept], (without + identity)[..., :kept])


def test_the_masks_alone_differ_from_the_full_shortcut(half):
    full = create_model("mnext", **NARROW)
    masks = [layer for layer in half.layers if type(layer).__name__ == "ChannelMask"]
    assert len(masks) == 12
    assert all(mask.kept == mask.output.shape[-1] // 2 for mask in masks)
    assert [x.name for x in full.layers] == [x.name for x in half.layers if x not in masks]
    assert count_parameters(half) == count_parameters(full)
    assert count_multiply_adds(half) == count_multiply_adds(full)
    full.set_weights(half.get_weights())
    probe = np.random.default_rng(0).uniform(0, 255, (1, 48, 48, 3)).astype(np.float32)
    assert not np.allclose(full(probe, training=False), half(probe, training=False))


@pytest.mark.parametrize(("multiplier", "divisor"), [(1, 1), (1.0, 1), (0.5, 2), (1 / 3, 3), (0.33, 3), (1 / 6, 6)])
def test_the_divisor(multiplier, divisor):
    assert identity_divisor(multiplier) == divisor
    check_model_arguments("mnext", identity_tensor_multiplier=multiplier)


@pytest.mark.parametrize("multiplier", [0.3, 0.7, 0, -0.5, 2, "0.5", float("nan")])
def test_anything_but_one_over_a_whole_number_is_refused(multiplier):
    with pytest.raises(ConfigError, match=r"must be 1/k") as error:
        check_model_arguments("mnext", identity_tensor_multiplier=multiplier)
    assert repr(multiplier) in str(error.value)


@pytest.mark.parametrize("name", ["mobilenet_v2", "mobilenet_v2_mnext"])
def test_other_networks_refuse_it(name):
    with pytest.raises(ConfigError, match=rf"0\.5 does not fit model '{name}': only mnext has one"):
        create_model(name, identity_tensor_multiplier=0.5)
    check_model_arguments(name, identity_tensor_multiplier=1)


def test_a_part_below_one_channel_leaves_no_shortcut():
    model = create_model("mnext", width=0.1, input_size=32, identity_tensor_multiplier=1 / 1000)
    assert not [layer.name for layer in model.layers if layer.name.endswith(("_add", "_identity_mask"))]
