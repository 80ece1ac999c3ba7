"""What is inside a TFLite file: its operators, their types, and which of them XNNPACK takes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import ExportError
from mnext_tf.quiet import quiet_stderr

NO_DELEGATE = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"


@dataclass(frozen=True)
class Operator:
    """One node of the graph; `name` is that of its first output, which carries our layer names."""

    kind: str  # CONV_2D, ADD, ...
    name: str
    input_types: tuple[str, ...]
    output_types: tuple[str, ...]
    outputs: tuple[int, ...]  # tensor indices
    inputs: tuple[int, ...] = ()


@dataclass(frozen=True)
class Delegation:
    """How much of the graph XNNPACK computes; `left` names the operators that it does not, `indices` numbers them."""

    nodes_total: int
    nodes_delegated: int
    left: tuple[str, ...]
    indices: tuple[int, ...] = ()


def open_interpreter(
    path: Path, *, threads: int = 1, delegate: bool = True, keep_all: bool = False, quiet: bool = True
):
    """An `ai_edge_litert` interpreter with its tensors allocated. `keep_all` keeps every intermediate tensor.

    `quiet` drops what LiteRT writes to standard error about its delegates.
    """
    from ai_edge_litert import interpreter as litert

    resolver = litert.OpResolverType.AUTO if delegate else litert.OpResolverType[NO_DELEGATE]
    try:
        with quiet_stderr() if quiet else contextlib.nullcontext():
            interpreter = litert.Interpreter(
                str(path),
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=keep_all,
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as e:
        raise ExportError(f"{path} cannot be run as TFLite: {e}. python -m pipelines.export_tflite makes it.") from e
    return interpreter


def operators(interpreter) -> list[Operator]:
    """All nodes in order of execution, without delegates."""
    tensors = {t["index"]: t for t in interpreter.get_tensor_details()}

    def types(indices):
        return tuple(tensors[i]["dtype"].__name__ for i in indices if i in tensors)

    return [
        Operator(
            n["op_name"],
            tensors[n["outputs"][0]]["name"],
            types(n["inputs"]),
            types(n["outputs"]),
            tuple(n["outputs"]),
            tuple(n["inputs"]),
        )
        for n in interpreter._get_ops_details()
        if n["op_name"] != "DELEGATE"
    ]


def output_kind(ops: list[Operator]) -> str:
    """ "probabilities" where the last operator that computes is a softmax or a sigmoid, else "logits"."""
    return "probabilities" if last_operator(ops) in ("SOFTMAX", "LOGISTIC") else "logits"


def last_operator(ops: list[Operator]) -> str:
    """The kind of the last operator that computes: conversions and reshapes may follow it."""
    computing = [op.kind for op in ops if op.kind not in ("QUANTIZE", "DEQUANTIZE", "RESHAPE", "CAST", "SQUEEZE")]
    return computing[-1] if computing else ""


def read_operators(path: Path) -> list[Operator]:
    return operators(open_interpreter(path, delegate=False))


def size_and_precision(path: Path) -> tuple[int, str]:
    """Input size in pixels, and one of `naming.PRECISIONS`, from the content of any .tflite file for images."""
    interpreter = open_interpreter(path, delegate=False)
    shape = interpreter.get_input_details()[0]["shape"]
    return int(shape[1] if len(shape) == 4 else shape[-1]), _precision(operators(interpreter))


def _precision(ops: list[Operator]) -> str:
    made = {t for op in ops for t in op.output_types}
    if made & {"int8", "uint8", "int16"}:
        return "int16x8" if "int16" in made else "int8"
    unpacked = {t for op in ops if op.kind == "DEQUANTIZE" for t in op.input_types}
    computed = {t for op in ops if op.kind != "DEQUANTIZE" for t in op.input_types}
    if "float16" in unpacked:
        return "float16"
    return "dynamic" if "int8" in computed else "weight_int8" if "int8" in unpacked else "float32"


def delegation(path: Path, threads: int = 1) -> Delegation:
    """Which nodes XNNPACK takes, on this host.

    The interpreter lists replaced nodes and delegates side by side. Those that still run are the ones
    that one meets walking back from the outputs, stepping over each delegate to its inputs.
    """
    interpreter = open_interpreter(path, threads=threads)
    nodes = interpreter._get_ops_details()
    names = {t["index"]: t["name"] for t in interpreter.get_tensor_details()}
    made_by_delegate = {t: n for n in nodes if n["op_name"] == "DELEGATE" for t in n["outputs"]}
    made_by_node = {t: n for n in nodes if n["op_name"] != "DELEGATE" for t in n["outputs"]}
    running, seen = {}, set()
    todo = [d["index"] for d in interpreter.get_output_details()]
    while todo:
        tensor = todo.pop()
        node = made_by_delegate.get(tensor, made_by_node.get(tensor))
        if node is None or node["index"] in seen:
            continue
        seen.add(node["index"])
        if node["op_name"] != "DELEGATE":
            running[node["index"]] = f"{node['op_name']} {names[node['outputs'][0]]}"
        todo.extend(int(i) for i in node["inputs"])
    total = sum(n["op_name"] != "DELEGATE" for n in nodes)
    left = sorted(running)
    return Delegation(total, total - len(running), tuple(running[i] for i in left), tuple(left))


def layer_of(name: str, layers: Iterable[str]) -> str | None:
    """The layer of ours, the last one in `layers` order, whose name stands in a tensor's name.

    The converter joins the names of fused operators with ';' and appends numbers; `block01_reduce`
    stands for its batch norm and activation as well. Batch norms of equal variance, as untrained networks have, share a
    constant (`Rsqrt`), which says nothing.
    """
    parts = name.split(";")
    name = ";".join(part for part in parts if "/batchnorm/Rsqrt" not in part) or name
    found = None
    for layer in layers:
        if re.search(rf"(?<![A-Za-z0-9_]){re.escape(layer)}(?![A-Za-z0-9])", name):
            found = layer
    return found
