"""`timing.benchmark` in an isolated subprocess: `python -m mnext_tf.benchmark.isolated REQUEST RESULT`.

LiteRT's GPU accelerator (2.3) crashes a process that has imported TensorFlow (2.21), and a driver may crash any.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.memory import how_it_ended, run_module
from mnext_tf.benchmark.timing import Case, CaseResult, benchmark
from mnext_tf.errors import ExportError, MnextError


def benchmark_isolated(cases: Sequence[Case], **settings) -> list[CaseResult]:
    """`timing.benchmark(cases, **settings)`; ExportError also where the subprocess crashes."""
    with tempfile.TemporaryDirectory() as folder:
        request, result = Path(folder) / "request", Path(folder) / "result"
        request.write_bytes(pickle.dumps((cases, settings)))
        done = run_module("mnext_tf.benchmark.isolated", str(request), str(result), capture=False)
        if done.returncode:
            raise ExportError(
                f"The subprocess that timed on the GPU {how_it_ended(done)}. Nothing was written; delegate=cpu "
                "times the CPU alone."
            )
        answer = pickle.loads(result.read_bytes())
    if isinstance(answer, MnextError):
        raise answer
    return answer


def main(request: Path, result: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    _drop_native_log()
    cases, settings = pickle.loads(request.read_bytes())
    try:
        answer = benchmark(cases, **settings)
    except MnextError as e:
        answer = e
    result.write_bytes(pickle.dumps(answer))


def _drop_native_log() -> None:
    """LiteRT's GPU log cannot be turned off. Python's standard error keeps the progress bar."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
