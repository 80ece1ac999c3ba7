"""Folders as benchmarks/run_adb.sh writes them, with made-up times."""

from __future__ import annotations

import csv
from pathlib import Path

from support.tool_logs import GPU_FULL, GPU_PART, profile, replacing, tool_log

SESSION = {
    "format": "1",
    "started_utc": "2026-11-20T10:00:00Z",
    "finished_utc": "2026-11-20T10:40:00Z",
    "status": "complete",
    "reason": "",
    "command": "benchmarks/run_adb.sh --threads 1,4",
    "backends": "cpu,gpu",
    "threads": "1,4",
    "rounds": "3",
    "tool": "android_aarch64_benchmark_model",
    "tool_sha256": "cd" * 32,
    "tool_kind": "tflite",
    "tool_abi": "arm64-v8a",
    "fixed_performance_mode": "set",
    "mask": "f0",
    "big_cores": "4,5,6,7",
}
DEVICE = {
    "serial": "0A1B2C",
    "manufacturer": "Google",
    "model": "Pixel 4",
    "product": "flame",
    "device": "flame",
    "soc_manufacturer": "Qualcomm",
    "soc_model": "SM8150",
    "android_release": "13",
    "sdk": "33",
    "build_fingerprint": "google/flame/flame:13/TP1A.1/1:user/release-keys",
    "abi": "arm64-v8a",
    "cores": "8",
    "cpu_max_khz": "1785600,1785600,1785600,1785600,2419200,2419200,2419200,2841600",
}
COLUMNS = [
    *("id", "kind", "round", "model", "backend", "threads", "mask", "exit", "outcome", "started_utc", "seconds"),
    *("thermal_before", "thermal_after", "battery_level_before", "battery_level_after", "battery_temp_before"),
    *("battery_temp_after", "charging", "log", "command"),
]
XNNPACK = replacing(64, 65, "TfLiteXNNPackDelegate")


def log_of(ms: float, ran_on: str = "cpu", *, percentiles: bool = True, more: str = "") -> str:
    """A tool's log whose measured median (or average, in a build without percentiles) is `ms`."""
    said = {
        "cpu": [XNNPACK],
        "gpu": [replacing(65, 65), GPU_FULL],
        "gpu_partial": [replacing(62, 65), GPU_PART, replacing(2, 6, "TfLiteXNNPackDelegate")],
    }[ran_on]
    us = round(ms * 1000)
    measured = f"count=50 first={us} curr={us} min={us - 100} max={us + 900} avg={us + 50 * percentiles} std=90"
    measured += f" p5={us - 80} median={us} p95={us + 700}" if percentiles else ""
    return tool_log(*said, measured=measured, percentiles=False) + more


def run_row(model="mnext_1.0_224_float32", backend="cpu", threads=1, round=1, kind="latency", **changes) -> dict:
    identity = f"{kind}_{round}_{model}_{backend}_{threads}"
    row = {
        "id": identity,
        "kind": kind,
        "round": round,
        "model": model,
        "backend": backend,
        "threads": threads,
        "mask": "f0",
        "exit": 0,
        "outcome": "done",
        "started_utc": "2026-11-20T10:01:00Z",
        "seconds": 12,
        "thermal_before": 0,
        "thermal_after": 0,
        "battery_level_before": 80,
        "battery_level_after": 79,
        "battery_temp_before": 291,
        "battery_temp_after": 305,
        "charging": 0,
        "log": f"logs/{identity}.log",
        "command": f'taskset f0 ./benchmark_model --graph={model}.tflite --num_threads={threads} --use_gpu="{backend}"',
        **changes,
    }
    assert list(row) == COLUMNS
    return row


def write_session(folder: Path, runs: list[tuple[dict, str | None]], *, session=(), device=(), hashes=()) -> Path:
    """`runs`: a line of runs.csv and the log that goes with it (None: the log is missing)."""
    (folder / "logs").mkdir(parents=True)
    for name, values in (("session", SESSION | dict(session)), ("device", DEVICE | dict(device))):
        text = "".join(f"{key}={value}\n" for key, value in values.items() if value is not None)
        (folder / f"{name}.txt").write_text(text)
    models = list(dict.fromkeys(row["model"] for row, _ in runs))
    with open(folder / "models.csv", "w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["model", "file", "bytes", "sha256", "sha256_device"])
        for model in models:
            host, phone = dict(hashes).get(model, ("ab" * 32, "ab" * 32))
            writer.writerow([model, f"/runs/a, b/{model}.tflite", 13_900_000, host, phone])
    with open(folder / "runs.csv", "w", newline="") as f:
        writer = csv.DictWriter(f, COLUMNS)
        writer.writeheader()
        for row, log in runs:
            writer.writerow(row)
            if log is not None:
                (folder / row["log"]).write_text(log)
    return folder


def pixel(folder: Path, *, gpu_of_mnext="gpu", **changes) -> Path:
    """Both networks on CPU and GPU, three rounds, with one run for memory and one for the profile."""
    times = {
        ("mnext_1.0_224_float32", "cpu", 1): (48.0, 50.5, 49.0),
        ("mnext_1.0_224_float32", "cpu", 4): (21.0, 20.5, 22.0),
        ("mnext_1.0_224_float32", "gpu", 1): (16.4, 16.1, 16.9),
        ("mobilenet_v2_1.0_224_float32", "cpu", 1): (44.5, 46.0, 45.0),
        ("mobilenet_v2_1.0_224_float32", "cpu", 4): (19.0, 19.5, 18.9),
        ("mobilenet_v2_1.0_224_float32", "gpu", 1): (15.5, 15.1, 15.9),
    }
    runs = []
    for (model, backend, threads), rounds in times.items():
        ran_on = gpu_of_mnext if (model[:5], backend) == ("mnext", "gpu") else backend
        for number, ms in enumerate(rounds, 1):
            runs.append((run_row(model, backend, threads, number), log_of(ms, ran_on)))
        for kind, more in (("memory", ""), ("profile", profile())):
            if backend == "cpu":
                runs.append((run_row(model, backend, threads, kind=kind), log_of(99, ran_on, more=more)))
    return write_session(folder, runs, **changes)


def widths(folder: Path) -> Path:
    """Several widths of both networks; MobileNeXt at 0.9 of the time that its accuracy takes MobileNetV2."""
    times = {
        "mobilenet_v2": {0.35: 12.0, 0.5: 18.0, 0.75: 32.0, 1.0: 45.0, 1.4: 80.0},
        "mnext": {0.35: 15.0, 0.5: 22.0, 0.75: 41.0, 1.0: 58.0},
    }
    runs = []
    for model, by_width in times.items():
        for width, ms in by_width.items():
            for number in (1, 2, 3):
                name = f"{model}_{width}_224_float32"
                for backend, share in (("cpu", 1.0), ("gpu", 0.4)):
                    ran_on = "gpu_partial" if (model, width, backend) == ("mnext", 1.0, "gpu") else backend
                    log = log_of(ms * share * (1 + 0.01 * number), ran_on)
                    runs.append((run_row(name, backend, 1, number), log))
    for number in (1, 2, 3):
        row = run_row("mnext_1.0_id0.5_224_float32", round=number)
        runs.append((row, log_of(54 + number / 10)))
    return write_session(folder, runs)
