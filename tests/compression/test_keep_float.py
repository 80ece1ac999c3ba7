"""Layers of an int8 file that compute in float32."""

import numpy as np
import pytest

from mnext_tf.compression.int8_file import Int8File
from mnext_tf.compression.keep_float import keep_float, kept_operators, kernel_layers, named_layers, rounding_costs
from mnext_tf.compression.post_training import compare_file
from mnext_tf.compression.twin import folded, make_twin
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.export import app_assets, stages
from mnext_tf.export.checks import check_full_integer
from mnext_tf.runs.weights import load_network
from mnext_tf.tflite.operators import delegation, read_operators


@pytest.fixture
def network(few_blocks_exported, few_blocks):
    return load_network(few_blocks_exported)


@pytest.fixture
def content(few_blocks_exported):
    """The converter's int8 file."""
    (file,) = few_blocks_exported.stage("tflite_int8").glob("*.tflite")
    return file.read_bytes()


@pytest.fixture
def kept(network, content, tmp_path):
    """`kept("stem", ...)`: path and operators of the file with these layers in float32."""

    def keep(*layers):
        weights = {layer: folded(network, layer) for layer in layers}
        made = keep_float(content, weights, [layer.name for layer in network.layers])
        assert made == keep_float(content, weights, [layer.name for layer in network.layers])
        (tmp_path / "kept.tflite").write_bytes(made)
        return tmp_path / "kept.tflite", read_operators(tmp_path / "kept.tflite")

    return keep


def in_float(ops):
    return [f"{op.kind} {op.name}" for op in ops if "float32" in op.input_types + op.output_types]


def test_a_layer_is_dequantized_before_and_quantized_after(kept, content, tmp_path):
    path, ops = kept("block01_reduce")
    (tmp_path / "before.tflite").write_bytes(content)
    before = read_operators(tmp_path / "before.tflite")
    assert len(ops) == len(before) + 2
    assert in_float(ops)[:2] == [
        "DEQUANTIZE block01_reduce/float32_input",
        "CONV_2D block01_reduce/float32",
    ]
    (at,) = [i for i, op in enumerate(ops) if op.name == "block01_reduce/float32"]
    assert ops[at + 1].kind == "QUANTIZE"
    assert set(ops[at].input_types) == {"float32"}
    check_full_integer(ops, kept=["block01_reduce"])
    with pytest.raises(ExportError, match="3 operators stayed in float"):
        check_full_integer(ops, kept=["stem"])
    found = delegation(path)
    assert found.nodes_delegated == found.nodes_total == len(ops)


def test_nothing_is_rounded_between_two_of_them(kept):
    """block01_reduce gives block01_expand its only input."""
    _, ops = kept("block01_reduce", "block01_expand")
    kinds = [name.split()[0] for name in in_float(ops)]
    assert kinds == ["DEQUANTIZE", "CONV_2D", "CONV_2D", "QUANTIZE"]
    check_full_integer(ops, kept=["block01_reduce", "block01_expand"])


