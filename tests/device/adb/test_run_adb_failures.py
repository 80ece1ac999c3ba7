"""benchmarks/run_adb.sh against the genuine adbd, with all that goes wrong on a cable."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.device


# Which device, and in which state


def test_no_device(world, flags):
    world.adb("disconnect")
    result = world.run(*flags)
    assert result.code == 1
    assert "no device is connected" in result.output
    assert "USB debugging" in result.output
    result = world.run(*flags, "--serial", "FA6AB0301234")
    assert "no device FA6AB0301234 is connected. None is." in result.output


def test_two_devices(world, phone, flags, tmp_path):
    second = world.start(tmp_path / "second", 7002, **{"ro.product.model": "Galaxy S21"})
    result = world.run(*flags)
    assert result.code == 1
    assert "more than one device is connected: say which with --serial" in result.output
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
    assert f"the device {phone.serial} is offline" in result.output


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("unauthorized usb:1-2 transport_id:1", "Allow USB debugging?"),
        ("no permissions (user in plugdev group; are your udev rules wrong?); see [...] usb:1-2", "udev rules"),
        ("authorizing usb:1-2 transport_id:1", "still connecting"),
        ("recovery usb:1-2 product:flame model:Pixel_4", "in the state 'recovery'"),
    ],
)
def test_states_that_need_a_cable(world, flags, tmp_path, state, says):
    """An adbd without a screen is never in these: adb's words for them are given by a script."""
    adb = tmp_path / "adb"
    adb.write_text(f"#!/bin/sh\necho 'List of devices attached'\necho 'FA6AB0301234    {state}'\n")
    adb.chmod(0o755)
    result = world.run(*flags, "--adb", adb)
    assert result.code == 1
    assert "the device FA6AB0301234" in result.output
    assert says in result.output


# The tool


def patched(tool: bytes, machine: int) -> bytes:
    return tool[:18] + machine.to_bytes(2, "little") + tool[20:]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda tool: patched(tool, 183), "is for arm64-v8a; this phone runs x86_64"),
        (lambda tool: patched(tool, 40), "is for armeabi-v7a; this phone runs x86_64"),
        (lambda tool: b"<!DOCTYPE html><title>404</title>", "is a web page, not a program"),
        (lambda tool: b"PK\x03\x04" + bytes(40), "is an archive or app"),
        (lambda tool: b"\x1f\x8b" + bytes(40), "is a gzip archive"),
        (lambda tool: b"", "no ELF header"),
        (lambda tool: Path("/bin/sleep").read_bytes(), "is for Linux, not for Android"),
        (lambda tool: None, "there is no file"),
    ],
)
def test_a_tool_that_is_none(world, phone, flags, tmp_path, content, says):
    path = tmp_path / "tool"
    data = content(world.tool.read_bytes())
    if data is not None:
        path.write_bytes(data)
    result = world.run(*flags, "--benchmark_model", path)
    assert result.code == 1
    assert says in result.output
    assert not (tmp_path / "out").exists()
    assert phone.left_behind == []


def test_where_the_tool_comes_from(world, tmp_path, models):
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
    assert "does not answer --help on the phone like a benchmark_model: hello" in result.output
    assert phone.left_behind == []


# Copying


@pytest.mark.parametrize("says_so", [True, False])
def test_no_space(world, phone, flags, tmp_path, says_so):
    subprocess.run(world.inside("mount", "-t", "tmpfs", "-o", "size=200k", "none", "/data/local/tmp"), check=True)
    try:
        if not says_so:
            (phone.folder / "free").write_text("999999")
        result = world.run(*flags)
        left = subprocess.run(world.inside("ls", "/data/local/tmp"), capture_output=True, text=True).stdout
    finally:
        subprocess.run(world.inside("umount", "/data/local/tmp"), check=True)
    assert result.code == 1
    assert ("too little space on the phone" if says_so else "no space left on the phone while") in result.output
    assert left == ""
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["benchmark_model", "mnext_1.0_224_float32.tflite"])
def test_damaged_on_the_way(world, phone, flags, tmp_path, name):
    (phone.folder / "damage").write_text(name)
    result = world.run(*flags)
    assert result.code == 1
    assert "arrived damaged on the phone (hash " in result.output
    assert not (tmp_path / "out").exists()
    assert phone.lines("mode") == []
    assert phone.left_behind == []
