"""The commands as a user meets them: help, wrong flags, contradictions and a disk that refuses."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mnext_tf import list_models
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.summary import count_parameters
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import start_run

COMMANDS = sorted(p.stem for p in (Path(__file__).parents[2] / "pipelines").glob("[!_]*.py"))
HEAVY = {"tensorflow", "keras", "sklearn", "matplotlib", "PIL"}
SECONDS = 3.0  # promised is 1; the rest is for a busy machine

NEEDS = {  # flags that a user reads about elsewhere
    "benchmark": ("models", "input_size", "quantize", "threads", "out"),
    "evaluate": ("run", "exports", "tflite", "saved_model", "frozen", "data_dir", "dataset", "out"),
    "export_saved_model": ("run", "init"),
    "export_tflite": ("run", "init", "model", "quantize", "io_type", "output", "android", "license", "min_agreement"),
    "freeze": ("run", "init"),
    "import_checkpoint": ("checkpoint", "model", "out", "data_dir", "drop_background"),
    "predict": ("images", "run", "tflite", "top", "csv", "annotate"),
    "prepare_data": ("data_dir", "out", "workers"),
    "quantization_report": ("run", "stage", "data_dir", "images", "max_images", "out"),
    "report": ("run", "benchmark", "out"),
    "run": ("models", "epochs", "data_dir", "out"),
    "serve": ("run", "tflite", "host", "port", "https", "out", "sessions"),
    "summary": ("models", "widths", "layers"),
    "train": ("model", "data_dir", "epochs", "batch_size", "learning_rate", "width", "input_size", "init", "resume"),
    "verify": ("run", "max_accuracy_drop", "min_agreement"),
}


@pytest.fixture
def command(python):
    """`command("train", "--epochs=0")`: the finished process, which took less than SECONDS."""

    def command(name, *flags, within=SECONDS):
        start = time.monotonic()
        finished = python("-m", f"pipelines.{name}", *flags)
        assert time.monotonic() - start < within
        return finished

    return command


def error_of(finished, code: int) -> str:
    """The text of standard error, which must be one message and no traceback."""
    assert finished.returncode == code, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.startswith("error: ")
    assert finished.stdout == ""
    return finished.stderr.removeprefix("error: ").strip()


def test_every_command_is_known_to_these_tests():
    assert sorted(NEEDS) == COMMANDS


@pytest.mark.parametrize("name", COMMANDS)
def test_help_answers_at_once_without_tensorflow(name, python):
    start = time.monotonic()
    finished = python("-X", "importtime", "-m", f"pipelines.{name}", "--help")
    assert time.monotonic() - start < SECONDS
    assert finished.returncode == 0
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in finished.stderr.splitlines()}
    assert "absl" in imported
    assert imported & HEAVY == set()
    assert finished.stdout.startswith(f"python -m pipelines.{name}: ")
    for flag in NEEDS[name]:
        assert f"\n  --{flag}: " in finished.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_flag_names_what_is_allowed(name, command):
    flag = NEEDS[name][0]
    text = error_of(command(name, f"--{flag}x=1"), 2)
    assert f"{flag}x" in text
    assert f"Flags of python -m pipelines.{name}: " in text
    assert all(f"--{f}" in text for f in NEEDS[name])
    assert f"python -m pipelines.{name} --help" in text


@pytest.mark.parametrize("name", ["export_saved_model", "export_tflite", "freeze", "train", "verify"])
def test_a_wrong_model_names_what_is_allowed(name, command):
    text = error_of(command(name, "--model=mobilenetv2"), 2)
    assert "mobilenetv2" in text
    assert all(model in text for model in list_models())


@pytest.mark.parametrize("name", ["benchmark", "run", "summary"])
def test_a_wrong_model_in_a_list_names_what_is_allowed(name, command):
    finished = command(name, "--models=mnext,mobilenetv2")
    text = error_of(finished, finished.returncode)
    assert finished.returncode in (1, 2)
    assert "mobilenetv2" in text
    assert all(model in text for model in list_models())


def test_a_word_that_is_no_flag_is_refused(command):
    assert "unexpected argument 'mnext'" in error_of(command("train", "mnext"), 2)


@pytest.mark.parametrize(
    ("name", "flags", "text"),
    [
        ("train", "--epochs=0", "epochs must be at least 1; received 0"),
        ("train", "--epochs=5 --warmup_epochs=3 --cooldown_epochs=2", "must leave some of the 5 epochs"),
        ("train", "--momentum=0", "nesterov needs a momentum above 0"),
        ("train", "--final_learning_rate=1", "must not be above learning_rate"),
        ("train", "--width=-1", "width must be above 0"),
        ("train", "--run=runs/a", "needs --resume"),
        ("train", f"--resume --run={__file__}", "is a file, not a run folder"),
        ("train", "--resume --out=runs/a", "leave out --out"),
        ("train", "--resume --run=/nowhere/run", "/nowhere/run does not exist"),
        ("train", "--model=mobilenet_v2 --identity_tensor_multiplier=0.5", "only mnext has one"),
        ("train", "--convention=tensorflow", "convention=tensorflow does not fit model 'mnext': only mobilenet_v2"),
        ("train", "--resume --init=runs/a", "leave out --init"),
        ("train", "--init=/nowhere/run", "/nowhere/run does not exist"),
        ("evaluate", "--tflite=a.tflite", "--data_dir is needed"),
        ("evaluate", "--tflite=a.tflite --data_dir=x --exports", "--exports adds what the runs"),
        ("evaluate", "--data_dir=x --dataset=tfds:y", "give one of the two"),
        ("evaluate", "--runs_root=/nowhere", "No trained run under /nowhere/"),
        ("evaluate", "--tflite=/nowhere/a.tflite --data_dir=x", "/nowhere/a.tflite does not exist"),
        ("predict", "--tflite=a.tflite", "--images is needed"),
        ("predict", "--tflite=a.tflite --images=/nowhere/a.jpg", "/nowhere/a.jpg does not exist"),
        ("run", "--epochs=0", "epochs must be at least 1; received 0"),
        ("summary", "--widths=1,x", "--widths takes comma-separated numbers"),
        ("summary", "--widths=0", "width must be above 0"),
        ("summary", "--priors=voc --models=mnext_s", "must be one of mnext, mobilenet_v2, mobilenet_v1"),
        ("run", "--recipe=scenes --mixup=0.2", "mixup=0.2 is for classifiers"),
        ("train", "--task=detection --qat", "qat is for classifiers"),
        ("train", "--task=detection --model=mnext_s", "must be one of mnext, mobilenet_v2, mobilenet_v1"),
        ("export_tflite", "--io_type=uint8", "--io_type=uint8 needs --quantize=int8"),
        ("export_tflite", "--assets=x", "--assets names the folder of --android"),
        ("export_tflite", "--calibration_images=0 --quantize=int8", "--calibration_images must be at least 1"),
        ("export_tflite", "--calibration_data=x", "--calibration_data needs --quantize=int8 or int16x8"),
        ("export_tflite", "--auto_keep_float=3", "--keep_float and --auto_keep_float need --quantize=int8"),
        ("export_tflite", "--min_agreement=2", "min_agreement must be at least 0 and at most 1"),
        ("export_tflite", "--width=0.5", "--width belongs to --init=random"),
        ("export_tflite", "--init=random --run=runs/a", "give one of the two"),
        ("export_tflite", "--init=random --identity_tensor_multiplier=0.3", "must be 1/k"),
        ("export_tflite", "--runs_root=/nowhere", "No trained run under /nowhere/. `python -m pipelines.train"),
        ("verify", "--max_accuracy_drop=-1", "max_accuracy_drop must be at least 0 and at most 100"),
        ("verify", "--arm64=/nowhere/arm64", "/nowhere/arm64 does not exist: no ARM64 root"),
        ("export_tflite", "--android --assets=/nowhere/assets", "/nowhere does not exist, so /nowhere/assets is no"),
        ("verify", "--run=/nowhere/run", "/nowhere/run does not exist"),
        ("quantization_report", "--images=0", "--images must be at least 1; received 0"),
        ("quantization_report", "--runs_root=/nowhere", "No trained run under /nowhere/"),
        ("freeze", "--runs_root=/nowhere", "No trained run under /nowhere/"),
        ("report", "--runs_root=/nowhere", "/nowhere does not exist"),
        ("report", "--device=/nowhere", "/nowhere does not exist. `benchmarks/run_adb.sh` and the page of"),
    ],
)
def test_a_contradiction_is_one_line_before_anything_is_opened(name, flags, text, command):
    message = error_of(command(name, *flags.split()), 1)
    assert text in message
    assert "\n" not in message


def test_an_empty_data_folder_is_one_line(command, tmp_path):
    (tmp_path / "empty").mkdir()
    flags = (f"--data_dir={tmp_path / 'empty'}", f"--out={tmp_path / 'run'}")
    message = error_of(command("train", *flags, within=20), 1)
    assert f"{tmp_path / 'empty'} is empty" in message
    assert "train/<class>/" in message
    assert not (tmp_path / "run").exists()


def test_an_interrupted_run_is_named_by_the_exporter(command, few_images, tmp_path):
    start_run(tmp_path / "r", "mnext", resolve_recipe("digits", {"batch_size": 8}), few_images)
    message = error_of(command("export_tflite", f"--run={tmp_path / 'r'}"), 1)
    assert f"python -m pipelines.train --resume --run={tmp_path / 'r'}" in message


REFUSING = """
import os, runpy, sys, tempfile
def refuse(*a, dir=None, **k):
    raise OSError({number}, os.strerror({number}), str(dir))
