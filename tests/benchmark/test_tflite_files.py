""".tflite files of anyone, timed as they are: alone, and beside networks."""

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnext_tf.benchmark.cases import file_cases, make_cases
from mnext_tf.benchmark.results import format_table, read_results
from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.suite import benchmark_files, run_benchmark
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.report.rows import host_rows
from mnext_tf.tflite.operators import size_and_precision

ROOT = Path(__file__).resolve().parents[2]
QUICK = {"rounds": 2, "runs_per_round": 2, "warmup": 1, "threads": (1,)}


@pytest.fixture
def networks(monkeypatch, tiny_files):
    """Tiny files in place of exported networks."""
    monkeypatch.setattr("mnext_tf.benchmark.cases.create_random_run", lambda folder, model, **k: model)
    monkeypatch.setattr(
        "mnext_tf.benchmark.cases.export_tflite",
        lambda model, precision, **k: tiny_files["small_int8" if precision == "int8" else "small"],
    )


def test_files_alone_are_compared_with_the_first(tmp_path, tiny_files):
    settings = Settings(**QUICK, models=(), files=tuple(map(str, tiny_files.values())))
    results = read_results(run_benchmark(tmp_path / "out", settings, progress=False))
    names = [row["name"] for row in results.rows]
    assert names == ["small", "small_int8", "large"]
    assert [row["quantize"] for row in results.rows] == ["float32", "int8", "float32"]
    assert {(row["model"], row["width"], row["input_size"]) for row in results.rows} == {(None, None, 32)}
    assert results.rows[0]["ratio"] == 1 < results.rows[2]["ratio"]
    assert results.rows[1]["ratio"] != 1
    assert results.command.startswith("python -m pipelines.benchmark --tflite=")
    assert [line.split()[0] for line in format_table(results.rows).splitlines()[1:]] == names
    assert [row.title for row in host_rows(results, "out")] == names
    assert [row.precision_text for row in host_rows(results, "out")] == ["float32", "int8", "float32"]
    with open(results.folder / "benchmark.csv", newline="") as f:
        assert [(row["model"], row["name"]) for row in csv.DictReader(f)] == [("", name) for name in names]


def test_the_python_function_times_the_same_way(tmp_path, tiny_files):
    files = [tiny_files["small"], tiny_files["large"], tiny_files["small_int8"]]
    rows = benchmark_files(files, rounds=2, runs_per_round=2, progress=False)
    assert [row["name"] for row in rows] == ["small", "large", "small_int8"]
    assert rows[0]["ratio"] == 1 < rows[1]["ratio"]
    with pytest.raises(ConfigError, match=r"small.* given twice"):
        benchmark_files([files[0], files[0]], progress=False)


def test_beside_networks_a_file_is_compared_with_its_like(tmp_path, networks, tiny_files):
    ours = shutil.copy(tiny_files["small"], tmp_path / "mnext_0.5_32_float32.tflite")
    float16 = shutil.copy(tiny_files["small"], tmp_path / "mnext_0.5_32_float16.tflite")
    files = (ours, tiny_files["large"], tiny_files["small_int8"], float16)
    settings = Settings(**QUICK, models=("mnext",), widths=(1.0, 0.5), input_sizes=(32,), files=tuple(map(str, files)))
    cases = make_cases(tmp_path / "models", settings, cache_dir=tmp_path, force=False)
    groups = {case.name: case.among for case in cases if case.name}
    assert [case.among for case in cases if not case.name] == [
        (1.0, 32, "float32"), (1.0, 32, "int8"), (0.5, 32, "float32"), (0.5, 32, "int8")
    ]  # fmt: skip
    assert groups == {
        "mnext_0.5_32_float32": (0.5, 32, "float32"),  # at its own width
        "large": (1.0, 32, "float32"),
        "small_int8": (1.0, 32, "int8"),
        "mnext_0.5_32_float16": (),
    }
    rows = read_results(run_benchmark(tmp_path / "out", settings, progress=False)).rows
    named = {row["name"]: (row["model"], row["width"], row["quantize"]) for row in rows if row["name"]}
    assert named["mnext_0.5_32_float32"] == ("mnext", 0.5, "float32")
    assert named["large"] == (None, None, "float32")
    assert next(row["ratio"] for row in rows if row["name"] == "large") > 1.5


def test_equal_names_are_told_apart_by_their_paths(tmp_path, tiny_files):
    (tmp_path / "other").mkdir()
    other = Path(shutil.copy(tiny_files["small"], tmp_path / "other" / "small.tflite"))
    names = [case.name for case in file_cases([tiny_files["small"], other, tiny_files["large"]], [("cpu", 1)])]
    assert names == [str(tiny_files["small"]), str(other), "large"]


def test_precisions_are_read_from_the_file(tmp_path, tiny_files):
    import tensorflow as tf

    kernel = tf.random.normal((3, 3, 64, 64))

    @tf.function(input_signature=[tf.TensorSpec((1, 24, 24, 64))], autograph=False)
    def network(image):
        return tf.nn.conv2d(image, kernel, 2, "SAME")

    for precision, types in (("float16", [tf.float16]), ("dynamic", [])):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], types
        (tmp_path / "x.tflite").write_bytes(converter.convert())
        assert size_and_precision(tmp_path / "x.tflite") == (24, precision)
    assert size_and_precision(tiny_files["small_int8"]) == (32, "int8")


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"no\.tflite, which is no file"):
        run_benchmark(tmp_path / "out", Settings(models=(), files=(str(tmp_path / "no.tflite"),)))
    (tmp_path / "cut.tflite").write_bytes(b"no model")
    with pytest.raises(ExportError, match=r"cut\.tflite cannot be run"):
        run_benchmark(tmp_path / "out", Settings(models=(), files=(str(tmp_path / "cut.tflite"),)))
    assert not (tmp_path / "out").exists()


def run_command(*arguments):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines.benchmark", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)


def test_the_command_times_files_alone_unless_networks_are_named(tmp_path, tiny_files):
    file = f"--tflite={tiny_files['small']}"
    done = run_command(file, "--width=0.5")
    assert (done.returncode, "--width says nothing about the files" in done.stderr) == (1, True)
    done = run_command(file, "--threads=1", "--rounds=1", "--runs_per_round=1", f"--out={tmp_path / 'out'}")
    assert done.returncode == 0, done.stderr[-500:]
    (row,) = read_results(tmp_path / "out").rows
    assert (row["name"], row["model"]) == ("small", None)
