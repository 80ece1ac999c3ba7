"""Properties of every network in the registry, tested on narrow ones at odd input sizes."""

import numpy as np
import pytest

from mnext_tf import create_model, list_models
from mnext_tf.errors import ConfigError
from mnext_tf.models import check_model_arguments, create, save_weights
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.registry import REGISTRY

SLOW = {"mnext_l": [pytest.mark.slow]}
MODELS = [pytest.param(name, marks=SLOW.get(name, ())) for name in list_models()]
NARROW = {"width": 0.1, "input_size": 97, "num_classes": 7}


@pytest.fixture(scope="module", params=MODELS)
def model(request, randomise):
    return randomise(create_model(request.param, **NARROW))


def images(size=97, count=2):
    return np.random.default_rng(0).uniform(0, 255, (count, size, size, 3)).astype(np.float32)


def test_logits_of_an_odd_input_size(model):
    logits = model(images(), training=False).numpy()
    assert logits.shape == (2, 7)
    assert np.isfinite(logits).all()
    assert not np.array_equal(logits[0], logits[1])
    assert model.input_shape == (None, 97, 97, 3)


def test_layer_names_are_unique_and_convolutions_have_a_batch_norm(model):
    """Those of squeeze-excite have a bias instead."""
    names = [layer.name for layer in model.layers]
    assert len(set(names)) == len(names)
    convolutions = [layer for layer in model.layers if type(layer).__name__.endswith("Conv2D")]
    assert len(convolutions) > 20
    norms = {layer.name for layer in model.layers if type(layer).__name__ == "BatchNormalization"}
    assert norms == {f"{layer.name}_bn" for layer in convolutions if not layer.use_bias}
    assert all(layer.use_bias == ("_se_" in layer.name) for layer in convolutions)


def test_activations_are_named_after_their_convolution(model):
    names = {layer.name for layer in model.layers}
    activations = [layer for layer in model.layers if type(layer).__name__ in ("ReLU", "Activation")]
    assert activations
    for layer in activations:
        convolution, kind = layer.name.rsplit("_", 1)
        assert convolution in names
        if kind == "relu6":
            assert layer.max_value == 6
        else:
            assert kind == layer.activation.__name__.replace("silu", "swish")
    kinds = {layer.name.rsplit("_", 1)[1] for layer in activations}
    assert kinds == ({"swish", "sigmoid"} if model.name in ("mnext_s", "mnext_l") else {"relu6"})


def test_nothing_is_computed_in_float64(model):
    import tensorflow as tf

    assert {tf.as_dtype(v.dtype).name for v in model.trainable_variables} == {"float32"}
    traced = tf.function(lambda x: model(x, training=False)).get_concrete_function(tf.TensorSpec((1, 97, 97, 3)))
    wide = [op.name for op in traced.graph.get_operations() for out in op.outputs if out.dtype == tf.float64]
    assert wide == []


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # as PyTorch's models take them, in units of [0, 1]
HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def normalized(images, mean, std):
    return ((images / 255 - mean) / std).astype(np.float32)


def test_preprocessing_inside_is_the_normalization_by_hand(model):
    outside = create_model(model.name, **NARROW, include_preprocessing=False)
    outside.set_weights(model.get_weights())
    constants = HALF if model.name == "mobilenet_v1" else IMAGENET
    expected = outside(normalized(images(), *constants), training=False).numpy()
    difference = np.abs(model(images(), training=False) - expected).max()
    assert difference <= 1e-4 * np.abs(expected).max()
    assert not np.allclose(outside(images(), training=False), expected)
    np.testing.assert_allclose(ModelConfig(model.name).normalization, 255 * np.array(constants), rtol=1e-6)


@pytest.mark.parametrize("name", list_models())
def test_other_constants_of_the_normalization(name):
    """Lists, as in JSON; the network's own constants are the default."""
    layer = create_model(name, **NARROW, mean=[1, 2.5, 3]).get_layer("normalize")
    assert (layer.mean, layer.std) == ((1, 2.5, 3), ModelConfig(name).normalization[1])
    layer = create_model(name, **NARROW, mean=None, std=[4, 5, 6]).get_layer("normalize")
    assert (layer.mean, layer.std) == (ModelConfig(name).normalization[0], (4, 5, 6))
    probe = np.array([[[10.0, 20.0, 30.0]]], np.float32)[None]
    np.testing.assert_allclose(layer(probe)[0, 0, 0], (probe[0, 0, 0] - layer.mean) / (4, 5, 6), rtol=1e-5)


def test_the_convention_decides_the_normalization():
    tensorflow = ModelConfig("mobilenet_v2", options={"convention": "tensorflow"})
    assert tensorflow.normalization == ((127.5,) * 3, (127.5,) * 3)
    assert ModelConfig("mobilenet_v2").normalization == ModelConfig("mnext").normalization


def test_dropout_has_the_given_rate_and_works_in_training_only(model):
    assert model.get_layer("dropout").rate == 0.2
    same = [model(images(), training=False).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*same)


def test_saved_weights_load_again(model, tmp_path):
    expected = model(images(), training=False).numpy()
    again = create_model(model.name, **NARROW)
    assert not np.allclose(again(images(), training=False), expected)
    save_weights(model, tmp_path / "model.weights.h5")
    again.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(again(images(), training=False), expected)


