"""The command, from a file as published to a verified TFLite file, against the golden logits."""

import json
import pickle
import shutil

import numpy as np
import pytest

from mnext_tf.checkpoints import import_checkpoint, read_checkpoint, recognize
from mnext_tf.runs.run import open_run
from mnext_tf.runs.weights import load_network

TAG = "mnext_w1_id1-1"


@pytest.fixture(scope="module")
def images_folder(tmp_path_factory):
    """A folder of 10 unlabeled images; few, because each takes a second."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("command") / "images_folder"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.mark.shared
def test_golden_logits_through_the_command_and_float_tflite(
    golden, golden_tensor, images_folder, unlabeled, tmp_path, python
):
    torch = pytest.importorskip("torch", reason="needs PyTorch, the extra [torch]")
    from safetensors.numpy import save_file

    from mnext_tf.export.stages import tflite
    from mnext_tf.inference.tflite import TFLiteNetwork

    record = json.loads((golden / f"{TAG}.json").read_text())
    tensors = {name: golden_tensor(name, shape) for name, shape in record["state_dict"].items()}
    state_dict = {f"module.{n}": torch.from_numpy(t) for n, t in tensors.items()}
    torch.save({"epoch": 199, "arch": "mnext", "state_dict": state_dict}, tmp_path / "model_best.pth.tar")
    finished = python(
        "-m",
        "pipelines.import_checkpoint",
        "--model=mnext",
        f"--checkpoint={tmp_path / 'model_best.pth.tar'}",
        f"--runs_root={tmp_path / 'runs'}",
        f"--data_dir={images_folder}",
        f"--cache_dir={tmp_path / 'data'}",
        timeout=180,
    )
    assert finished.returncode == 0, finished.stderr
    assert "PyTorch, entry state_dict, tensor names of the MobileNeXt authors" in finished.stdout
    assert f"mnext at width 1: {record['trainable_parameters']:,} parameters, 1000 classes (tench, " in finished.stdout
    assert "short side to 256, bicubic, center 224; mean 123.675/116.28/103.53, std 58.395" in finished.stdout
    run = open_run(tmp_path / "runs" / "model_best-imported")

    # The exported network normalizes pixels; the golden input is normalized already.
    size = record["input_size"]
    images = np.random.Generator(np.random.PCG64(0)).standard_normal((2, size, size, 3)).astype(np.float32)
    pixels = images * np.float32((58.395, 57.12, 57.375)) + np.float32((123.675, 116.28, 103.53))
    stage = tflite(run)
    got = TFLiteNetwork(stage.folder / stage.result["file"])(pixels)
    expected = np.load(golden / f"{TAG}.logits.npy")
    assert np.abs(np.asarray(got) - expected).max() <= 1e-4 * np.abs(expected).max()

    save_file(tensors, tmp_path / "model.safetensors")
    paddle = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    paddle = {n.replace("running_mean", "_mean").replace("running_var", "_variance"): t for n, t in paddle.items()}
    paddle["classifier.1.weight"] = paddle["classifier.1.weight"].T
    (tmp_path / "model.pdparams").write_bytes(pickle.dumps(paddle, 4))
    weights = load_network(run).get_weights()
    for name in ("model.safetensors", "model.pdparams"):
        other = import_checkpoint(tmp_path / name, tmp_path / name.replace(".", "-"), dataset=unlabeled)
        for a, b in zip(load_network(other).get_weights(), weights, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)


@pytest.mark.shared
def test_the_real_keras_weights_are_recognized(golden):
    path = golden.parent / "weights" / "mobilenet_v2_1.0_224_imagenet.weights.h5"
    found = recognize(read_checkpoint(path))
    assert (found.model, found.width, found.num_classes) == ("mobilenet_v2", 1.0, 1000)
    assert (found.publisher, found.options) == ("keras", {"convention": "tensorflow"})
    assert found.preprocess.input_size == 224


@pytest.mark.slow
def test_label_offset_reaches_the_data(python, tmp_path, state_dict_of):
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(state_dict_of("torchvision", 0.1, 6)[1], 4))
    finished = python(
        "-m",
        "pipelines.import_checkpoint",
        f"--checkpoint={tmp_path / 'w.pdparams'}",
        f"--runs_root={tmp_path / 'runs'}",
        "--data_dir=digits",
        f"--cache_dir={tmp_path / 'data'}",
        "--label_offset=0",
    )
    assert finished.returncode == 1
    assert "label_offset=0 was given, but digits has label_offset 1" in finished.stderr
    assert not (tmp_path / "runs").exists()


def test_errors_are_one_message(python, tmp_path):
    page = tmp_path / "model_best.pth.tar"
    page.write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    for flags, said in (
        ((), "--checkpoint=FILE is required"),
        ((f"--checkpoint={page}",), "is a web page, not a checkpoint"),
        ((f"--checkpoint={page}", "--mean=1,2"), "--mean takes three numbers"),
        ((f"--checkpoint={page}", "--mean=a,b,c"), "--mean takes three numbers"),
        ((f"--checkpoint={page}", f"--labels={tmp_path / 'no.txt'}"), "is not a list of class names"),
    ):
        finished = python("-m", "pipelines.import_checkpoint", *flags)
        assert finished.returncode == 1
        assert finished.stderr.startswith("error: ")
        assert said in finished.stderr
        assert "Traceback" not in finished.stderr
    shutil.rmtree(tmp_path)
