"""Damaged files, and files that declare more than they contain: one message, before any memory is allocated."""

import contextlib
import json
import os
import re
import zipfile

import numpy as np
import pytest

from mnext_tf.checkpoints import limits, read_checkpoint
from mnext_tf.errors import CheckpointError


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert str(path) in str(error.value)
    return str(error.value)


def with_torch():
    return pytest.importorskip("torch", reason="needs PyTorch, the extra [torch]")


@pytest.mark.parametrize("new", [True, False])
def test_a_pytorch_file_cut_or_changed_anywhere_gives_no_traceback(tmp_path, new):
    torch, path = with_torch(), tmp_path / "w"
    torch.save({"w": torch.ones(40)}, path, _use_new_zipfile_serialization=new)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 1, 1 + len(whole) // 300):
        path.write_bytes(whole[:end])
        assert re.search("damaged|is empty|not a checkpoint in a supported", refusal(path))
    rng = np.random.default_rng(0)
    for _ in range(150):
        changed = bytearray(whole)
        changed[rng.integers(len(whole))] = rng.integers(256)
        path.write_bytes(changed)
        with contextlib.suppress(CheckpointError):  # any other error fails; a changed number is no damage
            read_checkpoint(path)


def test_a_zip_archive_of_an_unknown_version(tmp_path):
    with zipfile.ZipFile(tmp_path / "w", "w") as archive:
        archive.writestr("a/data.pkl", b"x")
    content = (tmp_path / "w").read_bytes()
    at = content.index(b"PK\x01\x02") + 6  # version needed to extract
    (tmp_path / "w").write_bytes(content[:at] + b"\xff" + content[at + 1 :])
    assert "damaged (NotImplementedError: zip file version 25.5)" in refusal(tmp_path / "w")


@pytest.mark.parametrize("config", ["[]", "null", "3", '{"config": {"layers": [1]}}', '{"config": null}', "{", ""])
def test_a_keras_configuration_of_another_form(tmp_path, config):
    import h5py

    with h5py.File(tmp_path / "model.weights.h5", "w") as file:
        file["layers/dense/vars/0"] = np.zeros(3)
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", config)
        archive.write(tmp_path / "model.weights.h5", "model.weights.h5")
    assert "is truncated or damaged" in refusal(tmp_path / "w.keras")


def test_keras_archives_whose_compressed_bytes_are_damaged(tmp_path):
    with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [{"name": str(i)} for i in range(50)]}}))
        archive.writestr("model.weights.h5", b"")
    content = bytearray((tmp_path / "w.keras").read_bytes())
    content[45:60] = b"\xff" * 15
    (tmp_path / "w.keras").write_bytes(content)
    assert "damaged (error: Error -3 while decompressing" in refusal(tmp_path / "w.keras")


@pytest.mark.parametrize("legacy", [True, False])
def test_hdf5_that_declares_64_tib(tmp_path, legacy):
    import h5py

    with h5py.File(tmp_path / "w.h5", "w") as file:
        name = "dense/kernel" if legacy else "layers/dense/vars/0"
        file.create_dataset(name, (1 << 44,), "f4", chunks=(1 << 16,))
        if legacy:
            file.attrs["layer_names"] = [b"dense"]
            file["dense"].attrs["weight_names"] = [b"kernel"]
    assert "declares 7.04e+04 GB or more; the limit is 4.3 GB" in refusal(tmp_path / "w.h5")


def test_the_limit_is_on_all_tensors_together(tmp_path, monkeypatch):
    import h5py

    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("dense/kernel", (1 << 10,), "f4", chunks=(1 << 10,))
        file.attrs["layer_names"] = [b"dense"]
        file["dense"].attrs["weight_names"] = [b"kernel"] * 5
    assert len(read_checkpoint(tmp_path / "w.h5").tensors) == 5
    monkeypatch.setattr(limits, "MAX_BYTES", 5 * 4096 - 1)
    assert "declares" in refusal(tmp_path / "w.h5")


def test_hdf5_that_points_to_another_file_or_holds_text(tmp_path):
    import h5py

    (tmp_path / "other").write_bytes(bytes(16))
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_dataset("layers/a/vars/0", (4,), "f4", external=[(str(tmp_path / "other"), 0, 16)])
    assert "is stored in another file" in refusal(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["layers/a/vars/0"] = ["text"]
    assert "not numbers" in refusal(tmp_path / "w.h5")


def test_archives_that_unpack_to_more_than_the_limit(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "w.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", bytes(1 << 20))
    assert (tmp_path / "w.keras").stat().st_size < 10_000
    monkeypatch.setattr(limits, "MAX_BYTES", 1 << 19)
    assert "declares 0.00105 GB or more" in refusal(tmp_path / "w.keras")


def test_a_pytorch_view_larger_than_the_limit(tmp_path):
    torch = with_torch()
    torch.save({"w": torch.zeros(1, dtype=torch.float16).expand(1 << 42)}, tmp_path / "w")
    assert "declares 8.8e+03 GB or more" in refusal(tmp_path / "w")


def test_pytorch_types_that_numpy_does_not_have(tmp_path):
    torch = with_torch()
    for dtype in (torch.float8_e4m3fn, torch.complex64):
        torch.save({"w": torch.zeros(3).to(dtype)}, tmp_path / "w")
        assert f"w contains {str(dtype)[6:]} values; use the float32 checkpoint" in refusal(tmp_path / "w")


def test_a_flipped_byte_in_a_zip_is_found_by_its_checksum(tmp_path):
    import zipfile

    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"the pickle")
        archive.writestr("archive/data/0", b"weights " * 100)
    data = bytearray(path.read_bytes())
    data[data.index(b"weights weights") + 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum of archive/data/0"):
        read_checkpoint(path)


def test_a_pipe_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    with pytest.raises(CheckpointError, match="not a regular file"):
        read_checkpoint(tmp_path / "pipe.pth")