tempfile.mkstemp = refuse
sys.argv = ["train", *sys.argv[1:]]
runpy.run_module("pipelines.train", run_name="__main__")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "text"),
    [("EACCES", "No permission to use {run} (Permission denied)"), ("ENOSPC", "The disk is full while writing {run}")],
)
def test_a_folder_that_refuses_is_one_line(python, few_images, tmp_path, error, text):
    """The first file of a new run cannot be made. (Tests may run as root, whom no permission stops.)"""
    code = REFUSING.replace("{number}", f"__import__('errno').{error}")
    finished = python("-c", code, f"--data_dir={few_images.folder}", f"--out={tmp_path / 'run'}", "--batch_size=8")
    lines = finished.stderr.splitlines()
    assert finished.returncode == 1
    assert "Traceback" not in finished.stderr
    assert lines[-1].startswith("error: " + text.format(run=tmp_path / "run"))


def test_an_out_folder_below_a_file_is_one_line(command, few_images, tmp_path):
    (tmp_path / "file").write_text("")
    message = error_of(
        command(
            "train",
            "--recipe=digits",
            "--batch_size=8",
            f"--data_dir={few_images.folder}",
            f"--out={tmp_path / 'file' / 'run'}",
            within=20,
        ),
        1,
    )
    assert message == f"Not a directory {tmp_path / 'file' / 'run'}"


