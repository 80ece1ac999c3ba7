"""`host.benchmark` in a process of its own: `python -m mnext_tf.benchmark.isolated ASKED ANSWERED`.

LiteRT's GPU accelerator (2.3) ends a process that TensorFlow (2.21) was imported into by SIGSEGV, and a
driver may end any.
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
    """`host.benchmark(cases, **settings)`; ExportError as well where the process does not live to answer."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = Path(folder) / "asked", Path(folder) / "answered"
        asked.write_bytes(pickle.dumps((cases, settings)))
        done = run_module("mnext_tf.benchmark.isolated", str(asked), str(answered), capture=False)
        if done.returncode:
            raise ExportError(
                f"The process that timed on the GPU {how_it_ended(done)}. Nothing was written; the same with "
                "delegate=cpu times the CPU alone."
            )
        answer = pickle.loads(answered.read_bytes())
    if isinstance(answer, MnextError):
        raise answer
    return answer


def main(asked: Path, answered: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the one that waits is told as well, and ends this process
    _drop_native_log()
    cases, settings = pickle.loads(asked.read_bytes())
    try:
        answer = benchmark(cases, **settings)
    except MnextError as e:
        answer = e
    answered.write_bytes(pickle.dumps(answer))


def _drop_native_log() -> None:
    """LiteRT's GPU log cannot be turned off. Python's standard error keeps the progress bar."""
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
