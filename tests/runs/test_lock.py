"""Several processes on one run, some of which are killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest

from mnext_tf.errors import MnextError
from mnext_tf.files import atomic_folder
from mnext_tf.runs.lock import run_lock
from mnext_tf.runs.stages import run_stage

HOLD = """
from mnext_tf.runs.lock import run_lock
with run_lock(folder, "training"):
    ready()
"""
# The process dies in the middle of atomic_folder: while it fills the folder, or between its two renames.
DIE = """
from mnext_tf.files import atomic_folder
with atomic_folder(folder / "export") as temporary:
    (temporary / "out.txt").write_text("new")
    replace, calls = os.replace, []
    def dying(*arguments):
        calls.append(replace(*arguments))
        os.kill(os.getpid(), signal.SIGKILL)
    os.replace = dying
    if early:
        os.kill(os.getpid(), signal.SIGKILL)
"""
WRITE = """
from mnext_tf.files import atomic_write
with atomic_write(folder / "verify.json") as temporary:
    temporary.write_text("x")
    ready()
"""


@pytest.fixture
def process(repository, run):
    """`process(code)`: a Python process that has come to `ready()` in `code`, where it stays; or that has ended."""
    started = []

    def process(code, **names):
        names = "".join(f"{name} = {value!r}\n" for name, value in names.items())
        head = "import os, signal, sys\nfrom pathlib import Path\n" + names
        head += "def ready():\n    print('ready', flush=True)\n    sys.stdin.read()\n"
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", f"{head}folder = Path({str(run.folder)!r})\n{code}"],
                cwd=repository,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        started[-1].stdout.readline()
        return started[-1]

    yield process
    for p in started:
        p.kill()
        p.communicate()


def kill(p):
    p.send_signal(signal.SIGKILL)
    p.wait()


def test_a_second_process_is_refused_with_the_name_of_the_first(process, run, log_lines):
    first = process(HOLD)
    holder = rf"process {first.pid} on {socket.gethostname()} \(training since 20"
    refused = pytest.raises(MnextError, match=rf"{run.folder} is in use by {holder}.*Wait until it is done")
    with refused, run_lock(run.folder, "training"):
        pytest.fail("both have it")
    first.communicate(b"")  # it ends by itself
    with run_lock(run.folder, "training"):
        pass
    assert log_lines == []
    assert os.listdir(run.folder) == ["config.json"]


def test_the_lock_of_a_killed_process_is_taken_over(process, run, log_lines):
    first = process(HOLD)
    kill(first)
    with run_lock(run.folder, "training"):
        assert f"taking over from process {first.pid} on " in log_lines[0]
    assert os.listdir(run.folder) == ["config.json"]


def test_a_stage_waits_for_another_process(process, run, log_lines):
    first = process(HOLD)
    timer = threading.Timer(0.2, lambda: first.communicate(b""))
    timer.start()
    assert not run_stage(run, "export", inputs={}, settings={}, build=lambda folder: {}).skipped
    timer.join()
    assert [line for line in log_lines if f"waiting for process {first.pid} on " in line]


def test_stages_are_built_within_stages(run):
    def build(folder):
        run_stage(run, "before", inputs={}, settings={}, build=lambda folder: {})
        return {}

    run_stage(run, "export", inputs={}, settings={}, build=build)
    assert sorted(os.listdir(run.folder)) == ["before", "config.json", "export"]


def test_a_second_thread_is_refused_too(run):
    said = []

    def lock():
        try:
            with run_lock(run.folder, "training"):
                said.append("both have it")
        except MnextError as e:
            said.append(str(e))

    with run_lock(run.folder, "training"):
        thread = threading.Thread(target=lock)
        thread.start()
        thread.join()
    assert f"in use by process {os.getpid()}" in said[0]


@pytest.mark.parametrize("early", [True, False])
def test_what_a_killed_process_left_is_removed_and_what_it_moved_away_is_put_back(process, run, early, log_lines):
    with atomic_folder(run.folder / "export") as temporary:
        (temporary / "out.txt").write_text("old")
    assert process(DIE, early=early).wait() == -signal.SIGKILL
    assert [name for name in os.listdir(run.folder) if ".partial-" in name]
    assert (run.folder / "export").exists() == early
    with run_lock(run.folder, "training"):
        pass
    assert sorted(os.listdir(run.folder)) == ["config.json", "export"]
    assert (run.folder / "export" / "out.txt").read_text() == "old"
    assert any("export is restored" in line for line in log_lines) != early


def test_what_a_live_process_writes_stays(process, run):
    writer = process(WRITE)
    with run_lock(run.folder, "training"):
        assert len(list(run.folder.glob(".partial-*"))) == 1
    kill(writer)
    with run_lock(run.folder, "training"):
        assert not list(run.folder.glob(".partial-*"))


def test_what_other_hosts_and_earlier_releases_left(run):
    """Of another host no process can be asked for: a day is waited. Earlier releases wrote no process."""
    earlier = [run.folder / ".partial-abcd_123-history.csv", run.folder / ".export.partial-x1y2z3a4"]
    elsewhere = [run.folder / ".partial-1-00000000-abcd1234-a", run.folder / ".partial-1-00000000-abcd1235-b"]
    unrelated = run.folder / ".gitignore"
    for path in (*earlier, *elsewhere, unrelated):
        path.touch()
    os.utime(elsewhere[0], (1, 1))
    (run.folder / "train" / "checkpoints").mkdir(parents=True)
    (run.folder / "train" / "checkpoints" / ".partial-abcd1234-step_00000001.npz").touch()
    with run_lock(run.folder, "training"):
        pass
    left = sorted(p.name for p in run.folder.rglob("*") if p.is_file())
    assert left == [".gitignore", elsewhere[1].name, "config.json"]
