"""The command: what it prints, serves, and writes."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest
from support.browsers import npm_package

pytestmark = pytest.mark.slow


def test_it_serves_a_run_until_it_is_stopped(repository, exported, tmp_path):
    npm_package(tmp_path / "npm")
    run = shutil.copytree(exported.folder, tmp_path / "run")  # the command exports more of it
    command = [sys.executable, "-m", "pipelines.serve", f"--run={run}", "--port=0"]
    command += [f"--runtime={tmp_path / 'npm'}", f"--sessions={tmp_path / 'sessions'}"]
    environment = {**os.environ, "PYTHONPATH": str(repository)}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if "Ctrl-C stops it" in line:
                break
        text = "".join(printed)
        (url,) = re.findall(r"http://127\.0\.0\.1:\d+/#token=[\w-]{20,}", text)
        with urllib.request.urlopen(url.split("#")[0] + "models.json", timeout=10) as answer:
            models = json.loads(answer.read())["models"]
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert [model["input"]["dtype"] for model in models] == ["float32", "uint8"]
    assert re.search(r"adb reverse tcp:\d+ tcp:\d+", text)


def test_it_writes_a_folder(python, app_file, tmp_path):
    npm_package(tmp_path / "npm")
    flags = [f"--tflite={app_file}", f"--out={tmp_path / 'page'}", f"--runtime={tmp_path / 'npm'}"]
    done = python("-m", "pipelines.serve", *flags, timeout=120)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "page/models.json").read_text())
    assert about["server"] is False
    assert (tmp_path / "page" / about["models"][0]["file"]).read_bytes() == app_file.read_bytes()
    assert "_headers" in done.stdout


def test_without_litert_js_it_says_how_to_get_it(python, app_file, tmp_path):
    done = python("-m", "pipelines.serve", f"--tflite={app_file}", f"--runtime={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: LiteRT.js, which runs the files in a browser, is not in")
    assert "make web" in done.stderr


@pytest.fixture
def app_file(exported):
    stage = exported.manifest("tflite_float32")
    return exported.stage("tflite_float32") / stage.result["file"]
