import json
import os
import shutil

import pytest

import mnext_tf
from mnext_tf.errors import ConfigError, ExportError, MnextError, VerificationError
from mnext_tf.files import read_json
from mnext_tf.runs import stages
from mnext_tf.runs.run import Run, open_run
from mnext_tf.runs.stages import CONTENT_MODULES, content_code, is_current, run_stage, stale_reason


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

    def stage(*, name="export", inputs=None, settings=None, build=build, **options):
        inputs = inputs or {"source": source}
        return run_stage(run, name, inputs=inputs, settings=settings or {"a": 1}, build=build, **options)

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


def test_other_versions_redo_it(stage, run, monkeypatch):
    stage()
    monkeypatch.setattr("mnext_tf.runs.stages.versions", lambda: {"tensorflow": "0.0"})
    assert not is_current(run, "export")
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


@pytest.fixture
def refused(stage, run):
    """`refused(error, **changes)`: a call of run_stage whose build writes a file and raises; the error."""

    def refused(error, **changes):
        def build(folder):
            (folder / "out.txt").write_text("bad")
            raise error

        with pytest.raises(type(error)) as raised:
            stage(build=build, force=True, **changes)
        return str(raised.value)

    return refused


@pytest.mark.parametrize("error", [ExportError("not full integer."), VerificationError("differs.")])
def test_a_failed_check_keeps_what_was_accepted_and_says_of_which_settings(stage, run, refused, error):
    first = str(error)
    accepted = stage(settings={"a": 1, "b": 2})
    text = refused(error, settings={"a": 3, "b": 2})
    assert text == (
        f"{first} {accepted.folder} still holds what was accepted on {accepted.manifest.created[:19]}, with a=1."
    )
    assert sorted(os.listdir(run.folder)) == ["config.json", "export"]
    assert (accepted.folder / "out.txt").read_text() == "first 1"
    assert stage(settings={"a": 1, "b": 2}).skipped


def test_a_failed_check_without_an_earlier_result_leaves_nothing(run, refused):
    assert refused(ExportError("no.")) == "no."
    assert os.listdir(run.folder) == ["config.json"]


def test_a_refused_result_is_kept_on_demand_until_another_passes(stage, run, refused):
    failed = run.folder / "export.failed"
    for error in ("first.", "second."):
        text = refused(ExportError(error), keep_failed=True)
        assert text == f"{error} What was refused is kept in {failed}."
        assert sorted(os.listdir(run.folder)) == ["config.json", "export.failed"]
        assert (failed / "out.txt").read_text() == "bad"
        assert read_json(failed / "failure.json")["error"] == error
    assert run.manifest("export") is None
    assert run.manifest("export.failed") is None
    stage()
    assert sorted(os.listdir(run.folder)) == ["config.json", "export"]


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
    assert manifest.settings == {"a": 1}
    assert manifest.inputs.keys() == {"source"}
    assert manifest.outputs.keys() == {"out.txt"}
    assert manifest.versions["mnext_tf"]


def test_a_damaged_manifest_is_an_error_that_says_what_to_do(stage, run):
    path = stage().folder / "manifest.json"
    path.write_text(path.read_text()[:40])
    with pytest.raises(
        MnextError, match=r"export/manifest\.json is damaged.*Delete that file; the stage then runs again"
    ):
        stage()


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


@pytest.fixture
def chain(stage, run):
    """Two stages, the second made from the output of the first."""

    def chain():
        first = stage(name="first")
        return stage(name="second", inputs={"out": first.folder / "out.txt"}, settings={"b": 1})

    return chain


def test_both_ways_to_ask_give_the_same_answer(stage, run, chain, monkeypatch):
    """`is_current` of a stage is whether `run_stage` skips it, whatever changes."""
    assert not is_current(run, "second")
    assert not chain().skipped
    assert is_current(run, "second")
    assert chain().skipped

    def assert_stale(reason):
        assert reason in stale_reason(run, "second")
        assert not chain().skipped
        assert is_current(run, "second")
        assert chain().skipped

    (run.folder / "second" / "out.txt").unlink()
    assert_stale("second/out.txt was changed or removed")
    (run.folder / "first" / "out.txt").write_text("something else")
    assert_stale("the input out of second has changed")
    with monkeypatch.context() as patch:
        patch.setattr(stages, "versions", lambda: {"tensorflow": "0.0"})
        assert_stale("second was made with tensorflow")
    assert_stale("second was made with tensorflow 0.0")
    monkeypatch.setattr(stages, "content_code", lambda: "other")
    assert_stale("made by another release")


def test_a_stage_is_stale_where_one_before_it_is(run, chain):
    """Though the file that it was made from is the same."""
    chain()
    (run.folder / "first" / "extra.txt").write_text("x")
    manifest = read_json(run.folder / "first" / "manifest.json")
    manifest["outputs"]["extra.txt"] = "0" * 64
    (run.folder / "first" / "manifest.json").write_text(json.dumps(manifest))
    assert stale_reason(run, "second") == "first/extra.txt was changed or removed"


def test_a_changed_configuration_makes_what_was_made_with_it_stale(run, stage, run_config):
    settings = {key: run.config.to_dict()[key] for key in ("model", "preprocess", "class_names", "verify_images")}
    stage(settings=settings | {"a": 1, "version": 1})
    assert is_current(run, "export")
    changed = Run(run.folder, run_config(class_names=("a", "c")))
    assert stale_reason(changed, "export") == "the setting class_names of export has changed"


def test_fields_that_an_earlier_release_did_not_write_make_nothing_stale(run, stage):
    model = run.config.model.to_dict()
    old = {k: v for k, v in model.items() if k not in ("version", "mean", "std")}
    stage(settings={"model": old})
    assert is_current(run, "export")
    assert stage(settings={"model": model}).skipped
    assert not stage(settings={"model": {**model, "mean": [1.0, 2.0, 3.0]}}).skipped


def test_only_modules_that_decide_an_export_make_it_stale(tmp_path, monkeypatch):
    copy = shutil.copytree(os.path.dirname(mnext_tf.__file__), tmp_path / "mnext_tf")
    for pattern in CONTENT_MODULES:
        assert list(copy.glob(pattern)), pattern
    monkeypatch.setattr("mnext_tf.runs.stages._LIBRARY", copy)

    def code():
        content_code.cache_clear()
        return content_code()

    before = code()
    (copy / "data" / "sources" / "tfds.py").write_text("# another reader\n")
    (copy / "report" / "report.py").write_text("# another report\n")
    assert code() == before
    (copy / "models" / "blocks.py").write_text("# another network\n")
    assert code() != before
    monkeypatch.undo()
    content_code.cache_clear()


def test_exports_of_version_0_1_are_current(repository, tmp_path):
    run = open_run(shutil.copytree(repository / "tests/fixtures/version_0_1/runs/trained", tmp_path / "run"))
    made_with = run.manifest("tflite_int8").versions
    if any(made_with[p] != v for p, v in stages.versions().items() if p not in ("python", "mnext_tf")):
        pytest.skip("they were made with other packages")
    assert is_current(run, "tflite_int8")
    assert run.manifest("tflite_int8").result["file"].endswith("_int8.tflite")


def test_a_manifest_that_names_itself_as_its_input_is_stale(run, chain):
    chain()
    path = run.folder / "first" / "manifest.json"
    manifest = read_json(path)
    manifest["input_files"], manifest["inputs"] = {"x": "second/out.txt"}, {}
    path.write_text(json.dumps(manifest))
    assert stale_reason(run, "second")
