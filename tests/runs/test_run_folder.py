import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.files import write_json
from mnext_tf.runs.run import create_run, latest_run, list_runs, open_run


def test_a_run_is_opened_as_it_was_created(run):
    opened = open_run(run.folder)
    assert opened == run
    assert opened.config.created
    assert "numpy" in opened.config.versions
    assert opened.weights == run.folder / "train" / "model.weights.h5"


def test_random_weights_have_a_folder_of_their_own(tmp_path, run_config):
    run = create_run(tmp_path / "r", run_config(init="random"))
    assert not run.trained
    assert run.weights == tmp_path / "r" / "init" / "model.weights.h5"


def test_no_folder_and_no_run_are_told_apart(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere does not exist.*pipelines\.train"):
        open_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"empty is not a run folder \(it has no config\.json\).*pipelines\.train"):
        open_run(tmp_path / "empty")


@pytest.mark.parametrize("text", ["", '{"model": ', "[]", '{"name": "of another program"}'])
def test_a_damaged_or_foreign_configuration_is_named(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.json"):
        open_run(tmp_path)


def test_the_latest_trained_run_is_taken(tmp_path, run_config):
    for name, created, init in (
        ("b", "2026-01-03", "trained"),
        ("a", "2026-01-04", "trained"),
        ("deep/c", "2026-01-01", "trained"),
        ("untrained/d", "2026-01-05", "random"),
    ):
        write_json(tmp_path / name / "config.json", run_config(init=init, created=created).to_dict())
    assert [run.name for run in list_runs(tmp_path)] == ["c", "b", "a", "d"]
    assert latest_run(tmp_path).name == "a"


def test_without_a_run_the_error_names_the_command(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match=r"python -m pipelines\.train --model=mnext.*--run=PATH.*--init=random"):
            latest_run(root)


def test_a_configuration_that_lacks_something_is_named(run):
    write_json(run.folder / "config.json", {"init": "trained"})
    with pytest.raises(ConfigError, match=r"config\.json: RunConfig lacks model"):
        open_run(run.folder)
