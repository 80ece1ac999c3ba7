"""From weights to verified files, and what happens when something is wrong on the way."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from mnext_tf.compression.calibration import calibration_images
from mnext_tf.errors import ConfigError, ExportError, VerificationError
from mnext_tf.evaluation import verify_run as verify_run_module
from mnext_tf.evaluation.verify_run import verify_run
from mnext_tf.export import stages
from mnext_tf.files import read_json
from mnext_tf.inference.predictor import exports_of
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.runs.dataset import run_dataset
from mnext_tf.runs.run import open_run
from mnext_tf.runs.stages import is_current
from mnext_tf.tasks import Classification
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.tflite.int8_weights import store_weights_as_int8
from mnext_tf.tflite.metadata import read_metadata
from mnext_tf.tflite.operators import Operator, delegation, open_interpreter, read_operators


def tflite_path(run, stage):
    return run.stage(stage) / run.manifest(stage)["result"]["file"]


def test_float_file_equals_keras(exported):
    networks = read_json(exported.stage("tflite_float32") / "verify.json")["networks"]
    assert networks["keras"]["max_abs_difference"] == 0
    for name in ("saved_model", "frozen", "tflite"):
        assert networks[name]["max_relative_difference"] < 1e-4
        assert networks[name]["top1_agreement"] == 1


def test_stages_are_skipped_when_nothing_changed(exported, log_lines):
    messages = log_lines
    again = stages.tflite(exported, "int8")
    assert again.skipped
    assert list(dict.fromkeys(m.split(":")[0] for m in messages)) == [
        "reference",
        "saved_model",
        "frozen",
        "tflite_int8",
    ]
    other = stages.tflite(exported, "int8", calibration_count=16)
    assert not other.skipped
    assert other.result["calibration_images"] == 16


def test_int8_file_is_integer_throughout(exported):
    types = {t for op in read_operators(tflite_path(exported, "tflite_int8")) for t in op.output_types}
    assert types == {"int8"}
    detail = open_interpreter(tflite_path(exported, "tflite_int8")).get_input_details()[0]
    assert detail["dtype"] is np.int8
    scale, zero_point = detail["quantization"]
    assert scale == pytest.approx(1, abs=1e-5)  # a pixel value p is fed as p - 128
    assert zero_point == -128


@pytest.mark.parametrize("io_type", ["uint8", "float32"])
def test_other_inputs_of_int8(exported, io_type):
    stage = stages.tflite(exported, "int8", io_type=io_type)
    assert stage.folder.name == f"tflite_int8_{io_type}"
    assert stage.result["input"]["dtype"] == stage.result["output"]["dtype"] == io_type


@pytest.mark.parametrize("quantize", ["float16", "dynamic"])
def test_weight_quantization_shrinks_the_file(exported, quantize):
    small = stages.tflite(exported, quantize)
    large = stages.tflite(exported, "float32")
    assert small.result["file_bytes"] < {"float16": 0.6, "dynamic": 0.4}[quantize] * large.result["file_bytes"]
    assert small.result["input"]["dtype"] == "float32"


@pytest.mark.slow
def test_int16_activations_are_checked_and_calibrated(wide_exported, few_blocks):
    run = wide_exported
    (file,) = run.stage("tflite_int16x8").glob("*.tflite")
    ops = read_operators(file)
    assert {t for op in ops[1:-1] for t in op.output_types} == {"int16"}
    assert {op.input_types[1] for op in ops if "CONV_2D" in op.kind} == {"int8"}
    assert (ops[0].input_types, ops[-1].output_types) == (("float32",), ("float32",))
    manifest = run.manifest("tflite_int16x8")
    assert manifest.result["calibration_images"] == manifest.settings["calibration_count"] == 32
    assert "io_type" not in manifest.settings
    assert read_metadata(file).name == "MobileNeXt 1.0, 32 px, int16x8"


def test_int16_activations_cost_nothing_beside_the_rounded_weights(wide_exported, tmp_path):
    """Its logits are those of a float file with the same int8 weights; an int8 file's are further off."""
    files = {p: next(wide_exported.stage(f"tflite_{p}").glob("*.tflite")) for p in ("float32", "int16x8", "int8")}
    (tmp_path / "weights.tflite").write_bytes(store_weights_as_int8(files["float32"].read_bytes(), least=0))
    config = wide_exported.config  # on the images that set the ranges: what lies outside of them is cut off
    images = np.stack(calibration_images(run_dataset(wide_exported), config.preprocess, 32, seed=config.seed))
    expected = TFLiteNetwork(tmp_path / "weights.tflite")(images)
    away = {p: np.abs(TFLiteNetwork(file)(images) - expected).max() / expected.max() for p, file in files.items()}
    assert away["int16x8"] < 0.1 * min(away["float32"], away["int8"])


