"""benchmarks/run_adb.sh without a phone: its flags, its help, and shellcheck."""

from __future__ import annotations

import re
import subprocess

import pytest


@pytest.fixture
def script(repository):
    def script(*flags):
        return subprocess.run(
            ["sh", repository / "benchmarks" / "run_adb.sh", *flags], capture_output=True, text=True, timeout=20
        )

    return script


def test_help_names_every_flag(script, repository):
    text = (repository / "benchmarks" / "run_adb.sh").read_text()
    flags = re.search(r'^flags="(.*?)"$', text, re.M | re.S).group(1).replace("\\\n", "").split()
    done = script("--help")
    assert done.returncode == 0
    assert done.stderr == ""
    assert len(flags) > 15
    assert [flag for flag in flags if flag not in done.stdout] == []
    assert "https://storage.googleapis.com/" in done.stdout


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--model", "a.tflite"], "unknown flag --model. Flags: --models"),
        (["a.tflite"], "unknown flag a.tflite"),
        (["--rounds"], "--rounds requires a value"),
        (["--models="], "--models requires a value"),
        (["--backends", "cpu,tpu"], "unknown 'tpu'; allowed: cpu gpu nnapi"),
        (["--backends=gpu,gpu"], "'gpu' is listed twice"),
        (["--threads", "1,two"], "received 'two'"),
        (["--threads=0"], "at least 1; received '0'"),
        (["--rounds", "-1"], "at least 1; received '-1'"),
        (["--min_secs", "1s"], "received '1s'"),
        (["--memory", "1"], "yes or no; received '1'"),
        (["--cores", "little"], "big or all; received 'little'"),
        (["--dry_run=yes"], "--dry_run does not take a value"),
        (["--libraries", "nowhere.so"], "file not found: nowhere.so"),
        (["--resume", "--rounds", "3"], "remove --rounds"),
        (["--resume=/nonexistent"], "/nonexistent is not a session folder"),
        (["--out", "/"], "--out / exists and is not empty"),
    ],
)
def test_invalid_flags_are_refused_at_once(script, flags, says):
    done = script(*flags)
    assert done.returncode == 2
    assert done.stdout == ""
    assert says in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "file not found"),
        (b"<!DOCTYPE html><html>", "is not a TFLite file"),
        (b"\x1c\0\0\0TFL2" + bytes(64), "is not a TFLite file"),
    ],
)
def test_a_file_that_is_not_a_model(script, tmp_path, content, says):
    path = tmp_path / "a.tflite"
    if content is not None:
        path.write_bytes(content)
    done = script("--models", path)
    assert done.returncode == 1
    assert says in done.stderr
    assert str(path) in done.stderr


def test_ambiguous_file_names(script, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "same.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    for name in ("a b", "a_b"):  # on the phone, both would be a_b.tflite
        (tmp_path / f"{name}.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    assert (
        "differ only in spaces and underscores"
        in script("--models", f"{tmp_path}/a b.tflite,{tmp_path}/a_b.tflite").stderr
    )
    (tmp_path / "quo'te.tflite").write_bytes(b"\x1c\0\0\0TFL3")
    assert (
        "two files are named same.tflite"
        in script("--models", f"{tmp_path}/a/same.tflite,{tmp_path}/b/same.tflite").stderr
    )
    assert "may contain letters" in script("--models", f"{tmp_path}/quo'te.tflite").stderr


def test_no_exported_models(script, tmp_path):
    done = script("--runs_root", tmp_path)
    assert done.returncode == 1
    assert (
        "python -m pipelines.export_tflite --quantize int8 (for an untrained model, add --init=random)" in done.stderr
    )


def test_no_adb(script, tmp_path):
    path = tmp_path / "a.tflite"
    path.write_bytes(b"\x1c\0\0\0TFL3")
    done = script("--models", path, "--adb", tmp_path / "adb")
    assert done.returncode == 1
    assert "apt install adb" in done.stderr


def test_shellcheck(repository):
    shellcheck = repository / ".environments" / "adb" / "bin" / "shellcheck"
    if not shellcheck.is_file():
        pytest.skip("shellcheck is missing; `make environment-adb` fetches it")
    folders = ("benchmarks", "environments", "tests")
    scripts = [path for folder in folders for path in sorted((repository / folder).rglob("*.sh"))]
    scripts.append(repository / "android_assets" / "gradlew")
    assert repository / "benchmarks" / "run_adb.sh" in scripts
    done = subprocess.run([shellcheck, "-s", "sh", *scripts], capture_output=True, text=True, cwd=repository)
    assert done.stdout == ""
    assert done.returncode == 0
