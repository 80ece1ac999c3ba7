"""A TFLite file as a phone's CPU computes it: LiteRT's ARM64 XNNPACK kernels, under qemu on this machine.

environments/arm64.sh makes the folder that this needs, here called the root. Emulated time is no latency.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mnext_tf.errors import ExportError
from mnext_tf.inference import arm64_worker
from mnext_tf.inference.tflite import TFLiteNetwork, dequantize_array, quantize_array

MAKE = "`sh environments/arm64.sh FOLDER` makes one (`make environment-arm64`: .environments/arm64)"

QEMU = "qemu-aarch64-static"

_NEEDED = (
    QEMU,
    "usr/bin/python3",
    "site/numpy",
    "site/ai_edge_litert",
    "proc/cpuinfo",  # without these two XNNPACK is not used, or crashes
    "sys/devices/system/cpu/possible",
    "made_by",
)

CPU = "cortex-a76"  # a big core of 2019's phones, as its /proc/cpuinfo in the root says too

# Stands for a tensor of `run_arm64`: the processor's seconds that the run took, emulated
CPU_SECONDS = {"index": "seconds", "shape": (), "dtype": np.float64}

XNNPACK_TOOK = "Created TensorFlow Lite XNNPACK delegate"


def check_root(root: Path) -> Path:
    """The absolute path of a root made by environments/arm64.sh. Raises ExportError for anything else."""
    root = Path(root).absolute()
    if not root.is_dir():
        raise ExportError(f"{root} does not exist: no ARM64 root. {MAKE}.")
    if missing := [name for name in _NEEDED if not (root / name).exists()]:
        raise ExportError(f"{root} is no whole ARM64 root: it lacks {', '.join(missing)}. Name one that is; {MAKE}.")
    return root


class Arm64Network(TFLiteNetwork):
    """A TFLite file as a function from float images to its float outputs, by ARM64 kernels; else as `TFLiteNetwork`.

    Every call starts its processes anew (2 s), so that one call with many images is best.

    Args:
      path: the file. root: a folder made by environments/arm64.sh.
      workers, time_limit, progress: see `run_arm64`.

    `about` says after a call what computed; see `run_arm64`, whose errors a call raises.

    Raises ExportError where the root is not whole or the file is none of ours.
    """

    def __init__(self, path: Path, root: Path, **options):
        self._path, self._root, self._options = Path(path), check_root(root), options
        super().__init__(path, workers=1)
        self.about: dict = {}

    def __call__(self, images) -> np.ndarray:
        ends = self.outputs
        dequantized = [dequantize_array(values, end) for values, end in zip(self.raw(images), ends, strict=True)]
        return self._joined(dequantized)

    def raw(self, images) -> list[np.ndarray]:
        """Each output, (n, ...), as the file gives it: integers for a quantized one."""
        self.about, computed = run_arm64(
            self._path, self._root, [self.fed(image) for image in np.asarray(images)], self.outputs, **self._options
        )
        return [np.concatenate(outputs) for outputs in zip(*computed, strict=True)]

    def fed(self, image: np.ndarray) -> np.ndarray:
        """What the file's input tensor holds for an image (size, size, 3)."""
        return quantize_array(self._normalize(image) if self._normalize else image, self._input)[None]


