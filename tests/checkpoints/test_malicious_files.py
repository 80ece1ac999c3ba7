"""Pickles that want to run a command: nothing is run, and the error says what it would have been."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from mnext_tf.checkpoints import read_checkpoint
from mnext_tf.errors import CheckpointError


class Runs:
    """Unpickled, it calls `function(*arguments)`."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def attacks(mark):
    return {
        "os.system": Runs(os.system, f"touch {mark}"),
        "eval": Runs(eval, f"open({str(mark)!r}, 'w')"),
        "exec": Runs(exec, f"open({str(mark)!r}, 'w')"),
        "open": Runs(open, str(mark), "w"),
    }


@pytest.fixture
def mark(tmp_path):
    """A file that the attacks make; it must never be there."""
    path = tmp_path / "was-run"
    yield path
    assert not path.exists()


def refusal(path) -> str:
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    assert "wants to run code" in str(error.value)
    assert "Nothing was run" in str(error.value)
    return str(error.value)


ATTACKS = ["os.system", "eval", "exec", "open"]
CALLED = {"os.system": "posix.system", "eval": "eval", "exec": "exec", "open": "io.open"}


def test_the_attacks_work_where_pickles_are_trusted(tmp_path):
    for name, attack in attacks(tmp_path / "made").items():
        pickle.loads(pickle.dumps(attack, 2))
        assert (tmp_path / "made").exists(), name
        (tmp_path / "made").unlink()


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("protocol", [2, 4])
def test_paddle(tmp_path, mark, attack, protocol):
    content = {"features.0.0.weight": np.zeros(3, np.float32), "bad": attacks(mark)[attack]}
    (tmp_path / "w.pdparams").write_bytes(pickle.dumps(content, protocol))
    assert CALLED[attack] in refusal(tmp_path / "w.pdparams")


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("new", [True, False])
def test_pytorch(tmp_path, mark, attack, new):
    torch = pytest.importorskip("torch", reason="needs PyTorch, the extra [torch]")
    content = {"state_dict": {"w": torch.zeros(3)}, "args": attacks(mark)[attack]}
    torch.save(content, tmp_path / "model_best.pth.tar", _use_new_zipfile_serialization=new)
    assert CALLED[attack] in refusal(tmp_path / "model_best.pth.tar")


def test_a_bare_pickle_called_pth(tmp_path, mark):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(attacks(mark)["os.system"], 2))
    assert "posix.system" in refusal(tmp_path / "w.pth")


@pytest.mark.parametrize("name", ["importlib.import_module", "operator.attrgetter", "numpy.load", "builtins.getattr"])
def test_harmless_looking_helpers_are_refused_too(tmp_path, name):
    module, _, function = name.rpartition(".")
    (tmp_path / "w").write_bytes(b"\x80\x02c" + f"{module}\n{function}\n(X\x02\x00\x00\x00ostR.".encode())
    assert name in refusal(tmp_path / "w")


def test_a_dotted_name_does_not_reach_through_an_allowed_module(tmp_path):
    stream = io.BytesIO()
    stream.write(b"\x80\x04\x8c\x05numpy\x8c\x11ndarray.__class__\x93.")
    (tmp_path / "w").write_bytes(stream.getvalue())
    assert "numpy.ndarray.__class__" in refusal(tmp_path / "w")


def test_codecs_other_than_latin1_are_not_looked_up(tmp_path):
    (tmp_path / "w").write_bytes(b"\x80\x02c_codecs\nencode\nX\x01\x00\x00\x00aX\x05\x00\x00\x00rot13\x86R.")
    assert "_codecs.encode with 'rot13'" in refusal(tmp_path / "w")


def test_an_array_of_more_than_all_memory_is_damage(tmp_path):
    array = pickle.dumps({"w": np.zeros((1, 3), np.float32)}, 2)
    reconstruct = np.zeros(1).__reduce__()[0]
    huge = pickle.dumps({"w": Runs(reconstruct, np.ndarray, (1 << 60,), b"b")}, 2)
    assert array != huge
    (tmp_path / "w").write_bytes(huge)
    with pytest.raises(CheckpointError, match=r"more memory|damaged"):
        read_checkpoint(tmp_path / "w")


def test_a_keras_file_with_code_in_its_configuration_is_read_without_it(tmp_path, mark):
    import json

    from mnext_tf import create_model

    model = create_model("mobilenet_v1", width=0.1, input_size=32, num_classes=3)
    model.save_weights(tmp_path / "model.weights.h5")
    code = {"class_name": "Lambda", "config": {"function": f"open({str(mark)!r}, 'w')"}}
    with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
        archive.writestr("config.json", json.dumps({"config": {"layers": [code]}}))
        archive.write(tmp_path / "model.weights.h5", "model.weights.h5")
    assert "logits/0" in read_checkpoint(tmp_path / "w.keras").tensors
