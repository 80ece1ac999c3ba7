import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnext_tf.benchmark import cases
from mnext_tf.benchmark.results import read_results
from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.suite import run_benchmark
from mnext_tf.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"widths": (0.25,), "input_sizes": (32,), "rounds": 2, "runs_per_round": 2, "warmup": 1, "threads": (1,)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("mnet",)}, "Did you mean 'mnext'"),
        ({"models": ()}, "models names nothing"),
        ({"models": ("mnext", "mnext")}, "mnext twice"),
        ({"precisions": ("int4",)}, "quantize must be one of float32"),
        ({"delegates": ("npu",)}, "delegate must be one of cpu, gpu"),
        ({"delegates": ()}, "delegate names nothing"),
        ({"threads": (0,)}, "threads must be a whole number from 1"),
        ({"rounds": 0}, "rounds must be"),
        ({"widths": (0.5, 0.0)}, "width must be above 0"),
        ({"input_sizes": (8,)}, "input_size must be"),
        ({"widths": ()}, "width names nothing"),
        ({"widths": (0.5, 1.0, 0.5)}, "width names 0.5 twice"),
        ({"runs": ("/nowhere",)}, r"does not exist.*pipelines\.train"),
    ],
)
def test_wrong_settings_are_refused(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run_benchmark(tmp_path / "out", Settings(**changes))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def exports(monkeypatch, tiny_files):
    """Tiny files in place of exported networks; the list of what was asked for."""
    asked = []

    def create_random_run(folder, model, **kwargs):
        return model.name

    def export_tflite(run, precision, **kwargs):
        asked.append((run, precision))
        return tiny_files["small_int8" if precision == "int8" else {"mnext": "small", "mobilenet_v2": "large"}[run]]

    monkeypatch.setattr(cases, "create_random_run", create_random_run)
    monkeypatch.setattr(cases, "export_tflite", export_tflite)
    return asked


def test_exports_times_and_writes(tmp_path, exports):
    out = run_benchmark(tmp_path / "out", Settings(**QUICK), progress=False)
    rows = read_results(out).rows
    assert exports == [(m, q) for m in ("mnext", "mobilenet_v2") for q in ("float32", "int8")]
    assert [(r["model"], r["quantize"]) for r in rows] == exports
    assert rows[2]["ratio"] > rows[0]["ratio"] == 1
    assert all((out / r["file"]).is_file() for r in rows)
    assert all(0 < r["nodes_delegated"] <= r["nodes_total"] for r in rows)


def test_every_width_is_timed_and_compared_with_the_first_network_of_that_width(tmp_path, exports):
    settings = Settings(**{**QUICK, "widths": (0.25, 1.0)}, precisions=("float32",))
    out = run_benchmark(tmp_path / "out", settings, progress=False)
    rows = read_results(out).rows
    assert [(r["width"], r["model"]) for r in rows] == [(w, m) for w in (0.25, 1) for m in ("mnext", "mobilenet_v2")]
    assert [r["ratio"] == 1 for r in rows] == [True, False, True, False]
    assert "--width=0.25,1.0" in read_results(out).command


def test_results_are_kept_only_where_asked_and_nothing_changed(tmp_path, exports):
    out = tmp_path / "out"
    settings = Settings(**QUICK, models=("mnext",), precisions=("float32",))
    run_benchmark(out, settings, progress=False)
    first = read_results(out).date
    run_benchmark(out, settings, progress=False, reuse=True)
    assert read_results(out).date == first
    with pytest.raises(ConfigError, match=r"already holds a benchmark\..*--force"):
        run_benchmark(out, settings, progress=False)
    assert read_results(out).date == first
    run_benchmark(out, settings, progress=False, force=True)
    assert read_results(out).date > first
    other = Settings(**{**QUICK, "rounds": 3}, models=("mnext",), precisions=("float32",))
    run_benchmark(out, other, progress=False, reuse=True)
    assert read_results(out).rows[0]["rounds"] == 3


def test_command_gives_the_same_settings():
    command = Settings(**QUICK).command(models_dir=Path("my models"))
    assert "--models=mnext,mobilenet_v2 --task=classification --width=0.25 --identity" in command
    assert "--identity_tensor_multiplier=1.0 --input_size=32" in command
    assert "--delegate=cpu,gpu" in Settings(delegates=("cpu", "gpu")).command()
    assert "'--models_dir=my models'" in command


def run_command(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", *arguments],
        capture_output=True,
        text=True,
        env=environment,
        cwd=ROOT,
    )


@pytest.mark.parametrize("command", ["pipelines.benchmark", "pipelines.report"])
def test_help_imports_nothing_heavy(command):
    done = run_command(command, "--help")
    assert done.returncode == 0
    assert "--out" in done.stdout
    modules = {line.split("|")[-1].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "mnext_tf" in modules
    assert not modules & {"tensorflow", "keras", "sklearn", "matplotlib"}


def test_command_refuses_a_contradiction(tmp_path):
    done = run_command("pipelines.benchmark", f"--run={tmp_path}", "--width=2")
    assert done.returncode == 1
    assert "--run and --width contradict each other" in done.stderr


def test_report_command_writes_a_page(tmp_path, benchmark_folder):
    done = run_command("pipelines.report", f"--runs_root={benchmark_folder.parent}", f"--out={tmp_path / 'page'}")
    assert done.returncode == 0, done.stderr[-500:]
    assert "Speed (224 px, 1 thread of Test CPU, 2 cores)" in done.stdout
    assert (tmp_path / "page" / "report.md").is_file()


def test_report_command_says_what_is_missing(tmp_path):
    done = run_command("pipelines.report", f"--runs_root={tmp_path / 'none'}")
    assert done.returncode == 1
    assert "python -m pipelines.benchmark" in done.stderr