def run_arm64(
    path: Path,
    root: Path,
    inputs: Sequence[np.ndarray],
    tensors: Sequence[dict],
    *,
    workers: int = os.cpu_count() or 1,
    time_limit: float = 300.0,
    progress: bool = False,
) -> tuple[dict, list[list[np.ndarray]]]:
    """What LiteRT's ARM64 kernels compute of a TFLite file.

    Args:
      path: the file. root: a folder made by environments/arm64.sh.
      inputs: one array of its input's type and shape for each run. tensors: those to return, outputs of the
        file, as an interpreter describes them; or CPU_SECONDS.
      workers: processes side by side; each takes an input at a time.
      time_limit: seconds that one input, or the start of a process, may take.
      progress: show a bar on standard error.

    Returns:
      ({machine, python, numpy, litert, nodes_total, nodes_delegated to XNNPACK}, the arrays of `tensors` for each
      input).

    Raises ExportError where the root is not whole, or a process dies, takes too long, or does not use XNNPACK.
    """
    from tqdm import tqdm

    path, root = Path(path).absolute(), check_root(root)
    shapes = [tuple(map(int, d["shape"])) for d in tensors]
    sizes = [int(np.prod(s)) * np.dtype(d["dtype"]).itemsize for s, d in zip(shapes, tensors, strict=True)]
    workers = max(1, min(workers, len(inputs)))
    command = [
        *(root / QEMU, "-cpu", CPU, "-L", root),
        *(root / "usr/bin/python3", "-I", "-S", "-B", "-X", "utf8", arm64_worker.__file__),
        *(root / "site", path, *(d["index"] for d in tensors)),
    ]
    idle = queue.SimpleQueue()

    def one(fed: np.ndarray) -> list[np.ndarray]:
        process = idle.get()
        try:
            process.write(fed.tobytes())
            read = [process.read(size, "an image") for size in sizes]
        finally:
            idle.put(process)
        bar.update()
        return [np.frombuffer(b, d["dtype"]).reshape(s) for b, d, s in zip(read, tensors, shapes, strict=True)]

    with contextlib.ExitStack() as stack:
        bar = tqdm(total=len(inputs), desc=f"ARM64 {path.name}", unit="img", disable=None if progress else True)
        stack.enter_context(bar)
        pool = ThreadPoolExecutor(workers)
        stack.callback(pool.shutdown, cancel_futures=True)
        processes = [
            stack.enter_context(_process([str(part) for part in command], path, time_limit)) for _ in range(workers)
        ]
        for process in processes:
            about = process.introduction()
            idle.put(process)
        return about, list(pool.map(one, inputs))


class _Process:
    """An emulated process with its pipes. Every method raises ExportError where it has died or is too slow."""

    def __init__(self, popen: subprocess.Popen, said, path: Path, time_limit: float):
        self._popen, self._said, self._path, self._time_limit = popen, said, path, time_limit

    def introduction(self) -> dict:
        """What the process says about itself, once XNNPACK has the graph."""
        with self._limited("starting"):
            line = self._popen.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        about = json.loads(line)
        if XNNPACK_TOOK not in self._text() or not about["nodes_delegated"]:
            raise ExportError(
                f"{self._path}: XNNPACK did not take the graph under qemu (LiteRT does not say {XNNPACK_TOOK!r}), so "
                f"that other kernels than a phone's would compute. The ARM64 root may be damaged. {MAKE}."
            )
        return about

    def write(self, data: bytes) -> None:
        try:
            self._popen.stdin.write(data)
            self._popen.stdin.flush()
        except OSError:
            raise self._died() from None

    def read(self, size: int, what: str) -> bytes:
        with self._limited(what):
            data = self._popen.stdout.read(size)
        if len(data) != size:
            raise self._died()
        return data

    @contextlib.contextmanager
    def _limited(self, what: str) -> Iterator[None]:
        late = threading.Event()

        def stop():
            late.set()
            _end(self._popen)

        timer = threading.Timer(self._time_limit, stop)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        if late.is_set():
            raise ExportError(f"{self._path} under qemu: {what} took longer than {self._time_limit:g} s.")

    def _text(self) -> str:
        self._said.seek(0)
        return self._said.read().decode(errors="replace")

    def _died(self) -> ExportError:
        code = self._popen.wait()
        how = f"left with {code}"
        if code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        last = " ".join(self._text().strip().splitlines()[-3:])[-500:] or "nothing"
        return ExportError(
            f"{self._path} was not computed by ARM64 kernels: the process under qemu {how}; it last said: {last}. If "
            f"other files fail in the same way, the ARM64 root is damaged. {MAKE}."
        )


@contextlib.contextmanager
def _process(command: list[str], path: Path, time_limit: float) -> Iterator[_Process]:
    with tempfile.TemporaryFile() as said:
        try:
            # A session of its own: ctrl-C comes to us alone, and we end it.
            popen = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                env={},
                start_new_session=True,
            )
        except OSError as e:
            raise ExportError(f"{command[0]} does not run on this machine ({e}). {MAKE}.") from e
        try:
            yield _Process(popen, said, path, time_limit)
        finally:
            _end(popen)
            popen.wait()
            popen.stdout.close()
            with contextlib.suppress(OSError):  # what could not be written any more
                popen.stdin.close()


def _end(popen: subprocess.Popen) -> None:
    """Kill it and what it started, which would keep its pipes open."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(popen.pid, signal.SIGKILL)
