"""Files of every format, detected from the content; other files are refused with the reason."""

import argparse
import collections
import json
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from mnext_tf.checkpoints import read_checkpoint
from mnext_tf.errors import CheckpointError

TENSORS = {
    "features.0.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "features.0.1.weight": np.array([1.5, -2.0], np.float32),
}
WITH_TORCH = "needs PyTorch, the extra [torch]"


def same(tensors, expected=TENSORS):
    assert list(tensors) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(tensors[name], array)
        assert tensors[name].dtype == array.dtype


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)
    return str(error.value)


def as_torch(tensors):
    torch = pytest.importorskip("torch", reason=WITH_TORCH)
    return {name: torch.from_numpy(array.copy()) for name, array in tensors.items()}


@pytest.mark.parametrize("name", ["weights.pth", "weights.pt", "weights.pth.tar", "pytorch_model.bin", "other"])
@pytest.mark.parametrize("new", [True, False])
def test_pytorch_old_and_new_under_any_name(tmp_path, name, new):
    torch = pytest.importorskip("torch", reason=WITH_TORCH)
    torch.save(as_torch(TENSORS), tmp_path / name, _use_new_zipfile_serialization=new)
    checkpoint = read_checkpoint(tmp_path / name)
    assert (checkpoint.format, checkpoint.entry) == ("PyTorch", None)
    same(checkpoint.tensors)


@pytest.mark.parametrize("new", [True, False])
def test_what_timm_saves_beside_the_weights_is_no_obstacle(tmp_path, new):
    torch = pytest.importorskip("torch", reason=WITH_TORCH)
    content = {
        "epoch": 7,
        "arch": "mnext",
        "state_dict": collections.OrderedDict((f"module.{n}", t) for n, t in as_torch(TENSORS).items()),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
        "args": argparse.Namespace(lr=0.1, data=None, betas=(0.9, 0.999)),
        "metric": np.float64(74.02),
        "best": np.float32(1.0),
        "history": np.arange(3),
    }
    torch.save(content, tmp_path / "model_best.pth.tar", _use_new_zipfile_serialization=new)
    checkpoint = read_checkpoint(tmp_path / "model_best.pth.tar")
    assert checkpoint.entry == "state_dict"
    assert checkpoint.notes == ()
    same(checkpoint.tensors)


@pytest.mark.parametrize("key", ["state_dict", "state_dict_ema", "model", "model_ema", "ema_state_dict", "net"])
def test_each_wrapping_and_prefix(tmp_path, key):
    prefixed = {f"module._orig_mod.{n}": t for n, t in TENSORS.items()}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps({"epoch": 1, key: prefixed}, 4))
    checkpoint = read_checkpoint(tmp_path / "w.pdparams")
    assert checkpoint.entry == key
    same(checkpoint.tensors)


def test_the_plain_weights_are_taken_unless_another_entry_is_named(tmp_path):
    average = {n: t + 1 for n, t in TENSORS.items()}
    path = tmp_path / "w"
    path.write_bytes(pickle.dumps({"state_dict_ema": average, "state_dict": TENSORS}, 4))
    plain = read_checkpoint(path)
    same(plain.tensors)
    assert "used the entry 'state_dict'; the file also has state_dict_ema" in plain.notes[0]
    same(read_checkpoint(path, entry="state_dict_ema").tensors, average)
    with pytest.raises(CheckpointError, match="no entry 'ema'; it has state_dict_ema, state_dict"):
        read_checkpoint(path, entry="ema")
    path.write_bytes(pickle.dumps({"epoch": 1, "teacher": TENSORS}, 4))
    assert "it contains: epoch, teacher. Select one with --entry: teacher" in refusal(path)