@pytest.mark.parametrize("layer", ["stem", "block01_depthwise1", "logits"])
def test_the_file_is_nearer_to_the_network_and_has_its_ends(network, content, kept, few_blocks_exported, layer):
    path, ops = kept(layer)
    images = np.random.default_rng(0).uniform(0, 255, (32, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(network(images, training=False))
    before, after = compare_file(content, images, expected), compare_file(path.read_bytes(), images, expected)
    assert after["sqnr_db"] > before["sqnr_db"] - 0.5
    assert ops[-1].output_types == ("int8",)
    found = delegation(path)
    assert found.left == ()


def test_all_in_float_is_the_network_up_to_the_ends(network, content, kept):
    """What is left in int8: the pixels, the shortcuts, the pooling, and the logits."""
    path, ops = kept(*kernel_layers(network))
    images = np.random.default_rng(0).uniform(0, 255, (32, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(network(images, training=False))
    before, after = (compare_file(file, images, expected) for file in (content, path.read_bytes()))
    assert after["sqnr_db"] > before["sqnr_db"] + 2
    check_full_integer(ops, kept=kernel_layers(network))


def test_only_what_was_asked_for_may_be_float(kept):
    _, ops = kept("block01_reduce", "block01_expand")
    allowed = kept_operators(ops, ["block01_reduce", "block01_expand"])
    assert [ops[i].kind for i in sorted(allowed)] == ["DEQUANTIZE", "CONV_2D", "CONV_2D", "QUANTIZE"]
    assert kept_operators(ops, ["block01_expand"]) < allowed
    assert not kept_operators(ops, [])
    with pytest.raises(ExportError, match="DEQUANTIZE block01_reduce/float32_input"):
        check_full_integer(ops, kept=["block01_expand"])


def test_names_are_those_of_layers_with_a_kernel_or_starts(network):
    allowed = kernel_layers(network)
    assert named_layers("logits, block01_depthwise", allowed) == [
        "block01_depthwise1",
        "block01_depthwise2",
        "logits",
    ]
    assert named_layers("", allowed) == []
    for name in ("normalize", "block01_add", "ogits"):
        with pytest.raises(ConfigError, match=rf"keep_float='{name}' fits no layer with a kernel\. .*stem.*logits"):
            named_layers(name, allowed)


def test_the_cost_of_a_layer_is_what_its_rounding_does(network, content):
    """A depthwise layer whose weights are whole steps already costs nothing; with wide steps it costs most."""
    names = [layer.name for layer in network.layers]
    twin = make_twin(network, Int8File(content, names).ranges())
    images = np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)).astype(np.float32)
    layer = twin.get_layer("block01_depthwise1")  # the range of its output belongs to the activation
    kernel = layer.kernel.numpy()
    layer.kernel.assign(layer.rounded_kernel())
    costs = rounding_costs(twin, images)
    assert list(costs) == kernel_layers(network)
    assert costs[layer.name] < 1e-3 * max(costs.values())
    layer.kernel.assign(kernel)
    layer.scale.assign(30 * layer.scale)
    costs = rounding_costs(twin, images)
    assert max(costs, key=costs.get) == layer.name


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["fast", "good"])
def test_the_stage_keeps_the_costliest_and_those_that_are_named(make_run, few_blocks, effort):
    run = make_run()
    plain = stages.tflite(run, "int8", effort=effort)
    assert not {"keep_float", "auto_keep_float"} & set(plain.manifest.settings)
    stage = stages.tflite(run, "int8", keep_float="logits", auto_keep_float=2)
    layers = stage.result["keep_float"]["layers"]
    assert len(layers) == 3
    assert layers[-1] == "logits"
    assert stage.result["not_delegated"] == []
    assert stage.result["file_bytes"] > plain.result["file_bytes"]
    assert (stage.folder / "rounding_costs.csv").is_file()
    assert stages.tflite(run, "int8").skipped
    back = stages.tflite(run, "int8", keep_float="", auto_keep_float=0)
    assert back.result["sha256"] == plain.result["sha256"]
    with pytest.raises(ConfigError, match="fits no layer"):
        stages.tflite(run, "int8", keep_float="pool")
    with pytest.raises(ConfigError, match="are for int8; this is int16x8"):
        stages.tflite(run, "int16x8", auto_keep_float=1)
    assert stages.tflite(run, "int8").skipped  # what was refused is not remembered


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2", "mnext_s"])
def test_xnnpack_takes_every_kind_of_layer_in_float(make_run, name):
    """Grouped convolutions, and those before swish and in squeeze-excite, too."""
    run = make_run(name=name, width=0.25)
    allowed = kernel_layers(load_network(run))
    stage = stages.tflite(run, "int8", keep_float=",".join(allowed))
    assert stage.result["keep_float"]["layers"] == allowed
    assert stage.result["not_delegated"] == []


@pytest.mark.slow
def test_files_with_other_ends_keep_layers_too(make_run, few_blocks):
    run = make_run()
    app = app_assets.for_apps(run, "int8", keep_float="stem,logits")
    assert (app.result["input"]["dtype"], app.result["output"]["dtype"]) == ("uint8", "float32")
    for io_type in ("uint8", "float32"):
        plain = stages.tflite(run, "int8", io_type=io_type)
        stage = stages.tflite(run, "int8", io_type=io_type, keep_float="stem,logits")
        assert stage.result["keep_float"]["layers"] == ["stem", "logits"]
        assert stage.result["input"]["dtype"] == stage.result["output"]["dtype"] == io_type
        assert stage.result["not_delegated"] == plain.result["not_delegated"]
