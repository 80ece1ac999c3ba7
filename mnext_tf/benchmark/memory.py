"""Peak memory of a network, measured in a fresh process: `python -m mnext_tf.benchmark.memory FILE`.

The peak of a process never falls, so one process can measure one network only.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

INVOCATIONS = 3
TIME_LIMIT_S = 300


def peak_memory_mb(file: Path, threads: int) -> tuple[float | None, str | None]:
    """Growth of the resident memory of a fresh process from before the interpreter is built to its
    peak over three inferences, in units of 1e6 bytes; or None and the reason. It includes the
    touched pages of the `.tflite` file and of the runtime's library."""
    try:
        done = run_module("mnext_tf.benchmark.memory", str(file), "--threads", str(threads), timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        return None, f"no answer within {TIME_LIMIT_S} s"
    if done.returncode != 0:
        return None, f"the measuring process {how_it_ended(done)}"
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["peak_memory_mb"], answer["reason"]


def run_module(
    module: str, *arguments: str, timeout: float | None = None, capture: bool = True
) -> subprocess.CompletedProcess:
    """`python -m MODULE`, one of this package's, its output captured as text. Raises subprocess.TimeoutExpired."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=capture,
        text=True,
        errors="replace",
        timeout=timeout,
        env={**os.environ, "PYTHONPATH": path},
    )


def how_it_ended(done: subprocess.CompletedProcess) -> str:
    """How it ended, for a sentence: the signal, or its exit status and the last line that it printed."""
    if done.returncode < 0:
        return f"was ended by {signal.Signals(-done.returncode).name}"
    last = ((done.stderr or "").strip().splitlines() or ["no message"])[-1]
    return f"left with {done.returncode}: {last}"


def measure_here(file: Path, threads: int) -> dict:
    """{"peak_memory_mb", "reason"} of this process, which should have done nothing else before."""
    from mnext_tf.benchmark.runners import CpuRunner

    reset = _reset_peak()
    before, peak_before = _resident_and_peak()
    runner = CpuRunner(file, threads)
    runner.fill(seed=0)
    for _ in range(INVOCATIONS):
        runner.invoke()
    peak = _resident_and_peak()[1]
    if not reset and peak == peak_before:
        reason = "this system cannot reset a process's peak, and start-up used more memory than the network"
        return {"peak_memory_mb": None, "reason": reason}
    return {"peak_memory_mb": (peak - before) / 1e6, "reason": None}


def _reset_peak() -> bool:
    """Set the peak to what is resident now; only Linux can, and not in every sandbox."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _resident_and_peak() -> tuple[int, int]:
    """Bytes resident now and at most; without /proc the peak stands for both."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        kib = {
            name: int(rest.split()[0]) for name, _, rest in (x.partition(":") for x in lines) if name.startswith("Vm")
        }
        return kib["VmRSS"] * 1024, kib["VmHWM"] * 1024
    except (OSError, KeyError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return peak, peak


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Peak memory of one .tflite file, as JSON.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    print(json.dumps(measure_here(arguments.file, arguments.threads)))
