"""benchmarks/run_adb.sh with a fake adb: the lock of a session folder, and numbers with leading zeros."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
PROPERTIES = "ro.product.model=Pixel 4\nro.build.version.sdk=33\nro.product.cpu.abi=x86_64\n"
SHELLS = pytest.mark.parametrize("shell", [["sh"], ["bash"], ["bash", "--posix"]], ids=" ".join)


@dataclass
class LocalPhone:
    """The folder of a fake phone, and flags for a single run on its CPU."""

    script: Path
    folder: Path
    flags: list

    def set_cores(self, names: list[str], khz: list[int]) -> None:
        for name, value in zip(names, khz, strict=True):
            path = self.folder / "cpu" / name / "cpufreq" / "cpuinfo_max_freq"
            path.parent.mkdir(parents=True)
            path.write_text(f"{value}\n")

    def start(self, *flags, shell=("sh",)) -> subprocess.Popen:
        environment = {**os.environ, "FAKE_PHONE": str(self.folder), "PHONE": str(HERE / "phone"), "ANDROID_SERIAL": ""}
        return subprocess.Popen(
            [*shell, self.script, "--adb", HERE / "host" / "adb", *flags],
            env={**environment, "TMPDIR": str(self.folder)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *flags, **options) -> tuple[int, str]:
        process = self.start(*flags, **options)
        output = process.communicate(timeout=60)[0]
        return process.returncode, output


@pytest.fixture
def local_phone(repository, tmp_path) -> LocalPhone:
    folder = tmp_path / "phone"
    (folder / "tmp").mkdir(parents=True)
    (folder / "props").write_text(PROPERTIES)
    (folder / "thermal").write_text("0\n")
    tool, model = tmp_path / "benchmark_model", tmp_path / "mnext_1.0_224_float32.tflite"
    tool.write_bytes(b"\x7fELF" + bytes(14) + b"\x3e\0" + bytes(100))
    model.write_bytes(b"\x1c\0\0\0TFL3" + bytes(1000))
    flags = [f"--models={model}", f"--benchmark_model={tool}", "--backends=cpu", "--threads=1", "--rounds=1"]
    flags += ["--memory=no", "--profile=no", "--cooldown=0", f"--out={tmp_path / 'out'}"]
    return LocalPhone(repository / "benchmarks" / "run_adb.sh", folder, flags)


# The lock


def killed(process: subprocess.Popen) -> None:
    """Sends SIGKILL to the script and its children, so the lock stays behind."""
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def wait_until_one_is_left(processes: list[subprocess.Popen]) -> list[subprocess.Popen]:
    end = time.monotonic() + 30
    while True:
        alive = [process for process in processes if process.poll() is None]
        if len(alive) <= 1 or time.monotonic() > end:
            return alive
        time.sleep(0.02)


@pytest.mark.slow
def test_one_of_many_contenders_takes_over_a_stale_lock(local_phone, tmp_path, wait_for):
    (local_phone.folder / "benchmark").write_text("* * hang\n")
    calls = local_phone.folder / "calls"
    resume = f"--resume={tmp_path / 'out'}"
    holder = local_phone.start(*local_phone.flags)
    wait_for(calls.exists)
    for _ in range(10):
        killed(holder)
        calls.unlink()
        contenders = [local_phone.start(resume) for _ in range(8)]
        alive = wait_until_one_is_left(contenders)
        try:
            assert len(alive) == 1
            (holder,) = alive
            wait_for(calls.exists)
            assert len(calls.read_text().splitlines()) == 1
            for loser in set(contenders) - {holder}:
                assert loser.returncode == 1
                output = loser.communicate()[0]
                assert output.count("\n") == 1, output
                assert f"another run_adb.sh (process {holder.pid} on {os.uname().nodename}, since " in output
        except BaseException:
            for process in alive:
                killed(process)
            raise

    (local_phone.folder / "benchmark").unlink()
    killed(holder)
    code, output = local_phone.run(resume)
    assert code == 0, output
    assert not [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize(
    ("holder", "says"),
    [
        ("{pid}@{host}@20250102T030405Z", "process {pid} on {host}, since 20250102T030405Z"),
        ("999999999@elsewhere@20250102T030405Z", "process 999999999 on elsewhere, since 20250102T030405Z"),
        ("pid", "does not say which process holds it"),  # an empty file: the holder is unknown
    ],
)
def test_a_lock_that_may_be_held_is_respected(local_phone, tmp_path, holder, says):
    (local_phone.folder / "benchmark").write_text("* * fail\n")
    assert local_phone.run(*local_phone.flags)[0] == 1
    lock = tmp_path / "out" / ".lock"
    lock.mkdir()
    names = {"pid": os.getpid(), "host": os.uname().nodename}
    (lock / holder.format(**names)).touch()
    code, output = local_phone.run(f"--resume={tmp_path / 'out'}")
    assert code == 1
    assert says.format(**names) in output
    assert f"rm -r {lock}" in output
    assert [path.name for path in lock.iterdir()] == [holder.format(**names)]
    assert "Phone:" not in output


@pytest.mark.parametrize("left", [[], [".lock.1@elsewhere@20250102T030405Z"], ["999999999@{host}@20250102T030405Z"]])
def test_remains_of_killed_holders_are_taken_over(local_phone, tmp_path, left):
    (local_phone.folder / "benchmark").write_text("* * fail\n")
    assert local_phone.run(*local_phone.flags)[0] == 1
    (local_phone.folder / "benchmark").unlink()
    lock = tmp_path / "out" / ".lock"
    lock.mkdir()
    for name in left:
        (lock / name.format(host=os.uname().nodename)).touch()
    code, output = local_phone.run(f"--resume={tmp_path / 'out'}")
    assert code == 0, output
    assert not lock.exists()


def test_a_session_created_in_the_meantime_is_not_overwritten(local_phone, tmp_path):
    """Two were started with the same --out before it existed."""
    out = tmp_path / "out"
    adb = tmp_path / "adb"
    adb.write_text(
        f'#!/bin/sh\ncase "$*" in *fixed*) ;; *--help*) mkdir -p {out} && echo theirs >{out}/session.txt ;; esac\n'
        f'exec {HERE}/host/adb "$@"\n'
    )
    adb.chmod(0o755)
    code, output = local_phone.run(*local_phone.flags, "--adb", adb)
    assert code == 1
    assert f"{out} already contains a session" in output
    assert [(path.name, path.read_text()) for path in out.iterdir() if path.is_file()] == [("session.txt", "theirs\n")]
    assert not list((local_phone.folder / "tmp").iterdir())


# Numbers


@SHELLS
def test_cores_named_with_leading_zeros(local_phone, shell):
    """In shell arithmetic, 08 is an invalid octal number."""
    local_phone.set_cores([f"cpu{core:02}" for core in range(10)], [1800000] * 4 + [2400000] * 6)
    code, output = local_phone.run(*local_phone.flags, "--threads=6", "--dry_run", shell=shell)
    assert code == 0, output
    assert "10 cores" in output
    assert "Threads are pinned to cores 4,5,6,7,8,9 (mask 3f0)." in output


@pytest.mark.slow
@SHELLS
def test_flags_with_leading_zeros(local_phone, tmp_path, read_session, shell):
    """010 means ten, and 08 is valid."""
    (local_phone.folder / "thermal").write_text("1\n0\n")
    flags = ["--rounds=02", "--thermal_wait=08", "--cooldown=00", "--num_runs=010", "--threads=01"]
    code, output = local_phone.run(*local_phone.flags, *flags, shell=shell)
    assert code == 0, output
    assert "[2 of 2]" in output
    assert "line " not in output
    session = read_session(tmp_path / "out" / "session.txt")
    assert [session[key] for key in ("rounds", "thermal_wait_s", "cooldown_s", "num_runs", "threads")] == [
        "2",
        "8",
        "0",
        "10",
        "1",
    ]


def test_threads_given_twice_with_a_leading_zero(local_phone):
    code, output = local_phone.run(*local_phone.flags, "--threads=1,01", "--dry_run")
    assert code == 2
    assert "--threads 1,1" in output
