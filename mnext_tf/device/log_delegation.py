"""What a benchmark log says about which processor ran the graph. In doubt it was not the GPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mnext_tf.device.log_lines import Line
from mnext_tf.device.log_profile import TITLES, Operator

_REPLACING = re.compile(
    r"Replacing (\d{1,9})(?: out of (\d{1,9}))? ?node\(?s?\)? with delegate \(([^()]{1,80})\)"
    r"(?:.{0,60}?subgraph (\d{1,9}))?"
)

_APPLIED = re.compile(
    r"pplied (\S{1,60})(?: delegate)?,? and the model graph will be (completely|partially|paritally) executed"
)

_NOT_APPLIED = re.compile(r"Though (\S{1,60})(?: delegate)? is (?:explicitly )?applied, the model graph will not be")

_FAILED = re.compile(r"Failed to apply (?:the )?(\S{1,60}?)(?: delegate|\.|$)", re.IGNORECASE)

_SHARE = re.compile(r"(\d{1,9}) op(?:eration)?s will run on the GPU, and the remaining (\d{1,9})")

_ASKED = re.compile(
    r"Use (?P<flag>gpu|nnapi)\s*: ?\[(?:1|true)\]|--use_(?P<argument>gpu|nnapi)(?:=(?:1|true)\b|(?=[\s'\"]|$))|"
    r"Accelerators: .*\b(?P<accelerator>GPU)\b",
    re.IGNORECASE,
)

_CREATED_CPU = "XNNPACK delegate for CPU"

_KERNELS = re.compile(r"Created (\d{1,9}) GPU delegate kernels")

_NOT_PREPARED = re.compile(r"\(([^()]{1,80})\) failed to prepare")

_SOFTWARE = re.compile(r"adapterType=CPU|Selected adapter: (?:llvmpipe|SwiftShader|lavapipe)", re.IGNORECASE)

_ACCELERATORS = re.compile(r"Accelerators:\s{1,40}(\S.{0,60})")

_WHOLLY = re.compile(r"Fully accelerated:\s{1,40}(True|False)")

_GRAPHICS = re.compile(r"gpu|metal|opencl|opengl|vulkan|(?:^|_)(?:cl|gl|vk)$", re.IGNORECASE)


@dataclass(frozen=True)
class Delegation:
    ran_on: str  # see `log.Log`
    delegate: str | None
    nodes_delegated: int | None
    nodes_total: int | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Replacement:
    """One `Replacing` line."""

    processor: str
    name: str
    nodes: int
    total: int | None
    subgraph: str

    def repeats(self, other: _Replacement) -> bool:
        """Old builds name no subgraph: there another number of nodes is another subgraph."""
        return (self.name, self.subgraph) == (other.name, other.subgraph) and bool(self.subgraph or self == other)


def processor_of(delegate: str) -> str:
    """`gpu`, `nnapi`, `cpu` (XNNPACK, TensorFlow's own kernels) or `other`, of a delegate's name in any tool."""
    if re.search("xnnpack|flex", delegate, re.IGNORECASE):
        return "cpu"
    if "nnapi" in delegate.lower():
        return "nnapi"
    return "gpu" if _GRAPHICS.search(delegate) else "other"


def read_delegation(lines: Sequence[Line], operators: Sequence[Operator]) -> Delegation:
    replacements: list[_Replacement] = []
    verdicts: dict[str, tuple[str, str]] = {}  # processor -> (completely | partially | not, the tool's name for it)
    share, asked, created, accelerators, software = None, "", "", "", False
    for line in lines:
        text = line.text
        if found := _REPLACING.search(text):
            nodes, total, name, subgraph = found.groups()
            replacement = _Replacement(
                processor_of(name), name, int(nodes), int(total) if total else None, subgraph or ""
            )
            replacements = [t for t in replacements if not replacement.repeats(t)] + [replacement]
        elif "original execution plan" in text or "Failed to apply delegate" in text:  # all of it is undone
            replacements, verdicts, share = [], {}, None
        elif found := _APPLIED.search(text):
            verdicts[processor_of(found[1])] = ("completely" if found[2] == "completely" else "partially", found[1])
        elif found := _NOT_APPLIED.search(text) or _FAILED.search(text) or _NOT_PREPARED.search(text):
            verdicts[processor_of(found[1])] = ("not", found[1])
        elif found := _SHARE.search(text):
            share = int(found[1]), int(found[2])
        elif (found := _KERNELS.search(text)) and int(found[1]) == 0:
            verdicts["gpu"] = ("not", "GPU")
        elif found := _ACCELERATORS.search(text):
            accelerators = found[1].strip()
        elif (found := _WHOLLY.search(text)) and accelerators == "GPU":  # with the CPU beside it, it may be the CPU's
            verdicts["gpu"] = ("completely" if found[1] == "True" else "partially", "GPU")
        elif _CREATED_CPU in text:
            created = "XNNPACK"
        software = software or bool(_SOFTWARE.search(text))
        if not asked and (found := _ASKED.search(text)):
            asked = (found["flag"] or found["argument"] or found["accelerator"]).lower()

    if software:  # it is called a GPU, and computes on the CPU
        warning = "The adapter that was chosen as GPU is software, which computes on the CPU."
        return Delegation("cpu", None, None, None, (warning,))
    titles = [title for line in lines for title in TITLES if title in line.text]
    profiled = titles[-1:] != ["Run Order"]  # to its end: something follows the first table
    for processor in ("gpu", "nnapi", "other"):
        extent = _extent(processor, replacements, verdicts, share if processor == "gpu" else None, operators, profiled)
        if extent != "none":
            return _delegated(processor, extent, replacements, verdicts, share, operators, lines)
    return _on_cpu(replacements, verdicts, created, asked)


def _extent(processor, replacements, verdicts, share, operators, profiled) -> str:
    """`all`, `part` or `none` of the graph, by the least that any evidence says."""
    verdict = verdicts.get(processor, ("", ""))[0]
    mine = [replacement for replacement in replacements if replacement.processor == processor]
    nodes = [op for op in operators if not op.in_delegate]
    on_mine = [op for op in nodes if processor_of(op.node_type) == processor and "delegate" in op.node_type.lower()]
    claimed = {"completely": "all", "partially": "part", "not": "none"}.get(verdict, "")
    evidence = [claimed] if claimed else []
    if mine:
        whole = all(replacement.total and replacement.nodes == replacement.total for replacement in mine)
        # an old build names no total; then the verdict alone says how much it was
        if not (claimed == "all" and all(replacement.total is None and replacement.nodes for replacement in mine)):
            evidence.append("all" if whole else "part" if any(replacement.nodes for replacement in mine) else "none")
        evidence += _left_to_cpu(mine, replacements)
    if share:
        evidence.append("none" if not share[0] else "part" if share[1] else "all")
    if nodes and (evidence or processor != "other"):
        whole = len(on_mine) == len(nodes) and (profiled or evidence)
        evidence.append("none" if not on_mine else "all" if whole else "part")
    return min(evidence, key=("none", "part", "all").index) if evidence else "none"


def _left_to_cpu(mine: Sequence[_Replacement], replacements: Sequence[_Replacement]) -> list[str]:
    """What XNNPACK took after a delegate says about how much that one kept."""
    later = [t for t in replacements[replacements.index(mine[0]) :] if t.processor == "cpu" and t.nodes]
    for cpu in later:
        same = [t for t in mine if t.subgraph == cpu.subgraph and t.total]
        if any(cpu.total == t.total and t.nodes > 1 for t in same):
            return ["none"]  # it found the graph as it was: nothing was replaced any more
    return ["part"] if later else []


def _delegated(processor, extent, replacements, verdicts, share, operators, lines) -> Delegation:
    mine = [replacement for replacement in replacements if replacement.processor == processor]
    nodes, total = None, None
    if mine:
        nodes = sum(replacement.nodes for replacement in mine)
        total = (
            sum(replacement.total for replacement in mine) if all(replacement.total for replacement in mine) else None
        )
    if share and processor == "gpu":  # old builds say the total here alone
        nodes, total = (share[0], sum(share)) if nodes is None else (nodes, total or sum(share))
    profiled = next((op.node_type for op in operators if processor_of(op.node_type) == processor), None)
    name = mine[0].name if mine else verdicts[processor][1] if processor in verdicts else profiled or processor.upper()
    warnings = []
    if processor == "nnapi" and any("accelerator name: [nnapi-reference]" in line.text for line in lines):
        warnings.append("The NNAPI accelerator was nnapi-reference, which runs on the CPU.")
    return Delegation(processor if extent == "all" else f"{processor}_partial", name, nodes, total, tuple(warnings))


def _on_cpu(replacements, verdicts, created, asked) -> Delegation:
    cpu = [replacement for replacement in replacements if replacement.processor == "cpu" and replacement.nodes]
    warnings = []
    if asked:
        warnings.append(f"{asked.upper()} was asked for, and the log does not show that it ran any of the graph.")
    if cpu:
        last = [replacement for replacement in cpu if replacement.name == cpu[-1].name]
        total = sum(t.total for t in last) if all(t.total for t in last) else None
        return Delegation("cpu", cpu[-1].name, sum(t.nodes for t in last), total, tuple(warnings))
    name = verdicts["cpu"][1] if verdicts.get("cpu", ("not",))[0] != "not" else created or None
    empty = next((t for t in replacements if not t.nodes and t.total), None)
    return Delegation("cpu", name, 0 if empty else None, empty.total if empty else None, tuple(warnings))
