"""benchmarks/run_adb.sh with the real adbd: complete sessions and their results."""

from __future__ import annotations

import csv
import hashlib
import os
import shutil
import time
from collections import Counter

import pytest

pytestmark = pytest.mark.device


def test_a_complete_session(world, phone, models, flags, tmp_path, read_session, read_runs):
    result = world.run(*flags)
    assert result.code == 0, result.output
    out = tmp_path / "out"
    assert sorted(p.name for p in out.iterdir()) == ["device.txt", "logs", "models.csv", "runs.csv", "session.txt"]

    session = read_session(out / "session.txt")
    assert (
        session.items()
        >= {
            "format": "1",
            "status": "complete",
            "reason": "",
            "backends": "cpu,gpu",
            "threads": "1,4",
            "delegate_threads": "1",
            "rounds": "2",
            "tool": "benchmark_model",
            "tool_sha256": hashlib.sha256(world.tool.read_bytes()).hexdigest(),
            "tool_kind": "tflite",
            "tool_abi": "x86_64",
            "fixed_performance_mode": "set",
            "mask": "f0",
            "big_cores": "4,5,6,7",
            "cooldown_s": "0",
            "time_limit_s": "180",
            "num_runs": "50",
            "warmup_runs": "1",
            "min_secs": "1",
            "left_on_phone": "",
        }.items()
    )
    assert session["started_utc"] <= session["finished_utc"]
    assert session["command"].startswith("run_adb.sh --models ")
    assert "1.0.41" in session["adb_version"]

    device = read_session(out / "device.txt")
    assert device.pop("memory_kb").isdigit()
    assert device == {
        "serial": phone.serial,
        "manufacturer": "Google",
        "model": "Pixel 4",
        "product": "flame",
        "device": "flame",
        "soc_manufacturer": "",
        "soc_model": "",
        "board_platform": "msmnile",
        "hardware": "flame",
        "android_release": "13",
        "sdk": "33",
        "build_fingerprint": "google/flame/flame:13/TP1A.221005.002/9012097:user/release-keys",
        "abi": "x86_64",
        "cores": "8",
        "cpu_max_khz": "1785600,1785600,1785600,1785600,2419200,2419200,2419200,2841600",
    }

    with open(out / "models.csv", newline="") as f:
        listed = list(csv.DictReader(f))
    for row, file in zip(listed, models, strict=True):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        size = str(file.stat().st_size)
        assert row == {"model": file.stem, "file": str(file), "bytes": size, "sha256": digest, "sha256_device": digest}

    rows = read_runs(out)
    assert Counter(row["kind"] for row in rows) == {"latency": 12, "memory": 4, "profile": 4}
    assert {row["outcome"] for row in rows} == {"done"}
    a, b = (file.stem for file in models)
    order = [(row["model"], row["backend"], row["threads"]) for row in rows if row["kind"] == "latency"]
    assert order[:4] == [(a, "cpu", "1"), (b, "cpu", "1"), (a, "gpu", "1"), (b, "gpu", "1")]
    assert order[4:6] == [(a, "cpu", "4"), (b, "cpu", "4")]
    assert order[6:] == order[:6][::-1]
    for row in rows:
        assert row["log"] == f"logs/{row['id']}.log"
        log = (out / row["log"]).read_text()
        assert "Inference (avg): 12341.5" in log
        assert "MNEXT_RC" not in log
        assert row["mask"] == "f0"
        assert (row["thermal_before"], row["thermal_after"]) == ("0", "0")
        assert (row["battery_level_before"], row["battery_temp_after"], row["charging"]) == ("83", "284", "1")
        assert f"--num_threads={row['threads']}" in row["command"]
        assert ("--use_gpu=true" in row["command"]) == (row["backend"] == "gpu")
        assert ("--report_peak_memory_footprint=true" in row["command"]) == (row["kind"] == "memory")
        assert ("--enable_op_profiling=true" in row["command"]) == (row["kind"] == "profile")
    assert len({row["id"] for row in rows}) == 20

    assert phone.lines("mode") == ["true", "false"]
    assert set(phone.lines("masks")) == {"f0"}
    assert phone.left_behind == []
    assert "About 2 minutes: 20 runs of at least 1.5 s with 0 s between." in result.output
    assert "[20 of 20] profile" in result.output
    assert result.output.count("12.34 ms") == 20  # and not the 99.00 ms of the table of a profile
    assert result.output.splitlines()[-1] == f"To make the report: python -m pipelines.report --device {out}"


