import numpy as np
import pytest

from mnext_tf.errors import CheckpointError
from mnext_tf.training.checkpoint import list_checkpoints, load_checkpoint, load_latest_checkpoint, save_checkpoint

VARIABLES = {
    "model/0000/stem/kernel": np.arange(12, dtype=np.float32).reshape(3, 4),
    "model/0001/seed": np.array([1, 2], np.uint32),
    "optimizer/0000/iteration": np.array(5, np.int64),
}


def save(folder, step):
    state = {"step": step, "history": [{"val_loss": 0.1}], "totals": [0.30000000000000004, 2.0]}
    return save_checkpoint(folder, step, {n: v + v.dtype.type(step) for n, v in VARIABLES.items()}, state)


def test_what_was_saved_is_loaded(tmp_path):
    variables, state = load_checkpoint(save(tmp_path, 3))
    assert state == {"step": 3, "history": [{"val_loss": 0.1}], "totals": [0.30000000000000004, 2.0]}
    assert variables.keys() == VARIABLES.keys()
    for name, value in VARIABLES.items():
        assert variables[name].dtype == value.dtype
        np.testing.assert_array_equal(variables[name], value + value.dtype.type(3))


def test_the_newest_two_are_kept(tmp_path):
    for step in (8, 9, 10, 100):
        save(tmp_path, step)
    assert [p.name for p in list_checkpoints(tmp_path)] == ["step_00000010.npz", "step_00000100.npz"]
    assert len(list(tmp_path.iterdir())) == 2
    assert load_latest_checkpoint(tmp_path)[1]["step"] == 100


def test_none_at_all_is_a_fresh_start(tmp_path):
    assert load_latest_checkpoint(tmp_path / "nowhere") is None


@pytest.mark.parametrize("damage", ["empty", "cut short", "one byte", "other bytes"])
def test_a_damaged_newest_one_is_passed_over_with_a_message(tmp_path, damage, log_lines):
    save(tmp_path, 1)
    path = save(tmp_path, 2)
    data = bytearray(path.read_bytes())
    data[data.index(b"\x93NUMPY") + 140] ^= 0x10  # in the first array, which only its CRC protects
    path.write_bytes({"empty": b"", "cut short": data[:-30], "one byte": data, "other bytes": b"not a zip"}[damage])
    variables, state = load_latest_checkpoint(tmp_path)
    assert state["step"] == 1
    np.testing.assert_array_equal(variables["model/0001/seed"], [2, 3])
    assert len(log_lines) == 1
    assert "step_00000002.npz is damaged" in log_lines[0]
    assert "Resuming from step_00000001.npz" in log_lines[0]


def test_all_damaged_is_an_error_that_names_them(tmp_path):
    for step in (1, 2):
        save(tmp_path, step).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step_00000002\.npz.*step_00000001\.npz.*Delete that folder") as error:
        load_latest_checkpoint(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_wherever_a_byte_is_flipped_only_a_checkpoint_error_is_raised(tmp_path):
    path = save(tmp_path, 1)
    expected, state = load_checkpoint(path)
    data = path.read_bytes()
    refused = 0
    for position in range(0, len(data)):
        path.write_bytes(data[:position] + bytes([data[position] ^ 0xFF]) + data[position + 1 :])
        try:
            variables, found = load_checkpoint(path)
        except CheckpointError:
            refused += 1
            continue
        assert found == state  # where it loads, what it holds is right
        assert all(np.array_equal(v, expected[n]) for n, v in variables.items() if n in expected)
    assert refused > len(data) / 2
