"""Which processors take a .tflite file, operator by operator, and why not: what can be known without the phone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from mnext_tf.tflite.detector import POSTPROCESS
from mnext_tf.tflite.operators import Delegation, Operator, delegation, layer_of, open_interpreter, operators

CPU, GPU = "XNNPACK", "GPU delegate"
NOT_KNOWN = "not known"
_CPU_ONLY = {POSTPROCESS: "a custom operator, which TFLite computes on the CPU alone"}
_MOST_JOINED = 5  # inputs of a CONCATENATION that XNNPACK takes
_DEQUANTIZED = "int8 is computed there dequantized, as float"

# The TFLite GPU delegate by its source (LiteRT 2, tflite/delegates/gpu/common/model_builder.cc): the latest version of
# each operator that it takes. TensorFlow's Analyzer no longer checks this: it calls every file compatible
# (tensorflow/tensorflow#77042).
_GPU_VERSIONS = {
    **dict.fromkeys(
        ("ADD", "SUB", "LOGISTIC", "RELU", "RELU6", "RELU_0_TO_1", "PAD", "PADV2", "CONCATENATION", "SOFTMAX"), 2
    ),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D", "QUANTIZE", "SLICE"), 2),
    **dict.fromkeys(("RESHAPE", "MEAN"), 1),
    **dict.fromkeys(("MUL", "DEQUANTIZE"), 3),
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D"), 6),
    "FULLY_CONNECTED": 9,
}
_ANY_VERSION = ("MEAN",)
_GPU_TYPES = ("float32", "float16", "int8", "uint8")  # of tensors that are not constant


@dataclass(frozen=True)
class Left:
    """An operator that a processor does not take. `layer` is "" where the operator belongs to none of ours."""

    processor: str  # CPU or GPU
    index: int  # in the file
    operator: str  # CONV_2D, ADD, ...
    layer: str
    reason: str


@dataclass(frozen=True)
class Preflight:
    """Of the `operators` of a file, those that XNNPACK, on this host, and the TFLite GPU delegate leave to others.

    note: how the GPU computes what it takes, where that is not as the file has it; or "".
    """

    operators: int
    left: tuple[Left, ...]
    note: str

    def on(self, processor: str) -> list[Left]:
        return [left for left in self.left if left.processor == processor]

    def rows(self) -> list[dict]:
        """For preflight.csv."""
        return [asdict(left) for left in self.left]

    def to_dict(self) -> dict:
        """{"operators", "note", "left": {processor: [{"operators": how many, "operator", "reason"}]}}."""
        groups = {}
        for processor in (CPU, GPU):
            counts = Counter((left.operator, left.reason) for left in self.on(processor))
            groups[processor] = [
                {"operators": count, "operator": kind, "reason": reason} for (kind, reason), count in counts.items()
            ]
        return {"operators": self.operators, "note": self.note, "left": groups}


def preflight(path: Path, layers: Iterable[str] = (), delegated: Delegation | None = None) -> Preflight:
    """Of a file; `layers` are the names of the network's layers, in order. Raises ExportError for no such file.

    delegated: what `delegation(path)` gives, where the caller has it.
    """
    ops, versions, names = operators(open_interpreter(path, delegate=False)), _versions(path), list(layers)

    def left(processor: str, index: int, reason: str) -> Left:
        return Left(processor, index, ops[index].kind, layer_of(ops[index].name, names) or "", reason)

    on_cpu = [left(CPU, i, _why_not_xnnpack(ops[i])) for i in (delegated or delegation(path)).indices]
    refused = {i: _why_not_gpu(op, version) for i, (op, version) in enumerate(zip(ops, versions, strict=True))}
    on_gpu = [left(GPU, i, reason) for i, reason in refused.items() if reason]
    return Preflight(len(ops), (*on_cpu, *on_gpu), _DEQUANTIZED if _computes_int8(ops) else "")


def summary(found: dict, processor: str) -> str:
    """In words, of `Preflight.to_dict`: "51 of 66 operators, not 15 DEPTHWISE_CONV_2D (why)"."""
    reasons: dict[str, list[str]] = {}
    for group in found["left"][processor]:
        reasons.setdefault(group["reason"], []).append(f"{group['operators']} {group['operator']}")
    left = sum(group["operators"] for group in found["left"][processor])
    text = f"{found['operators'] - left} of {found['operators']} operators"
    if left == found["operators"]:
        return f"{text} ({'; '.join(reasons)})"
    return ", not ".join([text, *(f"{' and '.join(kinds)} ({reason})" for reason, kinds in reasons.items())])


def _why_not_xnnpack(op: Operator) -> str:
    """Of an operator that XNNPACK left: that it did is measured, why is from its source."""
    if {"int16", "int64"} & {*op.input_types[:1], *op.output_types}:
        return "no kernels for int16 tensors"
    if op.kind == "DEPTHWISE_CONV_2D" and op.input_types[0] == "float32" and op.input_types[1] == "int8":
        return "no depthwise kernel that quantizes activations on the fly"
    if op.kind in _CPU_ONLY:
        return _CPU_ONLY[op.kind]
    if op.kind == "CONCATENATION" and len(op.inputs) > _MOST_JOINED:
        return f"more than {_MOST_JOINED} inputs"
    if op.kind == "RELU_0_TO_1":
        return "it does not have the operator"
    if op.kind == "QUANTIZE" and op.input_types == ("uint8",) and op.output_types == ("int8",):
        return "no conversion from uint8 to int8"
    return NOT_KNOWN


def _why_not_gpu(op: Operator, version: int) -> str:
    """ "" for an operator that the delegate takes."""
    odd = {*op.input_types[:1], *op.output_types} - {*_GPU_TYPES}
    if odd:
        return f"no {min(odd)} tensors"
    if op.kind in _CPU_ONLY:
        return _CPU_ONLY[op.kind]
    if op.kind not in _GPU_VERSIONS:
        return NOT_KNOWN
    if version > _GPU_VERSIONS[op.kind] and op.kind not in _ANY_VERSION:
        return f"version {version} of the operator, it takes up to {_GPU_VERSIONS[op.kind]}"
    return ""


def _computes_int8(ops: list[Operator]) -> bool:
    return any("int8" in op.output_types for op in ops)


def _versions(path: Path) -> list[int]:
    """The version of each operator of a file, in its order."""
    from ai_edge_litert.schema_py_generated import Model

    model = Model.GetRootAs(Path(path).read_bytes(), 0)
    graph = model.Subgraphs(0)
    codes = [graph.Operators(i).OpcodeIndex() for i in range(graph.OperatorsLength())]
    return [model.OperatorCodes(code).Version() for code in codes]
