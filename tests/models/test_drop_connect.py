"""Stochastic depth: rates, what training leaves out, and weights that were saved with it or without."""

import numpy as np
import pytest

from mnext_tf import create_model, list_models
from mnext_tf.errors import ConfigError
from mnext_tf.models import save_weights
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.registry import REGISTRY

NARROW = {"width": 0.1, "input_size": 32, "num_classes": 3}
BLOCKS = {"mnext": 20, "mnext_s": 20, "mnext_l": 28, "mobilenet_v2": 17, "mobilenet_v2_mnext": 17}


def images(count):
    return np.random.default_rng(0).uniform(0, 255, (count, 32, 32, 3)).astype(np.float32)


def layers(model, suffix):
    return {layer.name.removesuffix(suffix): layer for layer in model.layers if layer.name.endswith(suffix)}


def test_the_networks_that_have_shortcuts():
    assert sorted(BLOCKS) == [name for name in list_models() if REGISTRY[name].shortcuts]


@pytest.mark.parametrize("name", BLOCKS)
def test_rates_grow_from_block_to_block(name):
    """Block i of n has rate (i - 1) / n of the given one, if it has a shortcut."""
    model = ModelConfig(name, **NARROW, drop_connect=0.2).outline()
    drops = layers(model, "_drop")
    assert len(drops) >= 9
    assert list(drops) == [block for block in layers(model, "_add") if block != "block01"]
    for block, layer in drops.items():
        assert layer.sizes[0] == pytest.approx(0.2 * (int(block.removeprefix("block")) - 1) / BLOCKS[name])
    assert layers(ModelConfig(name, **NARROW).outline(), "_drop") == {}


def test_training_leaves_out_whole_images_and_scales_the_others():
    model = create_model("mnext", **NARROW, drop_connect=0.9)
    drop, add = model.get_layer("block19_drop"), model.get_layer("block19_add")
    assert add.input[0] is drop.output
    x = np.ones((200, 2, 2, 3), np.float32)
    y = np.asarray(drop(x, training=True))
    assert (y == y[:, :1, :1, :1]).all()
    np.testing.assert_allclose(np.unique(y), [0, 1 / (1 - drop.rate)], rtol=1e-5)
    assert (y == 0).mean() == pytest.approx(drop.rate, abs=0.15)
    np.testing.assert_array_equal(drop(x, training=False), x)


@pytest.mark.parametrize(("saved", "loaded"), [(0.0, 0.2), (0.2, 0.0)])
def test_weights_load_whether_or_not_they_were_saved_with_it(saved, loaded, randomise, tmp_path):
    """Keras 3 stores the state of each dropout layer among the weights, by number."""
    first, again = (create_model("mobilenet_v2", **NARROW, drop_connect=rate) for rate in (saved, loaded))
    save_weights(randomise(first), tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    expected = first(images(2), training=False).numpy()
    assert not np.array_equal(expected[0], expected[1])
    np.testing.assert_array_equal(again(images(2), training=False), expected)


def test_it_does_not_fit_a_network_without_shortcuts():
    with pytest.raises(ConfigError, match=r"drop_connect=0\.2 does not fit model 'mobilenet_v1'.*Leave it at 0"):
        create_model("mobilenet_v1", drop_connect=0.2)


@pytest.mark.parametrize("rate", [-0.1, 1])
def test_a_rate_out_of_range(rate):
    with pytest.raises(ConfigError, match="drop_connect must be at least 0 and below 1"):
        create_model("mnext", drop_connect=rate)


@pytest.mark.parametrize("name", list_models())
def test_what_a_folder_without_the_field_stands_for(name):
    written = ModelConfig(name).to_dict()
    assert ModelConfig.from_dict(written).drop_connect == 0
    del written["drop_connect"]
    assert ModelConfig.from_dict(written).drop_connect == (0.2 if name in ("mnext_s", "mnext_l") else 0)
