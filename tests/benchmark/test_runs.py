"""Benchmarks of trained runs: their own files where they have them, and folders that stay as they are."""

import csv
import shutil

import pytest

from mnext_tf.benchmark import cases as cases_module
from mnext_tf.benchmark.cases import NO_ACCURACY_LIMIT, make_cases
from mnext_tf.benchmark.results import format_table, read_results
from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.suite import new_folder, run_benchmark
from mnext_tf.files import sha256
from mnext_tf.runs.run import open_run

QUICK = {"rounds": 2, "runs_per_round": 2, "warmup": 1, "threads": (1,)}


@pytest.fixture
def trained(repository, tmp_path, monkeypatch):
    """A trained run with verified float32 and int8 files."""
    monkeypatch.chdir(tmp_path)  # its data set is named relative to the current folder
    folder = tmp_path / "runs" / "trained"
    shutil.copytree(repository / "tests" / "fixtures" / "version_0_1" / "runs" / "trained", folder)
    return folder


def cases(tmp_path, precisions, *runs):
    settings = Settings(**QUICK, precisions=precisions, runs=tuple(map(str, runs)))
    return make_cases(tmp_path / "models", settings, cache_dir=tmp_path / "data", force=False)


def test_a_verified_file_of_the_run_is_timed_as_it_is(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(cases_module, "export_tflite", lambda *a, **k: pytest.fail("it was exported again"))
    before = sha256(trained)
    float32, int8 = cases(tmp_path, ("float32", "int8"), trained)
    assert float32.file == trained / "tflite_float32" / "mobilenet_v1_0.05_32_float32.tflite"
    assert (float32.name, float32.accuracy_check, int8.accuracy_check) == ("trained", "passed", "passed")
    assert sha256(trained) == before
    assert not (tmp_path / "models").exists()


def test_a_missing_file_is_exported_beside_the_benchmark_without_a_limit_on_accuracy(trained, tmp_path, monkeypatch):
    shutil.rmtree(trained / "tflite_int8")
    before, asked = sha256(trained), []

    def export_tflite(run, precision, *, tolerance, force):
        asked.append((run.folder, precision, tolerance))
        return trained / "tflite_float32" / "mobilenet_v1_0.05_32_float32.tflite"

    monkeypatch.setattr(cases_module, "export_tflite", export_tflite)
    (int8,) = cases(tmp_path, ("int8",), trained)
    ((folder, precision, tolerance),) = asked
    assert folder.parent == tmp_path / "models"
    assert (precision, tolerance) == ("int8", NO_ACCURACY_LIMIT)
    assert (tolerance.max_accuracy_drop, tolerance.min_agreement) == (100, 0)
    assert int8.accuracy_check == "not checked"
    assert sha256(trained) == before
    copy = open_run(folder)
    assert copy.config == open_run(trained).config
    assert sha256(copy.weights) == sha256(open_run(trained).weights)
    assert (folder / "frozen" / "frozen.pb").is_file()


def test_a_really_exported_file_is_marked_in_the_results(trained, tmp_path):
    settings = Settings(**QUICK, precisions=("float16",), runs=(str(trained),))
    out = run_benchmark(tmp_path / "out", settings, cache_dir=tmp_path / "data", progress=False)
    (row,) = read_results(out).rows
    assert (row["name"], row["accuracy_check"]) == ("trained", "not checked")
    assert row["file"].startswith("models/trained-")
    assert not (trained / "tflite_float16").exists()
    assert "--run=" in read_results(out).command


def test_two_runs_of_one_network_are_told_apart(trained, tmp_path):
    other = shutil.copytree(trained, tmp_path / "runs" / "other")
    assert [case.name for case in cases(tmp_path, ("int8",), trained, other)] == ["trained", "other"]
    same_name = shutil.copytree(trained, tmp_path / "elsewhere" / "trained")
    assert [c.name for c in cases(tmp_path, ("int8",), trained, same_name)] == [str(trained), str(same_name)]


def test_rows_of_two_runs_of_one_network_are_told_apart(trained, tmp_path):
    other = shutil.copytree(trained, tmp_path / "runs" / "other")
    settings = Settings(**QUICK, precisions=("int8",), runs=(str(trained), str(other)))
    results = read_results(run_benchmark(tmp_path / "out", settings, progress=False))
    assert [row["name"] for row in results.rows] == ["trained", "other"]
    assert results.rows[0]["ratio"] == 1 != results.rows[1]["ratio"]
    first, second = format_table(results.rows).splitlines()[1:]
    assert (first.split("  ")[0], second.split("  ")[0]) == ("mobilenet_v1 (trained)", "mobilenet_v1 (other)")
    with open(results.folder / "benchmark.csv", newline="") as f:
        assert [row["name"] for row in csv.DictReader(f)] == ["trained", "other"]


def test_every_benchmark_has_a_folder_of_its_own(tmp_path):
    first = new_folder(tmp_path)
    first.mkdir()
    assert new_folder(tmp_path) != first
