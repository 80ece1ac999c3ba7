"""benchmarks/run_adb.sh with the real adbd: devices, tools, transfers, and runs that fail."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.device


# Devices and their states


def test_no_device(world, flags):
    world.adb("disconnect")
    result = world.run(*flags)
    assert result.code == 1
    assert "no device is connected" in result.output
    assert "USB debugging" in result.output
    result = world.run(*flags, "--serial", "FA6AB0301234")
    assert "device FA6AB0301234 is not connected. No other device is connected either." in result.output


def test_two_devices(world, phone, flags, tmp_path):
    second = world.start(tmp_path / "second", 7002, **{"ro.product.model": "Galaxy S21"})
    result = world.run(*flags)
    assert result.code == 1
    assert "more than one device is connected; choose one with --serial" in result.output
    assert f"--serial {phone.serial}  (device, Pixel 4)" in result.output
    assert f"--serial {second.serial}  (device, Galaxy S21)" in result.output
    result = world.run(*flags, "--dry_run", "--serial", second.serial)
    assert result.code == 0
    assert "Phone: Galaxy S21" in result.output
    assert not (tmp_path / "out").exists()


def test_offline(world, phone, flags, wait_for):
    phone.unplug()
    wait_for(lambda: "offline" in world.adb("devices"))
    result = world.run(*flags)
    assert result.code == 1
    assert f"device {phone.serial} is offline" in result.output


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("unauthorized usb:1-2 transport_id:1", "Allow USB debugging?"),
        ("no permissions (user in plugdev group; are your udev rules wrong?); see [...] usb:1-2", "udev rules"),
        ("authorizing usb:1-2 transport_id:1", "still connecting"),
        ("recovery usb:1-2 product:flame model:Pixel_4", "in the state 'recovery'"),
    ],
)
def test_other_states(world, flags, tmp_path, state, says):
    """The real adbd is never in these states, so a script prints adb's words for them."""
    adb = tmp_path / "adb"
    adb.write_text(f"#!/bin/sh\necho 'List of devices attached'\necho 'FA6AB0301234    {state}'\n")
    adb.chmod(0o755)
    result = world.run(*flags, "--adb", adb)
    assert result.code == 1
    assert "device FA6AB0301234" in result.output
    assert says in result.output


# The tool


def patched(tool: bytes, machine: int) -> bytes:
    return tool[:18] + machine.to_bytes(2, "little") + tool[20:]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda tool: patched(tool, 183), "is for arm64-v8a; this phone runs x86_64"),
        (lambda tool: patched(tool, 40), "is for armeabi-v7a; this phone runs x86_64"),
        (lambda tool: b"<!DOCTYPE html><title>404</title>", "is a web page, not a binary"),
        (lambda tool: b"PK\x03\x04" + bytes(40), "is an archive or an app"),
        (lambda tool: b"\x1f\x8b" + bytes(40), "is a gzip archive"),
        (lambda tool: b"", "no ELF header"),
        (lambda tool: Path("/bin/sleep").read_bytes(), "is for Linux, not for Android"),
        (lambda tool: None, "file not found"),
    ],
)
def test_unsuitable_tools(world, phone, flags, tmp_path, content, says):
    path = tmp_path / "tool"
    data = content(world.tool.read_bytes())
    if data is not None:
        path.write_bytes(data)
    result = world.run(*flags, "--benchmark_model", path)
    assert result.code == 1
    assert says in result.output
    assert not (tmp_path / "out").exists()
    assert phone.left_behind == []


def test_where_to_get_the_tool(world, tmp_path, models):
    phone = world.start(tmp_path / "arm", 7003, **{"ro.product.cpu.abi": "arm64-v8a"})
    try:
        result = world.run("--models", models[0])
    finally:
        phone.unplug()
        world.adb("disconnect")
    assert result.code == 1
    assert "latest/android_aarch64_benchmark_model" in result.output
    assert "tools/arm64-v8a/benchmark_model" in result.output


def test_another_program(world, phone, flags):
    (phone.folder / "tool").write_text("other\n")
    source = phone.folder / "hello.c"
    source.write_text('#include <stdio.h>\nint main(void) { puts("hello"); return 0; }\n')
    subprocess.run(["cc", "-static", "-o", phone.folder / "hello", source], check=True)
    result = world.run(*flags, "--benchmark_model", phone.folder / "hello")
    assert result.code == 1
    assert "is not benchmark_model; with --help it prints on the phone: hello" in result.output
    assert phone.left_behind == []


# Pushing


@pytest.mark.parametrize("says_so", [True, False])
def test_no_space(world, phone, flags, tmp_path, says_so):
    subprocess.run(world.on_phone("mount", "-t", "tmpfs", "-o", "size=200k", "none", "/data/local/tmp"), check=True)
    try:
        if not says_so:
            (phone.folder / "free").write_text("999999")
        result = world.run(*flags)
        left = subprocess.run(world.on_phone("ls", "/data/local/tmp"), capture_output=True, text=True).stdout
    finally:
        subprocess.run(world.on_phone("umount", "/data/local/tmp"), check=True)
    assert result.code == 1
    assert ("not enough space on the phone" if says_so else "no space left on the phone while") in result.output
    assert left == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["benchmark_model", "mnext_1.0_224_float32.tflite"])
def test_corrupted_on_the_way(world, phone, flags, tmp_path, name):
    (phone.folder / "damage").write_text(name)
    result = world.run(*flags)
    assert result.code == 1
    assert "was corrupted on the way to the phone (hash " in result.output
    assert not (tmp_path / "out").exists()
    assert phone.lines("mode") == []
    assert phone.left_behind == []


# Runs


