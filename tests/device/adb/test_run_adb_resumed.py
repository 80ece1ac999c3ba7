"""benchmarks/run_adb.sh with the real adbd: runs that hang or are interrupted, and how sessions are resumed."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.device


def is_running(name: str) -> bool:
    """Whether a benchmark_model in the phone's folder `name` is alive."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if any(word.endswith(b"benchmark_model.sh") for word in words) and any(name.encode() in word for word in words):
            return True
    return False


def test_a_hung_run(world, phone, quick, tmp_path, read_session, read_runs):
    (phone.folder / "benchmark").write_text("mnext_1.0_224_float32 gpu hang\n")
    result = world.run(*quick, "--rounds=3", "--time_limit=1")
    assert result.code == 1
    assert "terminated after 1 s (--time_limit)" in result.output
    rows = read_runs(tmp_path / "out")
    outcomes = [row["outcome"] for row in rows if (row["model"], row["backend"]) == ("mnext_1.0_224_float32", "gpu")]
    assert outcomes == ["timeout", "timeout"]
    assert [row["outcome"] for row in rows].count("done") == 9
    hung = next(row for row in rows if row["outcome"] == "timeout")
    assert "Loaded model" in (tmp_path / "out" / hung["log"]).read_text()
    assert not is_running(read_session(tmp_path / "out" / "session.txt")["device_folder"])
    assert phone.left_behind == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_interrupted(world, phone, quick, tmp_path, read_session, read_runs, number, code, wait_for):
    (phone.folder / "benchmark").write_text("* gpu hang\n")
    process = world.session(*quick)
    wait_for(lambda: len(phone.lines("calls")) == 3)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    output = process.communicate(timeout=20)[0]
    assert process.returncode == code, output
    session = read_session(tmp_path / "out" / "session.txt")
    assert session["status"] == "stopped"
    assert session["reason"].startswith("interrupted (")
    assert session["left_on_phone"] == ""
    assert "finished_utc" not in session
    assert [row["outcome"] for row in read_runs(tmp_path / "out")] == ["done", "done", "interrupted"]
    assert phone.lines("mode") == ["true", "false"]
    assert phone.left_behind == []
    assert not is_running(session["device_folder"])
    assert f"--resume={tmp_path / 'out'}" in output
    assert not (tmp_path / "out" / ".lock").exists()


def test_the_output_pipe_is_closed(world, phone, quick, tmp_path, read_session):
    command = world.on_host("sh", "-c", 'sh "$@" | head -n 5', "sh", ROOT / "benchmarks" / "run_adb.sh", *quick)
    subprocess.run(command, cwd=world.home, env=world.environment, capture_output=True, timeout=60)
    assert phone.lines("mode") == ["true", "false"]
    assert phone.left_behind == []
    session = read_session(tmp_path / "out" / "session.txt")
    assert (session["status"], session["left_on_phone"]) == ("stopped", "")


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("rounds=1", "rounds=", "--rounds requires an integer of at least 1; received ''"),
        ("min_secs=1", "min_secs=1;reboot", "received '1;reboot'"),
        ("mnext_tf_", "mnext_tf_/../../x", "device_folder is '/data/local/tmp/mnext_tf_/../../x"),
        ("mnext_tf_", "mnext_tf_ /sdcard ", "session.txt is corrupt"),
        ("/data/local/tmp/", "/sdcard/", "device_folder is '/sdcard/mnext_tf_"),
    ],
)
def test_a_corrupt_session_is_not_resumed(world, phone, quick, tmp_path, right, wrong, says):
    file = tmp_path / "out" / "session.txt"
    (phone.folder / "benchmark").write_text("* gpu fail\n")
    assert world.run(*quick).code == 1
    calls = phone.lines("calls")
    corrupt = file.read_text().replace(right, wrong)
    file.write_text(corrupt)
    result = world.run("--resume", tmp_path / "out")
    assert result.code == 1
    assert says in result.output
    assert "session.txt is corrupt" in result.output
    assert file.read_text() == corrupt
    assert phone.lines("calls") == calls


def test_killed_and_resumed(world, phone, quick, tmp_path, read_session, read_runs, wait_for):
    (phone.folder / "benchmark").write_text("* gpu hang\n")
    process = world.session(*quick)
    wait_for(lambda: len(phone.lines("calls")) == 3)
    process.kill()
    process.wait()
    process.stdout.close()
    folder = read_session(tmp_path / "out" / "session.txt")["device_folder"]
    assert is_running(folder)
    (phone.folder / "benchmark").unlink()
    result = world.run("--resume", tmp_path / "out")
    assert result.code == 0, result.output
    assert [row["outcome"] for row in read_runs(tmp_path / "out")] == ["done"] * 4
    assert not is_running(folder)
    assert phone.lines("mode") == ["true", "false", "true", "false"]
    assert phone.left_behind == []


