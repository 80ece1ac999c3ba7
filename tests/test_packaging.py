"""The installed package, far from the repository: commands, data files and types."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest


@pytest.fixture(scope="module")
def installed(repository, tmp_path_factory):
    """`installed("train", "--help")`: the command mnext of a wheel, run in an empty folder."""
    folder = tmp_path_factory.mktemp("package")
    source = folder / "source"
    keep = ("mnext_tf", "pipelines", "pyproject.toml", "README.md", "LICENSE")
    for name in keep:
        copy = shutil.copytree if (repository / name).is_dir() else shutil.copy2
        source.mkdir(exist_ok=True)
        copy(repository / name, source / name)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", folder / "site", source], check=True, capture_output=True, timeout=120)
    (folder / "empty").mkdir()

    def run(*arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [folder / "site/bin/mnext", *arguments],
            cwd=folder / "empty",
            env={**os.environ, "PYTHONPATH": str(folder / "site")},
            capture_output=True,
            text=True,
            timeout=120,
        )

    run.site = folder / "site"
    return run


def test_the_command_lists_and_runs_the_commands(installed):
    listed = installed("--help")
    assert listed.returncode == 0
    assert "export-tflite" in listed.stdout
    assert "_cli" not in listed.stdout
    helped = installed("export-tflite", "--help")
    assert helped.returncode == 0, helped.stderr
    assert "\n  --quantize: " in helped.stdout


def test_a_wrong_command_and_a_wrong_flag_are_errors(installed):
    wrong = installed("trian")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'trian'" in wrong.stderr
    assert "train" in wrong.stderr
    wrong = installed("train", "--epoch=3")
    assert wrong.returncode == 2
    assert wrong.stderr.startswith("error: ")


def test_it_holds_types_curves_and_license_and_no_tests(installed):
    assert (installed.site / "mnext_tf/py.typed").is_file()
    assert len(list(installed.site.glob("mnext_tf/training/published_curves/*.csv"))) == 5
    assert (installed.site / "mnext_tf/browser/page/index.html").is_file()
    assert list(installed.site.glob("mnext_tf-*.dist-info/licenses/LICENSE"))
    assert not (installed.site / "tests").exists()


def test_a_command_works_from_the_package_alone(installed):
    done = installed("summary", "--models=mobilenet_v1", "--widths=0.25")
    assert done.returncode == 0, done.stderr
    assert "mobilenet_v1" in done.stdout
