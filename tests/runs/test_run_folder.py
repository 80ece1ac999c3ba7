import os

import pytest

from mnext_tf.errors import CheckpointError, ConfigError, ExportError, MnextError, VerificationError
from mnext_tf.files import write_json
from mnext_tf.runs.run import create_run, latest_run, list_runs, open_run
from mnext_tf.runs.stages import run_stage
from mnext_tf.runs.weights import require_weights


@pytest.fixture
def run(tmp_path, run_config):
    return create_run(tmp_path / "runs" / "one", run_config())


@pytest.fixture
def stage(run, tmp_path):
    """`stage(**changes)`: one call of run_stage; counts how often it built."""
    source = tmp_path / "input.txt"
    source.write_text("first")
    built = []

    def build(folder):
        built.append(len(built) + 1)
        (folder / "out.txt").write_text(f"{source.read_text()} {len(built)}")
        return {"times": len(built)}

    def stage(*, name="export", inputs=None, settings=None, build=build, force=False):
        inputs = inputs or {"source": source}
        return run_stage(run, name, inputs=inputs, settings=settings or {"a": 1}, build=build, force=force)

    stage.source = source
    return stage


def test_an_unchanged_stage_is_skipped(stage, run, log_lines):
    first = stage()
    said = log_lines
    said.clear()
    second = stage()
    assert (first.skipped, second.skipped) == (False, True)
    assert first.result == second.result == {"times": 1}
    assert first.folder == run.folder / "export"
    assert (first.folder / "out.txt").read_text() == "first 1"
    assert len(said) == 1
    assert "unchanged" in said[0]


def test_a_changed_input_redoes_it(stage):
    stage()
    stage.source.write_text("second")
    again = stage()
    assert (again.skipped, again.result) == (False, {"times": 2})
    assert (again.folder / "out.txt").read_text() == "second 2"


def test_an_input_with_the_same_content_elsewhere_does_not(stage, tmp_path):
    stage()
    (tmp_path / "copy.txt").write_text("first")
    assert stage(inputs={"source": tmp_path / "copy.txt"}).skipped


def test_changed_settings_redo_it_and_the_first_ones_again(stage):
    stage(settings={"a": 1})
    assert not stage(settings={"a": 2}).skipped
    assert not stage(settings={"a": 1}).skipped
    assert stage(settings={"a": 1}).skipped


def test_other_versions_redo_it(stage, monkeypatch):
    stage()
    monkeypatch.setattr("mnext_tf.runs.stages.versions", lambda: {"tensorflow": "0.0"})
    assert not stage().skipped


def test_force_redoes_it(stage):
    stage()
    assert stage(force=True).result == {"times": 2}


@pytest.mark.parametrize("damage", ["changed", "removed"])
def test_a_damaged_output_redoes_it(stage, damage):
    out = stage().folder / "out.txt"
    if damage == "changed":
        out.write_text("first 1 and more")
    else:
        out.unlink()
    assert not stage().skipped
    assert out.read_text() == "first 2"


def test_what_a_redone_stage_no_longer_makes_is_gone(stage):
    folder = stage().folder

    def build(folder):
        (folder / "other.txt").write_text("x")
        return {}

    stage(build=build, force=True)
    assert sorted(os.listdir(folder)) == ["manifest.json", "other.txt"]


@pytest.mark.parametrize("error", [ExportError("not full integer"), VerificationError("differs")])
def test_a_failed_check_also_removes_the_old_folder(stage, run, error):
    stage()

    def build(folder):
        (folder / "out.txt").write_text("bad")
        raise error

    with pytest.raises(type(error)):
        stage(build=build, force=True)
    assert sorted(os.listdir(run.folder)) == ["config.json"]
    assert run.manifest("export") is None


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt(), ConfigError("no")])
def test_any_other_error_keeps_the_old_folder(stage, run, error):
    folder = stage().folder

    def build(folder):
        (folder / "out.txt").write_text("half")
        raise error

    with pytest.raises(type(error)):
        stage(build=build, force=True)
    assert sorted(os.listdir(run.folder)) == ["config.json", "export"]
    assert (folder / "out.txt").read_text() == "first 1"
    assert stage().skipped


def test_the_manifest_says_what_went_in_and_came_out(stage):
    manifest = stage().manifest
    assert manifest["settings"] == {"a": 1}
    assert manifest["inputs"].keys() == {"source"}
    assert manifest["outputs"].keys() == {"out.txt"}
    assert manifest["versions"]["mnext_tf"]


def test_a_damaged_manifest_is_an_error_that_says_what_to_do(stage, run):
    path = stage().folder / "manifest.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(
        MnextError, match=r"export/manifest\.json is damaged.*Delete that file; the stage then runs again"
    ):
        stage()


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


def test_unfinished_weights_name_the_command_that_goes_on(run):
    with pytest.raises(CheckpointError, match=rf"pipelines\.train --resume --run={run.folder}"):
        require_weights(run)
    run.weights.parent.mkdir()
    run.weights.write_bytes(b"weights")
    with pytest.raises(CheckpointError, match="no finished weights"):  # no manifest: they may be half-written
        require_weights(run)
    write_json(run.folder / "train" / "manifest.json", {"result": {}})
    assert require_weights(run) == run.weights


def test_a_manifest_without_a_result_is_damaged(stage, run):
    stage()
    for text in ("{}", "[]"):
        (run.folder / "export" / "manifest.json").write_text(text)
        with pytest.raises(
            MnextError, match=r"manifest\.json is damaged .*Delete that file; the stage then runs again"
        ):
            stage()
    (run.folder / "export" / "manifest.json").unlink()
    assert not stage().skipped


def test_a_configuration_that_lacks_something_is_named(run):
    write_json(run.folder / "config.json", {"init": "trained"})
    with pytest.raises(ConfigError, match=r"config\.json: RunConfig lacks model"):
        open_run(run.folder)