def test_safetensors_with_half_precision(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "model.safetensors"
    save_file({n: t.astype(np.float16) for n, t in TENSORS.items()}, path)
    assert read_checkpoint(path).format == "safetensors"
    same(read_checkpoint(path).tensors)

    bfloat = (TENSORS["features.0.1.weight"].view(np.uint32) >> 16).astype(np.uint16)  # exact for these values
    header = json.dumps({"w": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header + bfloat.tobytes())
    same(read_checkpoint(path).tensors, {"w": TENSORS["features.0.1.weight"]})


def test_pytorch_half_precision_becomes_float32(tmp_path):
    torch = pytest.importorskip("torch", reason=WITH_TORCH)
    for dtype in (torch.float16, torch.bfloat16):
        torch.save({n: t.to(dtype) for n, t in as_torch(TENSORS).items()}, tmp_path / "half.pth")
        same(read_checkpoint(tmp_path / "half.pth").tensors)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("old_numpy", [False, True])
def test_paddle(tmp_path, protocol, old_numpy):
    content = collections.OrderedDict(TENSORS)
    content["StructuredToParameterName@@"] = {"features.0.0.weight": "conv2d_0.w_0"}
    dumped = pickle.dumps(content, protocol)
    if old_numpy and protocol < 4:  # protocol 4 counts the letters of names
        dumped = dumped.replace(b"numpy._core.", b"numpy.core.")
    (tmp_path / "w.pdparams").write_bytes(dumped)
    checkpoint = read_checkpoint(tmp_path / "w.pdparams")
    assert checkpoint.format == "Paddle"
    same(checkpoint.tensors)


def test_without_pytorch_the_error_says_what_to_install(tmp_path, monkeypatch):
    import sys

    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    monkeypatch.setitem(sys.modules, "torch", None)
    text = refusal(tmp_path / "w.pth")
    assert "pip install 'mnext-tf[torch]'" in text
    assert "safetensors" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n<!DOCTYPE html><html><head>Sign in", "is a web page"),
        (b"<HTML><body>404", "is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git-lfs pointer"),
        (b"\x1f\x8b\x08\x00rest", "compressed with gzip"),
        (b"\0" * 257 + b"ustar" + b"\0" * 300, "tar archive"),
        (b"weights are not here", "is not a checkpoint in a supported format"),
        (b"cos\nsystem\n(S'true'\ntR.", "is not a checkpoint in a supported format"),
        (b"PK\x03\x04 and then nothing", "truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n and then nothing", "truncated or damaged"),
        (pickle.dumps([1, 2], 4), "a pickle of a list"),
        (pickle.dumps({"epoch": 3}, 4), "no state dict under a common key; it contains: epoch"),
        (pickle.dumps({"w": np.array([None, 1], object)}, 4), "contains an array of Python objects of dtype 'O8'"),
        (pickle.dumps({"w": np.array(["a"])}, 4), "contains an array of values of dtype 'U1'"),
    ],
)
def test_what_is_no_checkpoint_is_told_apart(tmp_path, content, said):
    path = tmp_path / "model_best.pth.tar"
    path.write_bytes(content)
    assert said in refusal(path)


def test_missing_folders_and_unreadable_files(tmp_path):
    assert "does not exist" in refusal(tmp_path / "nowhere.pth")
    assert "is a folder" in refusal(tmp_path)
    path = tmp_path / "w.pth"
    path.write_bytes(b"x")
    path.chmod(0)
    if not os.access(path, os.R_OK):  # root may read everything
        assert "cannot be read: Permission denied" in refusal(path)


def test_archives_of_other_kinds(tmp_path):
    with zipfile.ZipFile(tmp_path / "photos.pth", "w") as archive:
        archive.writestr("a.jpg", b"")
    assert "by neither PyTorch nor Keras" in refusal(tmp_path / "photos.pth")
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        archive.writestr("script/constants.pkl", b"")
        archive.writestr("script/data.pkl", b"")
    assert "is a TorchScript archive" in refusal(tmp_path / "script.pt")


@pytest.mark.parametrize("kind", ["zip", "old", "safetensors", "paddle", "keras", "h5"])
def test_a_file_truncated_anywhere_is_damaged(tmp_path, kind):
    path = tmp_path / "w"
    if kind in ("zip", "old"):
        torch = pytest.importorskip("torch", reason=WITH_TORCH)
        large = {"w": np.ones(3000, np.float32)}  # the names come first, then the values
        torch.save(as_torch(large), path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "safetensors":
        from safetensors.numpy import save_file

        save_file(TENSORS, path)
    elif kind == "paddle":
        path.write_bytes(pickle.dumps(TENSORS, 4))
    else:
        from mnext_tf import create_model

        model = create_model("mobilenet_v1", width=0.1, input_size=32, num_classes=3)
        saved = tmp_path / ("w.keras" if kind == "keras" else "w.weights.h5")
        model.save(saved) if kind == "keras" else model.save_weights(saved)
        saved.rename(path)
    whole = path.read_bytes()
    read_checkpoint(path)
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(whole[: int(len(whole) * share)])
        assert "truncated or damaged" in refusal(path)


def test_a_pickled_model_says_to_save_its_state_dict(tmp_path):
    torch = pytest.importorskip("torch", reason=WITH_TORCH)
    torch.save(torch.nn.Conv2d(1, 1, 1), tmp_path / "model.pth")
    text = refusal(tmp_path / "model.pth")
    assert "torch.nn.modules.conv.Conv2d" in text
    assert "torch.save(model.state_dict()" in text


def test_sparse_tensors_are_refused(tmp_path):
    torch = pytest.importorskip("torch", reason=WITH_TORCH)
    torch.save({"w": torch.eye(3).to_sparse()}, tmp_path / "w.pth")
    assert "w is sparse" in refusal(tmp_path / "w.pth")
