"""Quantization-aware training: the twin that is trained, the run that it gives, and the int8 file of that."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.training import assert_bitwise_equal, interrupt, train

from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.models.config import ModelConfig
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import plan_training, start_run

RECIPE = resolve_recipe("digits", {"epochs": 2, "batch_size": 8, "width": 0.1})
AWARE = dataclasses.replace(RECIPE, qat=True, learning_rate=1e-3, dropout=0.3)
SLOW = pytest.mark.slow
CASES = {"mnext": {}, "mobilenet_v2": {"options": {"convention": "tensorflow"}}, "mobilenet_v1": {}, "mnext_s": {}}


@pytest.fixture
def trained(tmp_path, few_images, few_blocks):
    """A run that a quantization-aware one can start from."""
    run = start_run(tmp_path / "trained", "mnext", RECIPE, few_images)
    train(run, few_images)
    return run


@pytest.mark.parametrize("name", ["mnext", *(pytest.param(name, marks=SLOW) for name in list(CASES)[1:])])
def test_it_rounds_where_the_converters_file_does(few_blocks, tmp_path, randomise, name):
    from mnext_tf.compression.aware import rounded_outputs, start
    from mnext_tf.compression.calibration import spanning
    from mnext_tf.compression.int8_file import Int8File
    from mnext_tf.compression.twin_layers import TwinLayers
    from mnext_tf.export.frozen import write_frozen
    from mnext_tf.export.saved_model import write_saved_model
    from mnext_tf.export.tflite import convert

    config = ModelConfig(name, num_classes=7, width=0.25, input_size=48, output_stride=16, **CASES[name])
    network = config.create()
    randomise(network)
    write_saved_model(network, [f"{i}" for i in range(7)], tmp_path / "saved")
    write_frozen(tmp_path / "saved", tmp_path / "frozen.pb")
    images = np.random.default_rng(0).uniform(0, 255, (8, 48, 48, 3)).astype(np.float32)
    content = convert(tmp_path / "frozen.pb", "int8", calibration=spanning(list(images)), progress=False)
    ranges = Int8File(content, [layer.name for layer in network.layers]).ranges()
    assert rounded_outputs(config._build(TwinLayers({}))) == {layer: len(found) for layer, found in ranges.items()}

    from mnext_tf.compression.aware import aware_network

    twin = aware_network(config)
    start(twin, network, spanning(list(images)))
    for layer, expected in ranges.items():
        layer_twin = twin.get_layer(layer)
        found = [(float(low), float(high)) for low, high in zip(layer_twin.low, layer_twin.high, strict=True)]
        for (low, high), (their_low, their_high) in zip(found, expected, strict=True):
            most = 0.02 * (their_high - their_low)
            if layer.endswith(("_relu6", "logits", "pool")):
                assert (low, high) == (pytest.approx(their_low, abs=most), pytest.approx(their_high, abs=most)), layer
            # Where the converter adds or multiplies in place, its range is that of the input and the output together.
            assert low >= their_low - most, layer
            assert high <= their_high + most, layer


@SLOW
def test_a_resumed_run_is_bitwise_the_undisturbed_one(tmp_path, few_images, trained):
    undisturbed, disturbed = (
        start_run(tmp_path / name, "mnext", AWARE, few_images, source=trained) for name in ("undisturbed", "disturbed")
    )
    train(undisturbed, few_images)
    interrupt(disturbed, few_images, step=2)
    assert train(disturbed, few_images).resumed_from_step == 3
    assert_bitwise_equal(disturbed, undisturbed)


@SLOW
def test_its_file_has_the_weights_and_ranges_that_were_learned(tmp_path, few_images, trained, log_lines):
    from mnext_tf.compression.aware import load_twin
    from mnext_tf.compression.int8_file import Int8File
    from mnext_tf.compression.steps import layer_steps
    from mnext_tf.export.stages import tflite
    from mnext_tf.inference.tflite import TFLiteNetwork
    from mnext_tf.runs.dataset import validation_batches
    from mnext_tf.runs.weights import load_network
    from mnext_tf.tasks.tolerance import Tolerance

    run = start_run(tmp_path / "aware", "mnext", AWARE, few_images, source=trained)
    train(run, few_images)
    assert any("folded its batch norms" in line for line in log_lines)
    network = load_network(run)
    twin = load_twin(network, run.weights)
    for layer in (layer for layer in twin.layers if hasattr(layer, "scale")):
        whole = layer.kernel.numpy() / layer.steps().numpy()
        np.testing.assert_allclose(whole, np.rint(whole), atol=1e-2)
        assert np.abs(whole).max() == pytest.approx(127, abs=1e-2)

    stage = tflite(run, "int8", tolerance=Tolerance(100, 0))
    path = stage.folder / stage.result["file"]
    ranges = Int8File(path.read_bytes(), [layer.name for layer in network.layers]).ranges()
    for layer, found in ranges.items():
        for i, (low, high) in enumerate(found):
            learned = (float(twin.get_layer(layer).low[i]), float(twin.get_layer(layer).high[i]))
            assert (low, high) == pytest.approx(learned, abs=(high - low) / 200), layer  # 0 became one of the values
    images = np.concatenate([images for images, _ in validation_batches(run)])
    file = TFLiteNetwork(path)
    difference = np.abs(file(images) - np.asarray(twin(images, training=False)))
    file.close()
    step = (ranges["logits"][0][1] - ranges["logits"][0][0]) / 255
    assert difference.mean() < 4 * step  # a value rounded otherwise changes others from layer to layer
    assert max(layer_steps(path.read_bytes(), twin, images[:2]).values()) < 1.01
    assert tflite(run, "int8", force=True, tolerance=Tolerance(100, 0)).result["sha256"] == stage.result["sha256"]


def test_other_weights_hold_no_ranges(trained):
    from mnext_tf.compression.aware import load_twin
    from mnext_tf.runs.weights import load_network

    with pytest.raises(CheckpointError, match="holds no ranges of a quantization-aware training"):
        load_twin(load_network(trained), trained.weights)


def test_it_needs_a_trained_run_of_the_same_classes(tmp_path, few_images, trained):
    with pytest.raises(ConfigError, match=r"--qat needs --init=RUN"):
        start_run(tmp_path / "a", "mnext", AWARE, few_images)
    other = dataclasses.replace(few_images, class_names=("a", "b", "c"))
    with pytest.raises(ConfigError, match=r"of the same classes"):
        start_run(tmp_path / "b", "mnext", AWARE, other, source=trained)


def test_what_does_not_fit_is_refused():
    from mnext_tf.compression.aware import aware_network

    with pytest.raises(ConfigError, match="remove --precision=mixed_bfloat16"):
        dataclasses.replace(AWARE, precision="mixed_bfloat16")
    with pytest.raises(ConfigError, match="identity_tensor_multiplier"):
        aware_network(ModelConfig("mnext", identity_tensor_multiplier=0.5))


def test_images_are_augmented_as_those_of_the_run_that_it_starts_from(trained):
    plan = plan_training(None, None, {"qat": True}, options={}, has_data=True, source=trained)
    assert (plan.recipe.qat, plan.recipe.flip, plan.recipe.crop_scale_min, plan.recipe.shift) == (
        True,
        False,
        1.0,
        0.06,
    )
    assert plan.recipe.optimizer == "adamw"
