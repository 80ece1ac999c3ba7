"""Malicious files: nothing is executed or changed, and the error names the attempt."""

import collections
import io
import os
import pickle
import zipfile

import numpy as np
import pytest

from mnext_tf.checkpoints import read_checkpoint
from mnext_tf.checkpoints.restricted_unpickler import SAFE_TYPES
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
    assert "tries to execute code" in str(error.value)
    assert "Nothing was executed" in str(error.value)
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
def test_safe_globals_looking_helpers_are_refused_too(tmp_path, name):
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


class Built:
    """Unpickled, it is `function(*arguments)` with its state set."""

    def __init__(self, function, arguments, state):
        self.parts = function, arguments, state

    def __reduce__(self):
        return self.parts


RECONSTRUCT = np.zeros(1).__reduce__()[0]
PLAIN = (3, "<", None, None, None, -1, -1, 0)


def dtype(kind="f4", state=PLAIN):
    return Built(np.dtype, (kind, False, True), state)


def array(shape=(3,), kind="f4", state=PLAIN, data=bytes(12)):
    return Built(RECONSTRUCT, (np.ndarray, (0,), b"b"), (1, shape, dtype(kind, state), False, data))


def damaged(path, content, protocol=4) -> str:
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol))
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(path)
    return str(error.value)


def test_an_array_built_by_hand_is_read_when_it_is_honest(tmp_path):
    (tmp_path / "w").write_bytes(pickle.dumps({"w": array(data=np.arange(3, dtype="<f4").tobytes())}, 4))
    np.testing.assert_array_equal(read_checkpoint(tmp_path / "w").tensors["w"], np.arange(3, dtype=np.float32))


