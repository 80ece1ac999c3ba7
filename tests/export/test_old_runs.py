"""Runs that version 0.1 wrote: every form opens, verifies, evaluates, and exports again to the same weights."""

import hashlib
import shutil

import numpy as np
import pytest

from mnext_tf.evaluation.verify_run import verify_run
from mnext_tf.export.stages import tflite
from mnext_tf.files import read_json
from mnext_tf.inference.predictor import exports_of, open_predictor
from mnext_tf.runs.run import list_runs, open_run
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.metadata import read_metadata


@pytest.fixture
def old(repository, tmp_path, monkeypatch):
    """A copy of what version 0.1 wrote; its relative data folder is made anew where it is missing."""
    monkeypatch.chdir(tmp_path)
    return shutil.copytree(repository / "tests" / "fixtures" / "version_0_1", tmp_path / "old")


def tensors(path) -> tuple[dict, dict]:
    """(name -> description of each tensor without content, of each with content), as digits_int8.json has them."""
    from ai_edge_litert.schema_py_generated import TensorType

    types = {number: name for name, number in vars(TensorType).items() if not name.startswith("_")}
    tree, computed, constants = flatbuffer.read_model(path.read_bytes()), {}, {}
    for tensor in tree.subgraphs[0].tensors:
        row = {"shape": [int(n) for n in tensor.shape], "type": types[tensor.type]}
        data, quantization = tree.buffers[tensor.buffer].data, tensor.quantization
        if data is not None:
            row["sha256"] = hashlib.sha256(bytes(data)).hexdigest()
        if quantization is not None and quantization.scale is not None and len(quantization.scale):
            row["scales"] = [float(s) for s in quantization.scale]
            row["zero_points"] = [int(z) for z in quantization.zeroPoint]
            if len(quantization.scale) > 1:
                row["axis"] = int(quantization.quantizedDimension)
        (computed if data is None else constants)[tensor.name.decode()] = row
    return computed, constants


def test_every_form_of_every_run_opens_and_tells_the_same(old):
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
    opened = 0
    for run in list_runs(old / "runs"):
        if not run.finished:
            continue
        with open_predictor(run) as keras:
            expected = keras.predict(images)
            assert keras.labels == run.config.class_names
        for _, path in exports_of(run):
            if not path.exists():  # the fixture leaves out some SavedModels and graphs
                continue
            with open_predictor(path) as network:
                np.testing.assert_allclose(network.predict(images), expected, atol=0.1)
                assert network.preprocess == run.config.preprocess
                opened += 1
    assert opened >= 6


@pytest.mark.slow
def test_an_old_run_verifies(old):
    verified = verify_run(open_run(old / "runs" / "trained"), max_images=60)
    assert verified["passed"], verified["failures"]
    assert set(verified["networks"]) == {
        *("keras", "saved_model", "frozen", "tflite_float32", "tflite_int8", "tflite_int8_probabilities")
    }


@pytest.mark.slow
def test_exported_again_the_weights_are_the_same(old):
    run, golden = open_run(old / "runs" / "trained"), read_json(old / "digits_int8.json")
    recorded = (golden["activations"], golden["constants"])
    assert tensors(run.stage("tflite_int8") / "mobilenet_v1_0.05_32_int8.tflite") == recorded
    stage = tflite(run, "int8", author="Ada")
    assert not stage.skipped
    assert tensors(stage.folder / stage.result["file"]) == recorded
    assert read_metadata(stage.folder / stage.result["file"]).author == "Ada"