def test_another_shell(world, phone, quick, tmp_path, read_runs):
    """macOS' sh is bash."""
    (phone.folder / "benchmark").write_text("mnext_1.0_224_float32 gpu hang\n")
    result = world.run(*quick, "--time_limit=2", shell=("bash", "--posix"))
    assert result.code == 1
    assert [row["outcome"] for row in read_runs(tmp_path / "out")] == ["done", "done", "timeout", "done"]
    assert "line " not in result.output  # nor the shell's own message about a killed process
    assert phone.lines("mode") == ["true", "false"]
    assert phone.left_behind == []


def test_defaults(world, phone, repository, tmp_path, read_runs):
    """The newest exports with the input size of the newest, a new results folder, the tool in tools/<abi>."""
    benchmarks = tmp_path / "benchmarks"
    shutil.copytree(repository / "benchmarks", benchmarks, ignore=shutil.ignore_patterns("results", "tools"))
    tool = benchmarks / "tools" / "x86_64" / "benchmark_model"
    tool.parent.mkdir(parents=True)
    tool.write_bytes(world.tool.read_bytes())
    root = tmp_path / "runs"
    newest_last = [
        "demo/mnext/tflite_float32/mnext_1.0_32_float32.tflite",
        "old/tflite_int8/mnext_1.0_224_int8.tflite",
        "new/tflite_int8/mnext_1.0_224_int8.tflite",
        "new/tflite_int8_probabilities/mnext_1.0_224_int8_probabilities.tflite",
        "new/tflite_float16/mnext_1.0_224_float16.tflite",
        "new/tflite_float32/mnext_0.5_224_float32.tflite",
        "new/tflite_float32/mobilenet_v2_1.0_224_float32.tflite",
        "new/.tflite_float32.partial-1/tflite_float32/mnext_1.4_224_float32.tflite",
    ]
    for age, name in enumerate(reversed(newest_last)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\x1c\0\0\0TFL3" + name.encode())
        os.utime(path, (time.time() - 60 * age,) * 2)
    result = world.run(
        "--rounds=1", "--cooldown=0", "--memory=no", "--profile=no", script=benchmarks / "run_adb.sh", cwd=tmp_path
    )
    assert result.code == 0, result.output
    (out,) = (benchmarks / "results").iterdir()
    assert out.name.endswith("Z_Pixel_4")
    with open(out / "models.csv", newline="") as f:
        files = [row["file"] for row in csv.DictReader(f)]
    chosen = [newest_last[5], newest_last[6], newest_last[2]]
    assert files == [str(root / name) for name in chosen]
    left_out = "1 of other input sizes, 1 of other precisions, 1 that output probabilities (for apps)"
    assert f"Not included: {left_out}. To choose files, use --models.\n" in result.output
    for name in chosen:
        assert f"  runs/{name}\n" in result.output
    assert len(read_runs(out)) == 3 * (2 + 1)


def test_flags_of_litert(world, phone, flags, tmp_path, read_session, read_runs):
    (phone.folder / "tool").write_text("litert\n")
    library = tmp_path / "libLiteRtClGlAccelerator.so"
    library.write_bytes(b"accelerator")
    flags = [*flags, "--rounds=1", "--threads=1", "--memory=no", "--require_full_delegation", "--libraries", library]
    result = world.run(*flags)
    assert result.code == 0, result.output
    assert read_session(tmp_path / "out" / "session.txt")["tool_kind"] == "litert"
    commands = {(row["kind"], row["backend"]): row["command"] for row in read_runs(tmp_path / "out")}
    assert commands["latency", "cpu"].endswith(" --use_cpu=true --use_gpu=false")
    assert commands["latency", "gpu"].endswith(" --use_gpu=true --use_cpu=false --require_full_delegation=true")
    assert commands["profile", "cpu"].endswith(" --use_profiler=true")
    assert all(command.startswith("env LD_LIBRARY_PATH=/data/local/tmp/mnext_tf_") for command in commands.values())

    result = world.run(*flags[:-2], "--backends=nnapi", "--out", tmp_path / "other")
    assert result.code == 1
    assert "does not support NNAPI" in result.output
    assert phone.left_behind == []


@pytest.mark.parametrize(
    ("khz", "mask", "threads"),
    [
        ([1700000] * 4 + [2370000] * 4 + [2910000], "1f0", "1,4"),  # 4+4+1
        ([2400000] * 2 + [1800000] * 6, "3", "1,2"),  # two big cores, listed first
        ([1800000] * 4, "f", "1,4"),
        ([None] * 8, "", "1,4"),
        ([None] * 2, "", "1,2"),
    ],
)
def test_big_cores(world, phone, flags, set_cores, khz, mask, threads):
    set_cores(khz)
    result = world.run(*flags, "--dry_run")
    assert result.code == 0, result.output
    assert f"(mask {mask})" in result.output if mask else "threads are not pinned" in result.output
    assert f"threads {threads} on the CPU, 1 on gpu and nnapi, 2 rounds" in result.output
    assert len([line for line in result.output.splitlines() if line.startswith("latency\t")]) == 12
    assert "About 2 minutes: 20 runs of at least 1.5 s with 0 s between." in result.output
    assert phone.left_behind == []
    if mask == "3":
        refused = world.run(*flags, "--dry_run", "--threads=1,4")
        assert refused.code == 1
        assert "this phone has 2 big cores (0,1)" in refused.output
        assert world.run(*flags, "--dry_run", "--threads=1,4", "--cores=all").code == 0
    elif threads == "1,4":
        asked = world.run(*flags, "--dry_run", "--threads=1,4")
        assert len([line for line in asked.output.splitlines() if line.startswith("latency\t")]) == 16


def test_without_taskset_fixed_mode_and_sha256sum(world, phone, quick, tmp_path, read_session, read_runs):
    (phone.folder / "power").write_text("Failed to set FIXED_PERFORMANCE mode\n")
    (phone.folder / "no_sha256sum").touch()
    (phone.folder / "no_taskset").touch()
    (phone.folder / "no_thermal").touch()
    result = world.run(*quick)
    assert result.code == 0, result.output
    session = read_session(tmp_path / "out" / "session.txt")
    assert (session["fixed_performance_mode"], session["mask"], session["big_cores"]) == ("refused", "", "")
    assert "threads are not pinned" in result.output
    with open(tmp_path / "out" / "models.csv", newline="") as f:
        assert all(row["sha256_device"].startswith("md5:") for row in csv.DictReader(f))
    for row in read_runs(tmp_path / "out"):
        assert (row["mask"], row["thermal_before"], row["battery_level_before"]) == ("", "", "83")
        assert row["command"].startswith("/data/local/tmp/")
    assert phone.lines("mode") == []


def test_it_waits_for_a_cool_phone(world, phone, quick, tmp_path, read_session, read_runs):
    (phone.folder / "thermal").write_text("2\n0\n")
    flags = [*quick, "--backends=cpu"]
    result = world.run(*flags, "--thermal_wait=3")
    assert result.code == 0, result.output
    assert "Waiting for the phone to cool down (thermal status 2)" in result.output
    assert {row["thermal_before"] for row in read_runs(tmp_path / "out")} == {"0"}

    (phone.folder / "thermal").write_text("1\n")
    result = world.run(*flags, "--thermal_wait=1", "--out", tmp_path / "warm")
    assert result.code == 1
    assert "did not cool down: thermal status 1" in result.output
    session = read_session(tmp_path / "warm" / "session.txt")
    assert session["status"] == "stopped"
    assert session["reason"] == "the phone did not cool down: thermal status 1 after 1 s"
    assert phone.lines("mode") == ["true", "false"] * 2

    result = world.run(f"--resume={tmp_path / 'warm'}", "--thermal_wait=0")
    assert result.code == 0, result.output
    assert {row["thermal_before"] for row in read_runs(tmp_path / "warm")} == {"1"}