@pytest.mark.parametrize(
    ("crafted", "said"),
    [
        (Runs(RECONSTRUCT, np.ndarray, (1 << 60,), b"b"), "damaged"),
        (array((1 << 60,)), "has 12 bytes"),
        (array((1 << 62, 1 << 62, 4)), "has 12 bytes"),
        (array((2,)), "has 12 bytes"),
        (array((-3,)), "shape (-3,)"),
        (array((True, 3)), "shape (True, 3)"),
        (array(data=[1, 2, 3]), "damaged"),
        (array(kind="f3"), "dtype 'f3'"),
        (array(kind="V4"), "dtype 'V4'"),
        (array(kind="O8", data=[None] * 3), "Python objects"),
        (array(kind="f4,f4"), "dtype 'f4,f4'"),
        (array(kind=[("a", "O")]), "dtype"),
        *((array(state=(*PLAIN[:7], flags)), "the dtype of an array has a state") for flags in (1, 2, 63, 1 << 70)),
        (array(kind="V8", state=(3, "|", None, None, None, 8, 1, 1)), "dtype 'V8'"),
        (array(state=(3, "<", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 0)), "damaged"),
        (array(state=(4, "<", None, None, None, -1, -1, 0, {})), "the dtype of an array has a state"),
        (array(state=(3, "O", None, None, None, -1, -1, 0)), "the dtype of an array has a state"),
        ({"deep": [1], "deeper": {"w": array((2,))}}, "w: an array of shape (2,)"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_arrays_that_lie_about_themselves(tmp_path, crafted, said, protocol):
    text = damaged(tmp_path / "w", {"v": np.zeros(3, np.float32), "w": crafted}, protocol)
    assert said in text or (said == "damaged" and "Python objects" in text)


NAMES = sorted([*SAFE_TYPES, "collections.OrderedDict"])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("slots", [True, False])
def test_no_shared_function_or_class_can_be_changed(tmp_path, name, slots):
    shared = [RECONSTRUCT, np.zeros(1).__reduce_ex__(5)[0], np.ndarray, np.dtype, collections.OrderedDict, dict]
    shared += SAFE_TYPES.values()

    def look():
        return [(getattr(thing, "__defaults__", None), dict(getattr(thing, "__dict__", {}))) for thing in shared]

    before = look()
    module, _, attribute = name.rpartition(".")
    for key in ("__defaults__", "__doc__", "array", "new"):
        state = pickle.dumps((None, {key: (1,)}) if slots else {key: (1,)}, 2)[2:-1]  # without its head and stop
        text = damaged(tmp_path / "w", f"\x80\x02c{module}\n{attribute}\n".encode("latin1") + state + b"b.")
        assert "damaged" in text
        assert look() == before


def test_arrays_are_found_at_any_depth_and_a_mapping_in_many_places_costs_nothing(tmp_path):
    from mnext_tf.checkpoints.file_formats import read_paddle

    wide = {"w": np.ones(2, np.float32)}
    for _ in range(100):
        wide = {"a": wide, "b": wide}
    content = {"state_dict": collections.OrderedDict(w=np.zeros(2, np.float32)), "wide": wide}
    (tmp_path / "w").write_bytes(pickle.dumps(content, 4))
    found = read_paddle(tmp_path / "w")
    np.testing.assert_array_equal(found["state_dict"]["w"], np.zeros(2))
    wide = found["wide"]
    for _ in range(100):
        wide = wide["b"]
    np.testing.assert_array_equal(wide["w"], np.ones(2))


def test_transposed_arrays_and_numbers_of_protocol_5(tmp_path):
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    content = {"a": values.transpose(1, 0, 2), "b": values.T, "c": values[:0], "d": values.astype(">f4")}
    (tmp_path / "w").write_bytes(pickle.dumps({**content, "best": np.float64(74.02)}, 5))
    tensors = read_checkpoint(tmp_path / "w").tensors
    assert list(tensors) == list(content)
    for name, expected in content.items():
        np.testing.assert_array_equal(tensors[name], expected)


def test_an_object_of_a_giant_number_allocates_no_table(tmp_path):
    assert "it numbers an object 4000000000" in damaged(
        tmp_path / "w", b"\x80\x02}r" + (4 * 10**9).to_bytes(4, "little") + b"."
    )


@pytest.mark.parametrize("new", [True, False])
@pytest.mark.parametrize("flags", [1, 63])
def test_pytorch_gets_no_dtype_of_numpy_either(tmp_path, new, flags):
    torch = pytest.importorskip("torch", reason="needs PyTorch, the extra [torch]")
    from mnext_tf.checkpoints.torch_files import _safe_globals

    handed_out = [entry[0] if isinstance(entry, tuple) else entry for entry in _safe_globals()]
    assert not [thing for thing in handed_out if (thing.__module__ or "numpy").startswith("numpy")]

    scalar = np.float64(0).__reduce__()[0]
    for bad in (
        Runs(scalar, dtype("f8", (*PLAIN[:7], flags)), bytes(8)),
        Runs(scalar, dtype("V8", (3, "|", None, None, None, 8, 1, flags)), bytes(8)),
        Runs(scalar, dtype("O8", (3, "|", None, None, None, -1, -1, 63)), [1]),
        array(state=(*PLAIN[:7], flags)),
    ):
        torch.save(
            {"state_dict": {"w": torch.zeros(3)}, "metric": bad},
            tmp_path / "w",
            _use_new_zipfile_serialization=new,
        )
        with pytest.raises(CheckpointError, match=r"damaged|contains an array of"):
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


@pytest.mark.parametrize("linked", ["layers", "layers/a", "layers/a/vars", "layers/a/vars/0", "model_weights", "dense"])
@pytest.mark.parametrize("kind", ["external", "soft"])
@pytest.mark.parametrize("archived", [False, True])
def test_hdf5_links_to_another_file_are_refused_before_it_is_opened(tmp_path, linked, kind, archived):
    import h5py

    other = tmp_path / "other"
    os.mkfifo(other)  # to open it would block
    path = tmp_path / "model.weights.h5"
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [b"dense"] if linked == "dense" else []
        if linked.startswith("layers"):
            del file.attrs["layer_names"]
        file[linked] = h5py.ExternalLink(str(other), "/layers")
        if kind == "soft":
            file.move(linked, "elsewhere")
            file[linked] = h5py.SoftLink("/elsewhere/a")
    if archived:
        with zipfile.ZipFile(tmp_path / "w.keras", "w") as archive:
            archive.writestr("config.json", "{}")
            archive.write(path, "model.weights.h5")
        path = tmp_path / "w.keras"
    with pytest.raises(CheckpointError, match="is a link that can lead to another file"):
        read_checkpoint(path)


def test_what_an_hdf5_link_points_to_is_not_read(tmp_path):
    """The other file is a valid checkpoint: its weights would be taken if the link were followed."""
    import h5py

    with h5py.File(tmp_path / "private", "w") as file:
        file["layers/a/vars/0"] = np.ones(3)
    with h5py.File(tmp_path / "w.weights.h5", "w") as file:
        file["layers"] = h5py.ExternalLink(str(tmp_path / "private"), "/layers")
    with pytest.raises(CheckpointError, match="layers is a link"):
        read_checkpoint(tmp_path / "w.weights.h5")
