"""The host's GPU through LiteRT's accelerator: whether there is one, and whether a file really runs on it.

Both are tried in a fresh process: drivers are native code that can crash it, and only their log names the adapter.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.benchmark.isolated import call_isolated
from mnext_tf.benchmark.timing import Case, CaseResult, benchmark
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.text import printable

# Root mean square of the difference to the CPU's logits over their standard deviation. Half precision gave
# 0.036 and int8 0.107 with random weights at 224 pixels; logits of another network give about 1.4.
TOLERANCE = 0.2
TIME_LIMIT_S = 600  # a driver may compile its shaders for half a minute

_ADAPTER = re.compile(r"Selected adapter: (.*), arch=(.*), vendor=.*, backend=(.*), adapterType=(.*)")
_DRIVER = (
    "Install the Vulkan driver of your GPU (Debian and Ubuntu: `apt install libvulkan1 mesa-vulkan-drivers` for AMD "
    "and Intel; for NVIDIA its own driver, and NVIDIA_DRIVER_CAPABILITIES=all for a container)"
)
_MISSING = (  # the first whose pattern is in the log counts
    ("Couldn't load Vulkan", "this system has no Vulkan loader (libvulkan.so.1)", _DRIVER),
    (
        "Found no drivers|INCOMPATIBLE_DRIVER",
        "the Vulkan loader is installed, but finds no GPU driver",
        f"{_DRIVER}; `vulkaninfo --summary` lists what is found",
    ),
    (
        "No adapters found|No supported adapters",
        "no adapter of this host has what LiteRT requires",
        "A newer driver may; `vulkaninfo --summary` lists what is found",
    ),
)


@dataclass(frozen=True)
class Adapter:
    """What WebGPU computes on. `kind` is its term for a discrete or integrated GPU, or for software."""

    name: str
    backend: str
    kind: str
    software: bool  # computes on the CPU, whatever its name

    def __str__(self) -> str:
        return f"{self.name}, {self.backend}, {self.kind}"


def find_gpu() -> Adapter:
    """The adapter that LiteRT chooses for a network of one operator. Raises ConfigError naming what is missing."""
    package = importlib.util.find_spec("ai_edge_litert").submodule_search_locations[0]
    if not [*Path(package).glob("*Accelerator.*")]:
        version = importlib.metadata.version("ai-edge-litert")
        raise ConfigError(
            f"No GPU can be used: ai-edge-litert {version} for {platform.system()} {platform.machine()} comes without "
            "a GPU accelerator (lib*Accelerator). The wheels for x86-64 Linux have one. delegate=cpu needs none."
        )
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "relu.tflite"
        file.write_bytes(_one_operator())
        answer, log = _try(file)
    if "error" in answer:
        raise ConfigError(f"No GPU can be used: {_what_is_missing(answer['error'], log)} delegate=cpu needs none.")
    return _adapter(log)


def check_on_gpu(file: Path) -> float:
    """Run the file on GPU and CPU; return the difference of their logits, in the units of `TOLERANCE`.

    Raises:
      ExportError: not all of it runs on the GPU, or its output differs there.
    """
    answer, log = _try(file)
    if "error" in answer:
        operators = re.findall(r"^([A-Z0-9_]+): .*not support.*$", log, re.MULTILINE)
        which = f" Not supported: {', '.join(dict.fromkeys(operators))}." if operators else ""
        raise ExportError(f"{answer['error']}{which} Time this file with delegate=cpu.")
    if not answer["difference"] <= TOLERANCE:  # which is also so for NaN
        raise ExportError(
            f"{file} gives other logits on {_adapter(log)} than on the CPU: they differ by {answer['difference']:.3g} "
            f"of their standard deviation, {TOLERANCE:g} is allowed. Its time would mean nothing; leave this precision "
            "out, or time it with delegate=cpu."
        )
    return answer["difference"]


def _try(file: Path) -> tuple[dict, str]:
    """{"difference": of `try_here`} in a fresh process, or {"error": text}; and its log."""
    outcome = call_isolated(try_here, file, timeout=TIME_LIMIT_S)
    if outcome.error:
        text = str(outcome.error)
        return {"error": text if str(file) in text else f"{file} does not run on the GPU: {text}."}, outcome.log
    return {"difference": outcome.value}, outcome.log


def benchmark_isolated(cases: Sequence[Case], **settings) -> list[CaseResult]:
    """`timing.benchmark` in a fresh process; ExportError also where that crashes."""
    outcome = call_isolated(functools.partial(benchmark, **settings), cases, capture=False)
    if outcome.error:
        hint = "Nothing was written; delegate=cpu times the CPU alone."
        raise ExportError(f"Timing on the GPU failed: {str(outcome.error).rstrip('.')}. {hint}") from outcome.error
    return outcome.value


def _what_is_missing(error: str, log: str) -> str:
    warnings = re.findall(r"^Warning: (?!Couldn't load Vulkan)(?!.*artificially reduced)(.*)$", log, re.MULTILINE)
    said = f" ({'; '.join(dict.fromkeys(warnings))})" if warnings else ""
    for words, what, how in _MISSING:
        if re.search(words, log):
            return f"{what}{said}. {how}."
    return f"LiteRT's accelerator failed on a network of one operator{said}: {error}"


def _adapter(log: str) -> Adapter:
    found = _ADAPTER.search(log)
    if not found:  # accelerators other than WebGPU do not name it
        return Adapter("adapter not named by LiteRT", "backend unknown", "kind unknown", software=False)
    name, arch, backend, kind = (printable(text.strip()) for text in found.groups())
    return Adapter(name, backend, kind, software=arch == "software" or "CPU" in kind)


def _one_operator() -> bytes:
    """A .tflite file of one RELU over (1, 4, 4, 4) float32."""
    from ai_edge_litert import schema_py_generated as schema

    from mnext_tf.tflite.flatbuffer import write_model

    def tensor(name):
        made = schema.TensorT()
        made.name, made.shape, made.type = name, [1, 4, 4, 4], schema.TensorType.FLOAT32
        return made

    code, operator, graph, model = schema.OperatorCodeT(), schema.OperatorT(), schema.SubGraphT(), schema.ModelT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RELU
    code.version = 1
    operator.inputs, operator.outputs = [0], [1]
    graph.tensors, graph.operators = [tensor("input"), tensor("output")], [operator]
    graph.inputs, graph.outputs = [0], [1]
    model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [code], [graph], [schema.BufferT()]
    return write_model(model)


def try_here(file: Path) -> float:
    """The difference of one inference on the GPU to one on the CPU, in the units of `TOLERANCE`."""
    from mnext_tf.benchmark.runners import CpuRunner, GpuRunner

    logits = []
    for runner in (GpuRunner(file), CpuRunner(file, threads=1)):
        runner.fill(seed=0)
        runner.invoke()
        logits.append(runner.output().astype(np.float64))
    gpu, cpu = logits
    return float(np.sqrt(np.mean((gpu - cpu) ** 2)) / cpu.std())
