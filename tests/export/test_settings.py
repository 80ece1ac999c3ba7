"""What a user chose for an export is not asked for again."""

import pytest

from mnext_tf.errors import ConfigError, VerificationError
from mnext_tf.export import stages
from mnext_tf.export.settings import ExportSettings, remembered
from mnext_tf.runs.run import Run


@pytest.fixture
def run(exported, tmp_path) -> Run:
    """Without exports; its folder is empty."""
    return Run(tmp_path, exported.config)


def test_each_stage_remembers_its_own(run):
    assert remembered(run, "tflite_int8", ExportSettings()) == ExportSettings()
    assert not list(run.folder.iterdir())
    remembered(run, "tflite_int8", ExportSettings("Ada", calibration_count=50))
    assert remembered(run, "tflite_int8", ExportSettings(license="MIT")) == ExportSettings("Ada", "MIT", 50)
    assert remembered(run, "tflite_int8", ExportSettings("Bob")) == ExportSettings("Bob", "MIT", 50)
    assert remembered(run, "tflite_float32", ExportSettings()) == ExportSettings()


@pytest.mark.slow
def test_what_a_failed_check_was_given_holds_for_the_next_export(make_run, few_blocks, monkeypatch):
    run = make_run()

    def refuse(*_):
        raise VerificationError("it is another network")

    with monkeypatch.context() as patch:
        patch.setattr(stages, "verified_tflite", refuse)
        with pytest.raises(VerificationError):
            stages.tflite(run, "int8", author="Ada", license="MIT", calibration_count=9)
    assert run.manifest("tflite_int8") is None
    settings = stages.tflite(run, "int8").manifest.settings
    assert settings["about"] == {"author": "Ada", "license": "MIT"}
    assert settings["calibration_count"] == 9


def test_settings_of_version_0_1_count(repository, tmp_path):
    from mnext_tf.runs.run import open_run

    run = open_run(repository / "tests" / "fixtures" / "version_0_1" / "runs" / "trained")
    chosen = remembered(run, "tflite_int8", ExportSettings())
    assert (chosen.author, chosen.calibration_count) == (
        None,
        run.manifest("tflite_int8").settings["calibration_count"],
    )
    assert not (run.folder / "export.json").exists()


@pytest.mark.parametrize("text", ["{", "[]", '{"tflite_int8": 3}', '{"tflite_int8": {"calibration_count": 0}}'])
def test_a_damaged_file_is_named(run, text):
    (run.folder / "export.json").write_text(text)
    with pytest.raises(ConfigError, match=r"export\.json.*Delete it"):
        remembered(run, "tflite_int8", ExportSettings())
