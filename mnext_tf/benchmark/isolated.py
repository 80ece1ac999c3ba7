"""Calls a function in a fresh process: `python -m mnext_tf.benchmark.isolated REQUEST RESULT`.

A driver may crash the process that uses it. LiteRT's GPU accelerator (2.3) crashes one that has imported TensorFlow
(2.21). And the peak memory of a process never falls, so one process can measure one network only.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnext_tf.errors import ExportError, MnextError


@dataclass(frozen=True)
class Outcome:
    value: Any  # what the function returned
    error: MnextError | None  # what it raised, or an ExportError that says how the process ended
    log: str  # its standard error; "" unless captured


def call_isolated(function: Callable, *arguments, timeout: float | None = None, capture: bool = True) -> Outcome:
    """`function(*arguments)` in a fresh process; all of them must be picklable.

    `capture` keeps the standard error; otherwise Python's shows, such as a progress bar, and native code's is dropped.
    """
    with tempfile.TemporaryDirectory() as folder:
        request, result = Path(folder) / "request", Path(folder) / "result"
        request.write_bytes(pickle.dumps((function, arguments, capture)))
        path = os.pathsep.join(filter(None, [str(Path(__file__).resolve().parents[2]), os.environ.get("PYTHONPATH")]))
        try:
            done = subprocess.run(
                [sys.executable, "-m", "mnext_tf.benchmark.isolated", str(request), str(result)],
                stderr=subprocess.PIPE if capture else None,
                text=True,
                errors="replace",
                timeout=timeout,
                env={**os.environ, "PYTHONPATH": path},
            )
        except subprocess.TimeoutExpired as e:
            return Outcome(None, ExportError(f"it gave no answer within {timeout:g} s"), str(e.stderr or ""))
        log = done.stderr or ""
        if done.returncode:
            last = (log.strip().splitlines() or ["no message"])[-1]
            ended = f"exited with {done.returncode}: {last}"
            if done.returncode < 0:
                ended = f"was ended by {signal.Signals(-done.returncode).name}"
            return Outcome(None, ExportError(f"the subprocess {ended}"), log)
        return Outcome(*pickle.loads(result.read_bytes()), log)


def main(request: Path, result: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets it too, and ends this process
    function, arguments, capture = pickle.loads(request.read_bytes())
    if not capture:  # LiteRT's GPU log cannot be turned off
        sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
    try:
        answer = function(*arguments), None
    except MnextError as e:
        answer = None, e
    result.write_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
