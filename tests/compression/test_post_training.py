"""An int8 file of effort "good": what it computes, and that it is nearer to the float network."""

from __future__ import annotations

import numpy as np
import pytest

from mnext_tf.models.config import ModelConfig

SLOW = pytest.mark.slow
CASES = {"mnext": {}, "mobilenet_v2": {"options": {"convention": "tensorflow"}}, "mobilenet_v1": {}, "mnext_s": {}}
NAMES = ["mnext", *(pytest.param(name, marks=SLOW) for name in list(CASES)[1:])]


@pytest.fixture(scope="module")
def converted(tmp_path_factory, randomise):
    """name -> (network, the converter's int8 file, calibration images)"""
    from mnext_tf.compression.calibration import spanning
    from mnext_tf.export.frozen import write_frozen
    from mnext_tf.export.saved_model import write_saved_model
    from mnext_tf.export.tflite import convert

    made = {}

    def make(name: str):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            config = ModelConfig(name, num_classes=7, width=0.25, input_size=48, output_stride=16, **CASES[name])
            network = config.create()
            randomise(network)
            write_saved_model(network, [f"{i}" for i in range(7)], folder / "saved")
            write_frozen(folder / "saved", folder / "frozen.pb")
            rng = np.random.default_rng(0)
            smooth = rng.uniform(0, 255, (40, 6, 6, 3)).repeat(8, 1).repeat(8, 2)
            images = spanning(list(np.clip(smooth + rng.normal(0, 10, (40, 48, 48, 3)), 0, 255).astype(np.float32)))
            made[name] = (network, convert(folder / "frozen.pb", "int8", calibration=images, progress=False), images)
        return made[name]

    return make


@pytest.mark.parametrize("name", NAMES)
def test_the_twin_without_rounding_is_the_network(converted, few_blocks, name):
    from mnext_tf.compression.equalize import equalize, largest_outputs
    from mnext_tf.compression.int8_file import Int8File
    from mnext_tf.compression.twin import make_twin, unrounded

    network, content, images = converted(name)
    images = np.stack(images[:4])
    twin = make_twin(network, Int8File(content, [layer.name for layer in network.layers]).ranges())
    expected = network(images, training=False)
    with unrounded(twin):
        np.testing.assert_allclose(twin(images, training=False), expected, rtol=1e-3, atol=1e-3)
    factors = equalize(twin, largest_outputs(twin, images))
    assert bool(factors) == (name != "mobilenet_v1")  # which has no linear tensors
    with unrounded(twin):
        np.testing.assert_allclose(twin(images, training=False), expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_twin_that_is_written_back_is_the_file(converted, few_blocks, name, tmp_path):
    """Written back unchanged, it is the converter's file: the twin has its steps, weights, and biases."""
    from mnext_tf.compression.int8_file import Int8File, write_twin
    from mnext_tf.compression.twin import make_twin
    from mnext_tf.inference.tflite import TFLiteNetwork

    network, content, images = converted(name)
    images = np.stack(images[:8])
    twin = make_twin(network, Int8File(content, [layer.name for layer in network.layers]).ranges())
    again = write_twin(content, twin)
    outputs = []
    for i, file in enumerate((content, again)):
        (tmp_path / f"{i}.tflite").write_bytes(file)
        with_file = TFLiteNetwork(tmp_path / f"{i}.tflite")
        outputs.append(with_file(images))
        with_file.close()
    step = Int8File(content, [layer.name for layer in network.layers]).graph
    step = step.tensors[step.outputs[0]].quantization.scale[0]
    assert np.abs(outputs[1] - outputs[0]).max() <= 2 * step


@pytest.mark.parametrize("name", NAMES)
def test_good_is_nearer_to_the_network(converted, few_blocks, name):
    from mnext_tf.compression.post_training import compare_file, improve

    network, content, images = converted(name)
    found = improve(network, content, images)
    assert found.step == "good"
    assert found.measured["good"]["sqnr_db"] > found.measured["fast"]["sqnr_db"] + 1
    unseen = np.stack(images)[:, ::-1, ::-1]
    expected = np.asarray(network(unseen, training=False))
    before, after = (compare_file(file, unseen, expected) for file in (content, found.content))
    assert after["sqnr_db"] > before["sqnr_db"] + 1
    assert improve(network, content, images).content == found.content


def test_a_file_that_is_not_its_twin_is_refused(converted, few_blocks):
    from mnext_tf.compression.int8_file import Int8File, write_twin
    from mnext_tf.compression.steps import check_steps
    from mnext_tf.compression.twin import make_twin
    from mnext_tf.errors import ExportError

    network, content, images = converted("mnext")
    names = [layer.name for layer in network.layers]
    twin = make_twin(network, Int8File(content, names).ranges())
    content = write_twin(content, twin)
    assert 0 < check_steps(content, twin, np.stack(images[:2])) < 1.01
    file = Int8File(content, names)
    low, high = file.ranges()["block02_reduce_bn"][0]
    file.set_range("block02_reduce_bn", 0, 0.9 * low, 0.9 * high)
    with pytest.raises(ExportError, match=r"layer block02_\w+ differs by"):
        check_steps(file.content(), twin, np.stack(images[:2]))


@SLOW
def test_best_chooses_ranges_and_is_no_worse(converted, few_blocks):
    from mnext_tf.compression.post_training import improve

    network, content, images = converted("mnext")
    found = improve(network, content, images, effort="best")
    assert list(found.measured) == ["fast", "good", "best"]
    assert found.measured[found.step]["sqnr_db"] == max(row["sqnr_db"] for row in found.measured.values())
    assert found.measured["best"]["sqnr_db"] > found.measured["good"]["sqnr_db"] - 1


def test_the_noise_of_a_layer_grows_with_its_range(converted, few_blocks):
    from mnext_tf.compression.effects import Effects, choose_shares, observe_ranges
    from mnext_tf.compression.int8_file import Int8File
    from mnext_tf.compression.twin import make_twin

    network, content, images = converted("mnext")
    images = np.stack(images[:20])
    twin = make_twin(network, Int8File(content, [layer.name for layer in network.layers]).ranges())
    shares = choose_shares(twin, images)
    assert all(0.5 < share <= 1 for pair in shares.values() for share in pair)
    effects, layer = Effects(twin, images), twin.get_layer("logits")
    observe_ranges(twin, images)
    whole = effects.noise(layer)
    for bound in (layer.low[0], layer.high[0]):
        bound.assign(bound * 8)
    assert effects.noise(layer) > 10 * whole