def test_failing_and_resumed(world, phone, quick, tmp_path, read_session, read_runs):
    (phone.folder / "benchmark").write_text("mnext_1.0_224_float32 gpu fail\nmobilenet_v2_1.0_224_float32 cpu crash\n")
    result = world.run(*quick, "--rounds=3")
    assert result.code == 1
    out = tmp_path / "out"
    failed = next(row for row in read_runs(out) if row["exit"] == "1")
    assert f"FAILED (exit 1): ERROR: Failed to allocate tensors! (log: {out}/{failed['log']})" in result.output
    assert "FAILED (exit 139)" in result.output
    rows = read_runs(out)
    assert [row["exit"] for row in rows if row["outcome"] == "failed"] == ["139", "1", "1", "139"]
    assert len(rows) == 10  # the third round skips what failed twice
    session = read_session(out / "session.txt")
    assert session["status"] == "failed"
    assert session["reason"].startswith("6 of 12 runs failed or were skipped: latency ")
    assert session["reason"].endswith(" cpu 1; latency mnext_1.0_224_float32 gpu 1")
    assert phone.lines("mode") == ["true", "false"]

    (phone.folder / "benchmark").unlink()
    result = world.run("--resume", out)
    assert result.code == 0, result.output
    rows = read_runs(out)
    assert len(rows) == 16
    assert len({(r["kind"], r["round"], r["model"], r["backend"]) for r in rows if r["outcome"] == "done"}) == 12
    assert rows[-1]["id"].startswith("016_")
    assert read_session(out / "session.txt")["status"] == "complete"
    assert "finished_utc" in read_session(out / "session.txt")
    before = read_session(out / "session.txt")
    assert "To make the report:" in world.run("--resume", out).output
    assert len(read_runs(out)) == 16
    assert read_session(out / "session.txt") == before  # nothing was left to do
    assert phone.left_behind == []


def test_many_failures_are_summarized(world, phone, flags, tmp_path, read_session):
    """A GPU that fails in every run does not keep the CPU from being measured."""
    (phone.folder / "benchmark").write_text("* gpu fail\n")
    result = world.run(*flags)
    assert result.code == 1
    reason = (
        "8 of 20 runs failed or were skipped, first: latency mnext_1.0_224_float32 gpu 1; "
        "latency mobilenet_v2_1.0_224_float32 gpu 1; memory mnext_1.0_224_float32 gpu 1, and 3 more"
    )
    assert read_session(tmp_path / "out" / "session.txt")["reason"] == reason
    assert reason in result.output

    (phone.folder / "benchmark").unlink()
    result = world.run("--resume", tmp_path / "out")
    assert result.code == 0, result.output
    assert "8 runs: " in result.output  # the GPU has one thread, as before


@pytest.mark.parametrize(("backends", "how"), [("cpu,gpu", "* * fail"), ("gpu", "* gpu fail")])
def test_a_tool_that_always_fails(world, phone, flags, tmp_path, read_session, read_runs, backends, how):
    (phone.folder / "benchmark").write_text(f"{how}\n")
    out = tmp_path / "out"
    result = world.run(*flags, f"--backends={backends}", "--rounds=4", "--threads=1,2,4")
    assert result.code == 1
    assert "6 consecutive runs failed with exit code 1: ERROR: Failed to allocate tensors!." in result.output
    assert f"--resume={out}" in result.output
    rows = read_runs(out)
    assert {row["outcome"] for row in rows} == {"failed"}
    assert [row["backend"] for row in rows].count(backends.split(",")[0]) == 6
    assert read_session(out / "session.txt")["status"] == "stopped"
    assert phone.left_behind == []

    (phone.folder / "benchmark").unlink()
    assert world.run("--resume", out, "--time_limit=20").code == 0
    assert {row["threads"] for row in read_runs(out) if row["backend"] == "gpu"} == {"1", "2", "4"}


def test_remaining_time_includes_cooldown(world, phone, quick):
    result = world.run(*quick, "--backends=cpu", "--cooldown=2")
    assert result.code == 0, result.output
    left = re.search(r"\[1 of 2\].*about (\d+) min (\d+) s left", result.output)
    assert int(left[1]) * 60 + int(left[2]) >= 2


def test_without_latency_and_partly_on_the_gpu(world, phone, quick, tmp_path, read_runs):
    lines = "mobilenet_v2_1.0_224_float32 gpu partial\nmnext_1.0_224_float32 gpu refused\n* cpu silent\n"
    (phone.folder / "benchmark").write_text(lines)
    result = world.run(*quick)
    assert result.code == 1
    assert "FAILED (exit 0): the tool printed no latency" in result.output
    assert "12.34 ms, partly on the CPU, thermal 0" in result.output
    assert "12.34 ms, NOT on the delegate (see the log), thermal 0" in result.output
    assert [row["outcome"] for row in read_runs(tmp_path / "out")] == ["failed", "failed", "done", "done"]


def test_unsupported_flags(world, phone, quick, tmp_path, read_session, read_runs):
    (phone.folder / "unknown_flag").write_text("gpu_precision_loss_allowed")
    result = world.run(*quick)
    assert result.code == 1
    assert "FAILED (exit 0): the tool does not support these flags: --gpu_precision_loss_allowed=true" in result.output
    assert [(row["backend"], row["exit"], row["outcome"]) for row in read_runs(tmp_path / "out")] == [
        ("cpu", "0", "done"),
        ("cpu", "0", "done"),
        ("gpu", "0", "failed"),
        ("gpu", "0", "failed"),
    ]
    session = read_session(tmp_path / "out" / "session.txt")
    assert session["status"] == "failed"
    assert session["reason"].startswith("2 of 4 runs failed or were skipped")
