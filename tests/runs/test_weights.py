import os

import pytest

from mnext_tf.errors import CheckpointError
from mnext_tf.files import sha256, write_json
from mnext_tf.runs.run import create_run
from mnext_tf.runs.weights import require_weights

RESULT = {"val_accuracy": 0.5, "history": [{"step": 1}]}


def test_unfinished_weights_name_the_command_that_goes_on(run):
    with pytest.raises(CheckpointError, match=rf"pipelines\.train --resume --run={run.folder}"):
        require_weights(run)
    run.weights.parent.mkdir()
    run.weights.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match="no finished weights"):  # no manifest: they may be half-written
        require_weights(run)
    write_json(run.folder / "train" / "manifest.json", {"result": RESULT})
    assert require_weights(run) == run.weights


@pytest.fixture
def finished(run):
    run.weights.parent.mkdir()
    run.weights.write_bytes(b"weights")
    outputs = {run.weights.name: sha256(run.weights)}
    write_json(run.weights.parent / "manifest.json", {"result": RESULT, "outputs": outputs, "created": "2026-01-02"})
    return run


@pytest.mark.parametrize("data", [b"weight$", b"other weights"])
def test_weights_that_were_replaced_are_refused_until_they_are_put_back(finished, data):
    assert require_weights(finished) == finished.weights
    finished.weights.write_bytes(data)
    with pytest.raises(CheckpointError) as error:
        require_weights(finished)
    text = str(error.value)
    assert "have changed since 2026-01-02" in text
    assert sha256(finished.weights)[:12] in text
    assert "Put the original file back" in text
    assert f"python -m pipelines.train --resume --run={finished.folder}" in text
    finished.weights.write_bytes(b"weights")
    assert require_weights(finished) == finished.weights


def test_unchanged_weights_are_hashed_once(finished, monkeypatch):
    os.utime(finished.weights, (1, 1))
    monkeypatch.setattr("mnext_tf.files.time.time", lambda: 1e11)
    hashed = []
    monkeypatch.setattr("mnext_tf.files.sha256", lambda path: hashed.append(path) or sha256(path))
    for _ in range(3):
        require_weights(finished)
    assert hashed == [finished.weights]


@pytest.mark.parametrize(
    ("init", "command"), [("imported", "pipelines.import_checkpoint"), ("random", "export_tflite --init=random")]
)
def test_weights_from_elsewhere_name_the_command_that_makes_them(tmp_path, run_config, init, command):
    run = create_run(tmp_path / "r", run_config(init=init))
    with pytest.raises(CheckpointError, match=command):
        require_weights(run)
