"""Recognizing the network in a file from names and shapes, whatever program wrote it."""

import json
import pickle
import sys

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.checkpoints import read_checkpoint, recognize
from mnext_tf.errors import CheckpointError, ConfigError


@pytest.fixture
def saved(tmp_path):
    """`saved(tensors)`: read back from a pickle of arrays, the format that needs nothing else."""

    def saved(tensors):
        path = tmp_path / "weights.pdparams"
        path.write_bytes(pickle.dumps(tensors, 4))
        return read_checkpoint(path)

    return saved


@pytest.mark.parametrize(
    ("naming", "width", "recognized"),
    [
        ("authors", 0.1, ("mnext", "authors")),
        ("paddleclas", 0.1, ("mnext", "paddleclas")),
        ("authors' MobileNetV2", 0.1, ("mobilenet_v2_mnext", "authors")),
        ("torchvision", 0.25, ("mobilenet_v2", "torchvision")),
        ("flat, tonylins", 0.1, ("mobilenet_v2", "flat")),
        ("timm", 0.1, ("mobilenet_v2", "timm")),
    ],
)
def test_network_naming_width_and_classes(saved, state_dict_of, naming, width, recognized):
    found = recognize(saved(state_dict_of(naming, width)[1]))
    assert (found.model, found.publisher) == recognized
    assert (found.width, found.num_classes) == (width, 6)
    assert found.options == {}
    assert any("identity_tensor_multiplier" in note for note in found.notes) == (found.model == "mnext")
    bicubic = found.publisher in ("authors", "paddleclas", "timm")
    assert found.preprocess.interpolation == ("bicubic" if bicubic else "bilinear")
    assert (found.preprocess.input_size, found.preprocess.resize_size) == (224, 256)


@pytest.mark.parametrize("name", ["mnext_s", "mnext_l"])
def test_the_larger_mobilenext(saved, state_dict_of, name):
    tensors = state_dict_of(f"authors, {name[-1].upper()}", 1.0, 7)[1]
    found = recognize(saved({**tensors, "_bn1.weight": np.ones(1280, np.float32)}))
    assert (found.model, found.publisher, found.width, found.num_classes) == (name, "authors", 1.0, 7)
    assert "ignored 1 tensors that the network does not use: _bn1.weight" in " ".join(found.notes)