@pytest.mark.slow
def test_dynamic_range_of_a_network_with_swish_warns(few_blocks_exported, few_blocks, monkeypatch, log_lines):
    run = few_blocks_exported
    stages.tflite(run, "dynamic")
    assert not [line for line in log_lines if line.startswith("warning")]
    read = read_operators
    sigmoid = Operator("LOGISTIC", "block01_se_expand_sigmoid", ("float32",), ("float32",), (0,))
    monkeypatch.setattr(stages.operators, "read_operators", lambda path: [*read(path), sigmoid])
    stages.tflite(run, "dynamic", force=True)
    (warning,) = [line for line in log_lines if line.startswith("warning")]
    assert "dynamic-range" in warning
    assert "weight_int8" in warning


def test_file_carries_signature_and_labels(exported):
    signatures = open_interpreter(tflite_path(exported, "tflite_float32")).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    labels = (exported.stage("saved_model") / "assets" / "labels.txt").read_text().split("\n")
    assert tuple(labels[:-1]) == exported.config.class_names


def test_every_node_is_delegated(exported):
    for stage in ("tflite_float32", "tflite_int8"):
        found = delegation(tflite_path(exported, stage))
        assert found.nodes_delegated == found.nodes_total > 80
        assert found.left == ()


@pytest.mark.slow
def test_mobilenet_v2_is_verified_too(make_run):
    result = stages.tflite(make_run(name="mobilenet_v2", convention="tensorflow"), "float32").result
    assert result["verify"]["networks"]["tflite"]["max_relative_difference"] < 1e-4
    assert result["nodes_delegated"] == result["nodes_total"]


def test_identity_multiplier_costs_no_wide_operator(make_run, few_blocks):
    """The exported form neither masks, slices nor concatenates, and is still the same network."""
    run = make_run(identity_tensor_multiplier=0.5)
    result = stages.tflite(run, "float32").result
    assert result["verify"]["networks"]["tflite"]["max_relative_difference"] < 1e-4
    assert result["nodes_delegated"] == result["nodes_total"]
    ops = read_operators(tflite_path(run, "tflite_float32"))
    assert not {op.kind for op in ops} & {"CONCATENATION", "SLICE", "STRIDED_SLICE", "SPLIT"}
    multiplications = [op.name for op in ops if op.kind == "MUL"]
    assert len(multiplications) == 1
    assert "normalize" in multiplications[0]


@pytest.fixture
def copy_of_exported(few_blocks_exported, few_blocks, tmp_path):
    shutil.copytree(few_blocks_exported.folder, tmp_path / "run")
    return open_run(tmp_path / "run")


def test_a_changed_layer_is_refused_and_the_accepted_export_stays(copy_of_exported, monkeypatch):
    """One kernel goes wrong between Keras and the SavedModel."""
    run = copy_of_exported
    load, accepted = stages.load_network, run.manifest("saved_model")

    calls = []

    def perturbed_at_first(run):
        model = load(run)
        if not calls:
            kernel = model.get_layer("block02_expand").weights[0]
            kernel.assign(kernel * 1.5)
        calls.append(run)
        return model

    monkeypatch.setattr(stages, "load_network", perturbed_at_first)
    with pytest.raises(
        VerificationError,
        match=r"saved_model is not the network .*allowed 0.0001.*grows most at layer block02_expand",
    ):
        stages.saved_model(run, force=True)
    assert run.manifest("saved_model") == accepted


