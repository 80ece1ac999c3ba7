"""pipelines.quantization_report on runs of an older release."""

import shutil

import pytest


@pytest.fixture
def runs(repository, tmp_path):
    return shutil.copytree(repository / "tests" / "fixtures" / "version_0_1" / "runs", tmp_path / "runs")


def test_a_run_without_an_int8_file_says_what_makes_it(runs, python):
    done = python("-m", "pipelines.quantization_report", f"--run={runs / 'imported'}")
    assert (done.returncode, done.stdout) == (1, "")
    command = f"python -m pipelines.export_tflite --run={runs / 'imported'} --quantize=int8"
    assert done.stderr == f"error: {runs / 'imported'} has no tflite_int8. Make it with `{command}`.\n"


@pytest.mark.slow
def test_the_table_has_the_worst_layers_and_says_where_the_rest_is(runs, python):
    run = runs / "trained"
    done = python("-m", "pipelines.quantization_report", f"--run={run}", "--images=10", timeout=300)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "mobilenet_v1_0.05_32_int8.tflite (fast), 360 images of digits, validation"
    shares = [float(line.split()[2].rstrip("%")) for line in lines[lines.index("") + 3 : -1]]
    assert len(shares) == 15
    assert shares == sorted(shares, reverse=True)
    assert lines[-1] == f"{run}/quantization_report: quantization.csv, quantization.json, quantization.png"
    assert all((run / "quantization_report" / f"quantization.{end}").is_file() for end in ("csv", "json", "png"))