@pytest.fixture(scope="module")
def applications(tmp_path_factory):
    """keras.applications with random weights: folder with MobileNet in three formats, MobileNetV2 in one."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("applications")
    arguments = {"alpha": 0.35, "weights": None, "input_shape": (64, 64, 3)}
    v1 = tf.keras.applications.MobileNet(**arguments, classes=5)
    v1.save(folder / "v1.keras")
    v1.save(folder / "v1.h5")
    v1.save_weights(folder / "v1.weights.h5")
    tf.keras.applications.MobileNetV2(**arguments, classes=5).save(folder / "v2.h5")
    tf.keras.applications.MobileNetV2(**arguments, include_top=False).save_weights(folder / "v2_no_top.weights.h5")
    return folder


@pytest.mark.parametrize("ending", ["keras", "h5", "weights.h5"])
def test_keras_applications_mobilenet(applications, ending):
    found = recognize(read_checkpoint(applications / f"v1.{ending}"))
    assert (found.model, found.publisher, found.width, found.num_classes) == ("mobilenet_v1", "keras", 0.35, 5)
    assert found.options == {}
    assert found.preprocess.input_size == 64


def test_keras_features_without_a_classifier_are_refused(applications):
    with pytest.raises(CheckpointError, match=r"no classifier.*without _no_top, or include_top=True"):
        recognize(read_checkpoint(applications / "v2_no_top.weights.h5"))


def test_the_input_size_that_keras_says_in_the_file_name_only(applications, tmp_path):
    import h5py

    path = tmp_path / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_128.h5"
    with h5py.File(applications / "v2.h5") as whole, h5py.File(path, "w") as weights:
        for layer in whole["model_weights"]:
            whole.copy(f"model_weights/{layer}", weights)
        weights.attrs["layer_names"] = whole["model_weights"].attrs["layer_names"]
    found = recognize(read_checkpoint(path))
    assert (found.model, found.preprocess.input_size) == ("mobilenet_v2", 128)


def test_weights_of_this_project(tmp_path):
    create_model("mobilenet_v1", width=0.35, input_size=32, num_classes=4).save_weights(tmp_path / "w.weights.h5")
    found = recognize(read_checkpoint(tmp_path / "w.weights.h5"))
    assert (found.model, found.publisher, found.width, found.num_classes) == ("mobilenet_v1", "mnext_tf", 0.35, 4)


def test_a_run_of_this_project_needs_no_import(tmp_path):
    (tmp_path / "run" / "train").mkdir(parents=True)
    (tmp_path / "run" / "config.json").write_text(json.dumps({"init": "trained"}))
    weights = tmp_path / "run" / "train" / "model.weights.h5"
    create_model("mobilenet_v1", width=0.35, input_size=32, num_classes=4).save_weights(weights)
    with pytest.raises(ConfigError, match=r"already a run of this project.*--run="):
        recognize(read_checkpoint(weights))


def test_another_width_or_model_than_was_said(saved, state_dict_of):
    checkpoint = saved(state_dict_of("torchvision", 0.25)[1])
    assert recognize(checkpoint, model="mobilenet_v2", width=0.25).width == 0.25
    with pytest.raises(ConfigError, match=r"width=0\.5 was given.*mobilenet_v2 at width 0\.25. Remove --width"):
        recognize(checkpoint, width=0.5)
    with pytest.raises(
        ConfigError, match=r"model=mnext was given.*contains mobilenet_v2 with the tensor names of torchv"
    ):
        recognize(checkpoint, model="mnext")


def test_a_tensor_that_no_width_has_is_named_with_both_shapes(saved, state_dict_of):
    tensors = state_dict_of("authors")[1]
    tensors["features.9.conv.3.weight"] = np.zeros((13, 104, 1, 1), np.float32)
    with pytest.raises(
        CheckpointError,
        match=r"nearest is mnext at width 0\.1: features\.9\.conv\.3\.weight has shape \(13, 104.*needs",
    ):
        recognize(saved(tensors))
    del tensors["features.9.conv.3.weight"]
    with pytest.raises(CheckpointError, match=r"nearest is mnext at width 0\.1.*1 missing: features\.9\.conv\.3\.wei"):
        recognize(saved(tensors))


def test_networks_that_only_look_alike_are_refused_with_the_reason(saved, state_dict_of):
    kernel, vector = np.zeros((32, 32, 1, 1), np.float32), np.zeros(32, np.float32)
    tensors = state_dict_of("flat, tonylins")[1]
    with pytest.raises(CheckpointError, match="3,505,960 parameters, as in PaddleClas and the first release of tonyl"):
        recognize(saved({**tensors, "features.1.conv.6.weight": kernel}))
    with pytest.raises(CheckpointError, match="3,505,960 parameters"):
        recognize(saved({"conv2._first_block._expand_conv._conv.weight": kernel}))
    with pytest.raises(CheckpointError, match="PaddleClas's MobileNetV1, a different network"):
        recognize(saved({"conv2_1._depthwise_conv._conv.weight": kernel}))
    with pytest.raises(
        CheckpointError, match=r"an unsupported network; its tensors begin with layer1\.0\.conv1\.weight"
    ):
        recognize(saved({"layer1.0.conv1.weight": kernel, "fc.bias": vector}))
    features = {n: t for n, t in tensors.items() if not n.startswith("classifier")}
    with pytest.raises(CheckpointError, match="no classifier, only feature layers"):
        recognize(saved(features))


def test_torchvisions_second_weights_have_their_own_crop(saved, state_dict_of, monkeypatch):
    checkpoint = saved(state_dict_of("torchvision", 0.25)[1])
    module = sys.modules["mnext_tf.checkpoints.recognize"]  # the package has the function under this name
    monkeypatch.setattr(module, "sha256", lambda path: "7ebf99e0" + 56 * "0")
    assert recognize(checkpoint).preprocess.resize_size == 232
