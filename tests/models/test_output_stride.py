"""Output strides below 32, for small images: larger maps from the same weights."""

import math

import numpy as np
import pytest

from mnext_tf import create_model, list_models
from mnext_tf.errors import ConfigError
from mnext_tf.models.config import OUTPUT_STRIDES, ModelConfig, default_output_stride
from mnext_tf.models.registry import REGISTRY
from mnext_tf.models.summary import layer_costs


def config(name, stride, size=32, **more):
    return ModelConfig(name, width=0.1, input_size=size, num_classes=3, output_stride=stride, **more)


def maps(model):
    """Layer name -> side of its map."""
    return {x.name: x.output.shape[1] for x in model.layers if len(x.output.shape) == 4}


@pytest.mark.parametrize("stride", OUTPUT_STRIDES)
@pytest.mark.parametrize("name", list_models())
def test_the_last_map_and_the_weights(name, stride):
    """Layers and weights are those of stride 32; explicit padding is a matter of sizes."""
    for size in (32, 40, 97):
        model, full = config(name, stride, size).outline(), config(name, 32, size).outline()
        assert list(maps(model).values())[-1] in (math.ceil(size / stride), size // stride)
        names = [[x.name for x in m.layers if not x.name.endswith("_pad")] for m in (model, full)]
        assert names[0] == names[1]
        assert [x.weights for x in model.layers if x.weights] == [x.weights for x in full.layers if x.weights]


@pytest.mark.parametrize(("stride", "others"), [(16, 1), (8, 2)])
@pytest.mark.parametrize("name", list_models())
def test_which_strides_are_left_out(name, stride, others):
    """The last one first, which leaves all other maps as they are; then that of the stem, which doubles all of them."""
    full, model = (maps(config(name, s, 64).outline()) for s in (32, stride))
    kept = [x for x in model if not x.endswith("_pad") and "_se_" not in x]
    assert {model[x] // full[x] for x in kept if full[x] == 64} == {1}
    assert {model[x] // full[x] for x in kept if 2 < full[x] < 64} == {others}
    assert {model[x] // full[x] for x in kept if full[x] == 2} == {2 * others}


@pytest.mark.slow
@pytest.mark.parametrize("name", list_models())
def test_weights_load_across_output_strides(name, randomise, tmp_path):
    """To a network of larger maps that has drop-connect, too, where that fits."""
    more = {"drop_connect": 0.2} if REGISTRY[name].shortcuts else {}
    full, small = randomise(config(name, 32).create()), config(name, 8, **more).create()
    full.save_weights(tmp_path / "full.weights.h5")
    small.load_weights(tmp_path / "full.weights.h5")
    for ours, theirs in zip(small.trainable_weights, full.trainable_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    images = np.random.default_rng(0).uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)
    assert not np.allclose(small(images, training=False), full(images, training=False))
    outline = layer_costs(config(name, 8, **more).outline())
    assert {c.name: c for c in outline} == {c.name: c for c in layer_costs(small)}


@pytest.mark.parametrize(("name", "stride"), [("mnext_s", 16), ("mobilenet_v1", 8), ("mobilenet_v2", 16)])
def test_the_outline_is_that_of_the_keras_network_at_an_odd_size(name, stride):
    outline, keras = (layer_costs(m) for m in (config(name, stride, 37).outline(), config(name, stride, 37).create()))
    assert {c.name: c for c in outline} == {c.name: c for c in keras}


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("name", list_models())
def test_all_sizes_from_16_on_have_feature_maps(name, stride):
    for size in range(16, 60):
        assert min(maps(config(name, stride, size).outline()).values()) >= 1, size


def test_the_argument_is_checked_and_absent_in_older_folders():
    with pytest.raises(ConfigError, match="output_stride must be one of 8, 16, 32; received 4"):
        create_model("mnext", output_stride=4)
    with pytest.raises(ConfigError, match="A lower output_stride"):
        create_model("mnext_s", input_size=24)
    written = config("mnext", 32).to_dict()
    del written["output_stride"]
    assert ModelConfig.from_dict(written) == config("mnext", 32)


@pytest.mark.parametrize(("size", "stride"), [(24, 8), (48, 8), (49, 16), (96, 16), (97, 32), (224, 32)])
def test_the_default_leaves_at_least_three_pixels(size, stride):
    assert default_output_stride(size) == stride
    assert size // stride >= 3