def test_a_full_disk_is_an_error_before_hdf5_starts(model, tmp_path, monkeypatch):
    """HDF5 itself ends the process with a segmentation fault then."""
    reserved = []

    def full(path, size):
        reserved.append(size)
        raise OSError(28, "No space left on device")

    saved = tmp_path / "whole.weights.h5"
    save_weights(model, saved)
    monkeypatch.setattr(create, "reserve_space", full)
    monkeypatch.setattr(type(model), "save_weights", None)
    with pytest.raises(OSError, match="No space"):
        save_weights(model, tmp_path / "model.weights.h5")
    assert reserved[0] >= saved.stat().st_size


def test_a_run_s_configuration_builds_the_network():
    config = ModelConfig.from_dict(
        ModelConfig("mobilenet_v2", **NARROW, options={"convention": "tensorflow"}).to_dict()
    )
    model = config.create()
    assert model.get_layer("stem_bn").epsilon == 1e-3
    assert (model.input_shape, model.output_shape) == ((None, 97, 97, 3), (None, 7))


@pytest.mark.parametrize(
    ("name", "smallest"),
    [
        ("mnext", 16),
        ("mnext_s", 32),
        ("mnext_l", 32),
        ("mobilenet_v1", 31),
        ("mobilenet_v2", 16),
        ("mobilenet_v2_mnext", 16),
    ],
)
def test_sizes_that_are_too_small_are_refused_by_name(name, smallest):
    """The smallest size is built; below it, what Keras refuses is refused before."""
    size = {"width": 0.1, "num_classes": 2}
    assert create_model(name, input_size=smallest, **size).output_shape == (None, 2)
    with pytest.raises(ConfigError, match=f"input_size.* at least {smallest}.*received {smallest - 1}") as error:
        check_model_arguments(name, input_size=smallest - 1, **size)
    if smallest > 16:
        assert name in str(error.value)
        config = ModelConfig(name, input_size=smallest, **size)
        object.__setattr__(config, "input_size", smallest - 1)
        with pytest.raises(ValueError, match=r"zero or negative|Negative dimension"):
            config.create()


@pytest.mark.parametrize("name", list_models())
def test_all_sizes_from_the_smallest_on_have_feature_maps(name):
    for size in range(REGISTRY[name].min_input_size, 200):
        layers = ModelConfig(name, width=0.1, input_size=size).outline().layers
        assert min(layer.output.shape[1] for layer in layers if len(layer.output.shape) == 4) >= 1, size


@pytest.mark.parametrize(
    ("arguments", "received", "allowed"),
    [
        ({"name": "mnxt"}, "'mnxt'", "mnext, mnext_l, mnext_s, mobilenet_v1, mobilenet_v2, mobilenet_v2_mnext"),
        ({"width": 0}, "received 0", "above 0 and at most 10"),
        ({"width": -1.0}, "-1.0", "above 0"),
        ({"width": float("nan")}, "nan", "above 0"),
        ({"width": "1"}, "'1'", "above 0"),
        ({"num_classes": 0}, "received 0", "at least 1 and at most 1000000"),
        ({"num_classes": 10**9}, "received 1000000000", "at most 1000000 (the classifier alone"),
        ({"num_classes": 10.0}, "10.0", "whole number"),
        ({"input_size": 8}, "received 8", "at least 16 and at most 2048"),
        ({"input_size": 4096}, "4096", "at least 16 and at most 2048"),
        ({"dropout": 1.0}, "1.0", "below 1"),
        ({"dropout": -0.1}, "-0.1", "at least 0"),
        ({"mean": (1, 2)}, "(1, 2)", "mean must be three finite numbers, "),
        ({"mean": [0, 0, float("inf")]}, "inf", "finite"),
        ({"mean": 127.5}, "127.5", "for red, green, and blue in units of [0, 255]"),
        ({"std": [1, 1, 0]}, "[1, 1, 0]", "std must be three finite numbers above 0"),
        ({"std": "123"}, "'123'", "three"),
        ({"convention": "tensorflow"}, "convention=tensorflow does not fit model 'mnext'", "only mobilenet_v2, "),
        ({"name": "mobilenet_v2", "convention": "caffe"}, "'caffe'", "pytorch, tensorflow"),
        ({"name": "mobilenet_v2", "conventoin": "pytorch"}, "'conventoin'", "convention"),
    ],
)
def test_a_refused_argument_is_named_with_what_is_allowed(arguments, received, allowed):
    with pytest.raises(ConfigError) as error:
        create_model(**{"name": "mnext", **arguments})
    assert received in str(error.value)
    assert allowed in str(error.value)
    assert isinstance(error.value, ValueError)


def test_the_nearest_name_is_suggested():
    with pytest.raises(ConfigError, match="Did you mean 'mobilenet_v2'"):
        create_model("mobilenetv2")


def test_importing_the_package_imports_nothing_heavy(python):
    code = (
        "import sys, mnext_tf, mnext_tf.checkpoints, mnext_tf.training.recipe, mnext_tf.runs.run\n"
        "mnext_tf.models.check_model_arguments('mnext', width=0.5)\n"
        "print({'tensorflow', 'keras', 'sklearn', 'matplotlib'} & set(sys.modules))"
    )
    finished = python("-c", code)
    assert (finished.stdout.strip(), finished.returncode) == ("set()", 0), finished.stderr