@pytest.mark.parametrize(
    ("raised", "code", "text"),
    [
        ("KeyboardInterrupt('Stopped at step 3.')", 130, "Stopped at step 3. Run the same command again to resume."),
        ("KeyboardInterrupt()", 130, "Interrupted. Run the same command again to resume."),
        ("MnextError('what, allowed, how')", 1, "error: what, allowed, how"),
        ("RuntimeError('in HDF5: No space left on device')", 1, "error: The disk is full while writing."),
    ],
)
def test_what_a_command_says_when_it_is_stopped(python, raised, code, text):
    lines = [
        "from mnext_tf.errors import MnextError",
        "from pipelines import _cli",
        "def main():",
        f"    raise {raised}",
    ]
    finished = python("-c", "\n".join([*lines, "_cli.run(main)"]))
    assert finished.returncode == code
    assert finished.stderr.startswith(text)
    assert "Traceback" not in finished.stderr


def test_a_command_can_name_another_way_to_go_on(python):
    lines = ["from pipelines import _cli", "def main():", "    _cli.resume_with('python -m x --resume')"]
    for raised in ("KeyboardInterrupt", "OSError(28, 'No space left on device', 'runs/a')"):
        finished = python("-c", "\n".join([*lines, f"    raise {raised}", "_cli.run(main)"]))
        assert "run python -m x --resume" in finished.stderr.lower()
        assert "same command" not in finished.stderr


def test_sigterm_leaves_no_half_written_folder(python, tmp_path):
    lines = ["import os, signal", "from mnext_tf.files import atomic_folder", "from pipelines import _cli"]
    lines += ["def main():", f"    with atomic_folder({str(tmp_path / 'a')!r}):"]
    lines += ["        os.kill(os.getpid(), signal.SIGTERM)", "        signal.pause()"]
    finished = python("-c", "\n".join([*lines, "_cli.run(main)"]))
    assert finished.returncode == 130
    assert finished.stderr == "Interrupted. Run the same command again to resume.\n"
    assert list(tmp_path.iterdir()) == []


def test_parts_of_an_epoch_are_allowed_and_a_seed_that_does_not_fit_is_not(command):
    text = error_of(command("train", "--epochs=2", "--warmup_epochs=1.5", "--cooldown_epochs=0.5"), 1)
    assert "warmup_epochs (1.5) and cooldown_epochs (0.5) must leave some of the 2 epochs" in text
    assert "seed must be at least 0 and below 4294967296" in error_of(command("train", f"--seed={2**32}"), 1)


def test_a_word_for_a_number_is_answered_in_words(command):
    assert "--epochs=abc: must be a whole number, not 'abc'" in error_of(command("train", "--epochs=abc"), 2)
    assert "--width=abc: must be a number, not 'abc'" in error_of(command("train", "--width=abc"), 2)


def test_an_error_of_our_own_keeps_its_traceback(python):
    lines = ["from pipelines import _cli", "def main():", "    raise RuntimeError('a bug')", "_cli.run(main)"]
    finished = python("-c", "\n".join(lines))
    assert finished.returncode == 1
    assert "Traceback" in finished.stderr


def test_summary_prints_the_table_and_writes_it(command, tmp_path):
    flags = ("--models=mnext", "--widths=0.35", "--layers", f"--csv={tmp_path / 'table.csv'}")
    finished = command("summary", *flags, within=60)
    assert finished.returncode == 0, finished.stderr
    assert "1,913,976" in finished.stdout
    assert "75.1 M" in finished.stdout
    assert "block20_expand" in finished.stdout
    assert (tmp_path / "table.csv").read_text().splitlines() == [
        "model,width,input_size,output_stride,num_classes,parameters,multiply_adds",
        "mnext,0.35,224,32,1000,1913976,75141032",
    ]


def test_summary_of_a_detector(command):
    finished = command("summary", "--priors=coco", "--models=mnext", "--widths=1", within=60)
    model = ModelConfig("mnext", num_classes=80, input_size=320, priors="coco")
    assert f"{count_parameters(model.outline()):,}" in finished.stdout
    assert "mnext_ssdlite" in finished.stdout