def test_a_wrong_tflite_file_names_the_layer(copy_of_exported, monkeypatch):
    """The converter is given another network's graph, which differs in one layer."""
    from mnext_tf.export import frozen, saved_model, tflite

    run = copy_of_exported
    model = stages.load_network(run)
    kernel = model.get_layer("block02_expand").weights[0]
    kernel.assign(kernel * 1.5)
    wrong = run.folder / "wrong"
    saved_model.write_saved_model(model, ["a"] * 10, wrong)
    frozen.write_frozen(wrong, wrong / "frozen.pb")
    convert, accepted = tflite.convert, tflite_path(run, "tflite_float32").read_bytes()
    monkeypatch.setattr(tflite, "convert", lambda path, *args, **kwargs: convert(wrong / "frozen.pb", *args, **kwargs))
    with pytest.raises(VerificationError, match=r"allowed 0.0001.*error grows most at layer block02_expand"):
        stages.tflite(run, "float32", force=True, author="Ada", keep_failed=True)
    assert tflite_path(run, "tflite_float32").read_bytes() == accepted
    (refused,) = run.stage("tflite_float32.failed").glob("*.tflite")
    assert refused.read_bytes() != accepted
    assert "tflite_float32.failed" not in dict(exports_of(run))
    assert not list(run.folder.glob(".*partial*"))
    monkeypatch.setattr(tflite, "convert", convert)
    assert read_metadata(tflite_path(run, "tflite_float32")).author == "not stated"
    stages.tflite(run, "float32")  # what the user chose is not forgotten because a check failed
    assert read_metadata(tflite_path(run, "tflite_float32")).author == "Ada"
    assert not list(run.folder.glob("tflite_float32.failed"))


def test_verify_run_reads_the_files_as_they_are(copy_of_exported):
    run = copy_of_exported
    assert verify_run(run, Tolerance(), max_images=8)["passed"]
    other = tflite_path(run, "tflite_float32")
    other.write_bytes(tflite_path(run, "tflite_int8").read_bytes())  # not what its name says
    verified = verify_run(run, Tolerance(), max_images=8)
    assert not verified["passed"]
    assert list(verified["failures"]) == ["tflite_float32"]
    assert read_json(run.folder / "verify.json")["failures"] == verified["failures"]
    assert not other.exists()
    assert other.with_name(other.name + ".failed").exists()


def test_a_file_that_xnnpack_takes_nothing_of_is_left_out_on_arm64(log_lines):
    forms = {"tflite_int16x8": verify_run_module._Form("int16x8", Path("x.tflite"))}
    assert verify_run_module._on_arm64(None, None, forms, Path("root"), None, 8) == ({}, {})
    assert log_lines == ["tflite_int16x8: left out on ARM64, XNNPACK has no kernels for it"]


def test_refusals(exported):
    with pytest.raises(ConfigError, match="float32, float16, dynamic, weight_int8, int8, int16x8; received 'int4'"):
        stages.tflite(exported, "int4")
    with pytest.raises(ConfigError, match="io_type=uint8 is for int8"):
        stages.tflite(exported, "float32", io_type="uint8")
    with pytest.raises(ConfigError, match="calibration_count must be at least 1"):
        stages.tflite(exported, "int8", calibration_count=0)


def test_frozen_graph_errors(tmp_path):
    from mnext_tf.inference.graphs import load_frozen

    (tmp_path / "damaged.pb").write_bytes(b"no graph at all")
    with pytest.raises(ExportError, match=r"damaged.pb is no frozen graph.*pipelines.freeze"):
        load_frozen(tmp_path / "damaged.pb")
    (tmp_path / "empty.pb").write_bytes(b"")
    with pytest.raises(ExportError, match="has no nodes 'image' and 'logits'"):
        load_frozen(tmp_path / "empty.pb")


def test_compare_counts_by_hand():
    reference = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 0.0], [0.0, 4.0]])
    logits = np.array([[1.0, 0.0], [0.0, 2.0], [0.0, 3.0], [0.0, 4.0]])
    found = Classification().compare(logits, reference, np.array([0, 1, 0, 0]))
    assert found["accuracy"] == 0.5
    assert found["top1_agreement"] == 0.75
    assert found["max_abs_difference"] == 3
    assert found["max_relative_difference"] == 0.75


def test_an_export_of_other_weights_is_not_current(copy_of_exported):
    assert is_current(copy_of_exported, "tflite_int8")
    weights = copy_of_exported.weights
    weights.write_bytes(weights.read_bytes() + b"\0")
    assert not is_current(copy_of_exported, "tflite_int8")
