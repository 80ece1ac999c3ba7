"""Runs that version 0.1 wrote are opened, and resumed as it would have resumed them."""

import shutil

import pytest

from mnext_tf.data import open_dataset
from mnext_tf.files import read_json
from mnext_tf.runs.run import list_runs, open_run
from mnext_tf.runs.weights import require_weights


@pytest.fixture
def folder(repository):
    return repository / "tests" / "fixtures" / "version_0_1"


def test_every_run_is_opened(folder, log_lines):
    runs = {run.name: run for run in list_runs(folder / "runs")}
    assert runs.keys() == {"trained", "interrupted", "imported", "mobilenet_v1_0.05_32_10classes"}
    assert log_lines == []
    assert [name for name, run in runs.items() if not run.finished] == ["interrupted"]
    for name in ("trained", "imported", "mobilenet_v1_0.05_32_10classes"):
        assert require_weights(runs[name]).is_file()
    assert runs["trained"].config.recipe.warmup_epochs == 1
    assert runs["imported"].config.source.notes == tuple(
        read_json(folder / "runs" / "imported" / "config.json")["source"]["notes"]
    )


@pytest.mark.slow
def test_an_interrupted_run_is_resumed_to_the_same_end(folder, tmp_path):
    from mnext_tf.training.loop import train

    expected = read_json(folder / "interrupted_resumed.json")
    run = open_run(shutil.copytree(folder / "runs" / "interrupted", tmp_path / "run"))
    trained = train(run, open_dataset(None, tmp_path / "data"), progress=False)
    assert trained.resumed_from_step == expected["resumed_from_step"]
    for row, golden in zip(trained.history, expected["history"], strict=True):
        assert {name: row[name] for name in golden} == pytest.approx(golden, abs=2e-3)
