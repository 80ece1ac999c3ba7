"""Peak memory of a network, measured in a fresh process."""

from __future__ import annotations

import sys
from pathlib import Path

from mnext_tf.benchmark.isolated import call_isolated

INVOCATIONS = 3
TIME_LIMIT_S = 300


def peak_memory_mb(file: Path, threads: int) -> tuple[float | None, str | None]:
    """Growth of the resident memory of a fresh process from before the interpreter is built to its
    peak over three inferences, in units of 1e6 bytes; or None and the reason. It includes the
    touched pages of the `.tflite` file and of the runtime's library."""
    outcome = call_isolated(measure_here, file, threads, timeout=TIME_LIMIT_S)
    return (None, str(outcome.error)) if outcome.error else outcome.value


def measure_here(file: Path, threads: int) -> tuple[float | None, str | None]:
    """As `peak_memory_mb`, of this process, which should have done nothing else before."""
    from mnext_tf.benchmark.runners import CpuRunner

    reset = _reset_peak()
    before, peak_before = _resident_and_peak()
    runner = CpuRunner(file, threads)
    runner.fill(seed=0)
    for _ in range(INVOCATIONS):
        runner.invoke()
    peak = _resident_and_peak()[1]
    if not reset and peak == peak_before:
        return None, "this system cannot reset a process's peak, and start-up used more memory than the network"
    return (peak - before) / 1e6, None


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
        lines = (line.partition(":") for line in Path("/proc/self/status").read_text().splitlines())
        kib = {name: int(rest.split()[0]) for name, _, rest in lines if name.startswith("Vm")}
        return kib["VmRSS"] * 1024, kib["VmHWM"] * 1024
    except (OSError, KeyError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        return peak, peak