def test_unplugged_and_resumed(world, phone, quick, tmp_path, read_session, read_runs, wait_for):
    out = tmp_path / "out"
    (phone.folder / "benchmark").write_text("* gpu hang\n")
    process = world.session(*quick)
    wait_for(lambda: len(phone.lines("calls")) == 3)
    phone.unplug()
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert "the phone was disconnected" in output
    session = read_session(out / "session.txt")
    folder = session["device_folder"]
    assert session["status"] == "stopped"
    assert session["left_on_phone"].split() == ["folder", "fixed_performance_mode"]
    assert f"adb -s {phone.serial} shell rm -rf {folder}" in output
    assert "shell cmd power set-fixed-performance-mode-enabled false" in output
    assert [row["outcome"] for row in read_runs(out)] == ["done", "done", "unplugged"]
    assert phone.lines("mode") == ["true"]
    assert phone.left_behind == [folder.rsplit("/", 1)[1]]

    result = world.run("--resume", out)
    assert result.code == 1  # still unplugged
    assert read_session(out / "session.txt") == session

    (phone.folder / "benchmark").unlink()
    phone.plug_in()
    before = (out / "runs.csv").read_text()
    (out / "runs.csv").write_text(before + "004_latency_r1_mn")  # as a power failure leaves it
    result = world.run("--resume", out)
    assert result.code == 0, result.output
    assert "2 runs: 2 models" in result.output
    assert (out / "runs.csv").read_text().startswith(before)
    rows = read_runs(out)
    assert [row["outcome"] for row in rows] == ["done", "done", "unplugged", "done", "done"]
    assert [row["id"][:4] for row in rows] == ["001_", "002_", "003_", "004_", "005_"]
    assert {row["log"] for row in rows} == {f"logs/{path.name}" for path in (out / "logs").iterdir()}
    assert read_session(out / "session.txt")["status"] == "complete"
    assert phone.lines("mode") == ["true", "false", "true", "false"]
    assert phone.left_behind == []
    assert not is_running(folder)


def test_unplugged_while_the_mode_is_set(world, phone, quick, tmp_path, read_session, read_runs, wait_for):
    """The phone did not refuse it."""
    (phone.folder / "power_hangs").touch()
    process = world.session(*quick)
    wait_for((phone.folder / "asked").exists)
    phone.unplug()
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert "the phone was disconnected" in output
    assert "Fixed performance mode: " not in output
    session = read_session(tmp_path / "out" / "session.txt")
    assert session["left_on_phone"].split() == ["folder", "fixed_performance_mode"]
    (phone.folder / "power_hangs").unlink()
    phone.plug_in()
    assert world.run("--resume", tmp_path / "out").code == 0
    assert read_session(tmp_path / "out" / "session.txt")["fixed_performance_mode"] == "set"
    assert len(read_runs(tmp_path / "out")) == 4


def test_resume_refuses_changes(world, phone, quick, models, tmp_path, read_session, read_runs):
    out = tmp_path / "out"
    (phone.folder / "benchmark").write_text("* gpu fail\n")
    assert world.run(*quick).code == 1
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

    def refused(*flags):
        result = world.run(f"--resume={out}", *flags)
        assert result.code == 1
        assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
        return result.output

    original = models[0].read_bytes()
    models[0].write_bytes(original + b"x")
    assert "models changed since this session was started: mnext_1.0_224_float32." in refused()
    models[0].write_bytes(original)

    other = tmp_path / "other_tool"
    other.write_bytes(world.tool.read_bytes() + b"x")
    assert "is not the tool that this session was started with" in refused("--benchmark_model", other)

    second = world.start(tmp_path / "second", 7002)
    assert "this session was started on the device 127.0.0.1:7001, not on 127.0.0.1:7002" in refused(
        "--serial", second.serial
    )

    props = phone.folder / "props"
    props.write_text(props.read_text().replace("TP1A", "TQ3A"))
    assert "the phone was updated after this session was started" in refused()
    props.write_text(props.read_text().replace("TQ3A", "TP1A"))

    (phone.folder / "benchmark").unlink()
    result = world.run(f"--resume={out}")
    assert result.code == 0, result.output


def test_a_full_disk_here(world, phone, flags, tmp_path):
    """The phone is restored even if nothing can be written anymore."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=36k,nr_inodes=100", "none", disk], check=True)
    try:
        result = world.run(*flags, "--out", disk / "out")
        with open(disk / "out" / "runs.csv", newline="") as f:
            rows = list(csv.DictReader(f))
    finally:
        subprocess.run(["umount", disk], check=True)
    assert result.code == 1
    assert "(is the disk full?)" in result.output
    assert 0 < len(rows) < 20
    assert phone.lines("mode") == ["true", "false"]
    assert phone.left_behind == []
