"""Reads the output of TensorFlow Lite's and LiteRT's benchmark tools, builds of 2018 to now, also from logcat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mnext_tf.device.log_delegation import Delegation, read_delegation
from mnext_tf.device.log_errors import error_text, is_fatal, is_grave, warnings
from mnext_tf.device.log_lines import Line, is_result, relevant_lines
from mnext_tf.device.log_profile import NUMBER, Operator, read_profile, to_number


@dataclass(frozen=True)
class Log:
    """One run of a benchmark tool. Times in ms, memory in MB; None for what the build does not print.

    `ran_on` is what ran the graph, whatever was asked for: `gpu`, `gpu_partial`, `nnapi`, `nnapi_partial`, `other`
    and `other_partial` (another delegate), else `cpu`. `gpu` needs evidence that it took every node, and no evidence
    against it. Where nothing was measured because the run failed, it is `cpu`.
    """

    status: str  # ok; failed; incomplete: the log ends before the measured runs do
    ran_on: str
    init_ms: float | None
    first_ms: float | None
    warmup_avg_ms: float | None
    count: int | None  # of the measured runs, as all up to `p95_ms`
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    std_ms: float | None
    median_ms: float | None
    p95_ms: float | None
    memory_overall_mb: float | None  # growth from the start of the tool
    memory_peak_mb: float | None  # where it was asked for
    delegate: str | None
    nodes_delegated: int | None
    nodes_total: int | None
    warnings: tuple[str, ...]
    error: str | None
    operators: tuple[Operator, ...]  # the operator profile


_FIELD = re.compile(rf"\b(count|first|curr|min|max|avg|std|p5|median|p95)\s?=\s?({NUMBER})", re.IGNORECASE)

_PART = re.compile(rf"(Init|First inference|Warmup(?: \(avg\))?|Inference(?: \(avg\))?|no stats): ?({NUMBER})", re.I)

_BLOCK = re.compile(
    rf"(Model initialization|(?:Warmup|Inference) \((?:first|avg|min|max|median|std|p5|p95)\)):\s{{0,40}}({NUMBER})"
    r"(?: ms)?(?: \((\d{1,12}) runs?\))?(?=\s|$)",
    re.IGNORECASE,
)

_PROFILE_TOTAL = re.compile(r"\((?:microseconds|bytes)\):")

_SESSION = re.compile(rf"Initialized session in ({NUMBER}) ?ms")

_MEMORY = re.compile(
    rf"[Mm]emory footprint.{{0,60}}\(MB\).{{0,10}}init=\S{{1,20}} overall=({NUMBER})|"
    rf"Overall footprint:\s{{0,40}}({NUMBER})"
)

_PEAK = re.compile(rf"peak memory footprint \(MB\) via[^:]{{0,40}}: ({NUMBER})|Peak memory:\s{{0,40}}({NUMBER}) MB")

_START = re.compile(r"^STARTING!|benchmark with args|parameter values verbosely")


def parse_log(text: str | bytes) -> Log:
    """Read one run's log; of several runs in it the last, with a warning. Never raises."""
    lines, left_out = relevant_lines(text)
    lines, sessions = _last_session(lines)
    operators = read_profile(lines)
    delegation = read_delegation(lines, operators)
    counts = [line for line in lines if _is_row(line)]
    timings, block = _timings(lines), _block(lines)
    warm, measured = _warm_and_measured(counts, timings)
    result = _measured(measured, timings, block)
    first = _ms(warm.get("first", warm.get("curr")))

    failed = any(is_fatal(line) or (result["avg_ms"] is None and is_grave(line)) for line in lines)
    status = "failed" if failed else "ok" if result["avg_ms"] is not None else "incomplete"
    notes = warnings(lines, with_errors=status == "ok")
    if sessions > 1:
        notes.append(f"The log holds {sessions} runs; the last is read.")
    if left_out:
        notes.append(f"The log is very long: {left_out} lines far from the result were not read.")
    if failed and result["avg_ms"] is None:
        delegation = Delegation("cpu", None, None, None, delegation.warnings)
    return Log(
        status=status,
        ran_on=delegation.ran_on,
        init_ms=_first_known(
            _ms(timings.get("init")), _last_number(_SESSION, lines), block.get("model initialization")
        ),
        first_ms=_first_known(_ms(timings.get("first inference")), first, block.get("warmup (first)")),
        warmup_avg_ms=_first_known(_ms(timings.get("warmup")), _ms(_mean(warm)), block.get("warmup (avg)")),
        **result,
        memory_overall_mb=_last_number(_MEMORY, lines),
        memory_peak_mb=_last_number(_PEAK, lines),
        delegate=delegation.delegate,
        nodes_delegated=delegation.nodes_delegated,
        nodes_total=delegation.nodes_total,
        warnings=tuple(dict.fromkeys([*notes, *delegation.warnings])),
        error={"ok": None, "failed": error_text(lines), "incomplete": _missing(counts)}[status],
        operators=operators,
    )


def _last_session(lines: list[Line]) -> tuple[list[Line], int]:
    """The lines of the last run, and how many there are.

    One starts with a start line after a result or after another such line, or else after a summary.
    """
    start, sessions, result, summary, marks = 0, 1, False, 0, {}
    for index, line in enumerate(lines):
        mark, row = _START.search(line.text), _is_row(line)
        again = mark and (result or marks.get(mark[0], index) < index - 1)  # in two lines that follow: printed twice
        if again or (row and summary):
            start, sessions = (index if again else summary), sessions + 1
            result, summary, marks = False, 0, {}
        if mark:
            marks[mark[0]] = index
        if "timings in" in line.text:
            summary = index + 1
        result = result or row or summary > 0
    return lines[start:], sessions


def _is_row(line: Line) -> bool:
    """Statistics of the warm-up or of the measured runs."""
    return "count=" in line.text and is_result(line.text) and not _PROFILE_TOTAL.search(line.text)


def _timings(lines: Sequence[Line]) -> dict[str, float]:
    """Of the summary in one line, in microseconds: init, first inference, warmup, inference."""
    for line in reversed(lines):
        if "nference timings in us" in line.text:
            parts = {}
            sure = line.text if line.whole else line.text.rpartition(",")[0]
            for name, number in _PART.findall(sure.partition("in us")[2]):
                name = name.lower().removesuffix(" (avg)").replace("no stats", "inference")
                if (value := to_number(number)) is not None:
                    parts.setdefault(name, value)
            return parts
    return {}


def _block(lines: Sequence[Line]) -> dict[str, float]:
    """Of LiteRT's closing lines, in ms; `count` is the number of measured runs."""
    values: dict[str, float] = {}
    for line in lines:
        if "initialization:" not in line.text and "armup (" not in line.text and "nference (" not in line.text:
            continue
        if not line.whole or "timings in" in line.text or not (found := _BLOCK.search(line.text)):
            continue
        name, number, runs = found.groups()
        if (value := to_number(number)) is not None:
            values[name.lower()] = value
        if runs and name.lower() == "inference (avg)":
            values["count"] = int(runs)
    return values


def _warm_and_measured(counts: Sequence[Line], timings: dict[str, float]) -> tuple[dict, dict]:
    """The numbers of the first and the last `count=` line; {} for one that is missing or cut off."""
    rows = [_fields(line.text) for line in counts]
    if rows and not counts[-1].whole:
        rows[-1] = _as_far_as_sure(rows[-1], rows[0]) if len(rows) > 1 else {}
    if len(rows) >= 2:
        return rows[0], rows[-1]
    if not rows:
        return {}, {}
    mean, inference, warmup = _mean(rows[0]), timings.get("inference"), timings.get("warmup")
    if mean is not None and inference is not None and _close(mean, inference) and not _close(mean, warmup):
        return {}, rows[0]
    return rows[0], {}


def _as_far_as_sure(row: dict, warm: dict) -> dict:
    """Of the line with which the text ends, no line feed after it: its last number may be cut short."""
    if list(row) != list(warm):
        return {}
    last = next(reversed(row), "")
    if last == "std":
        return row | {"std": None}
    below = {"p95": row.get("median"), "curr": warm.get("curr", 0) / 5}.get(last)
    return row if below is not None and row[last] >= below else {}


def _fields(text: str) -> dict[str, float]:
    found = {name.lower(): to_number(number) for name, number in _FIELD.findall(text)}
    if "all same" in text:  # then only the newest is printed
        found = {name: found.get("curr") for name in ("first", "min", "max", "avg")} | {"std": 0.0} | found
    return {name: value for name, value in found.items() if value is not None}


def _mean(row: dict[str, float]) -> float | None:
    if row.get("count", 0) < 1:
        return None
    return row.get("avg", row.get("curr") if row.get("count") == 1 else None)


def _measured(row: dict[str, float], timings: dict[str, float], block: dict[str, float]) -> dict:
    """The fields `count` to `p95_ms`: of the measured `count=` line, else of the summary or the closing lines."""
    mean = _mean(row)
    if mean is not None and (row["count"] == 1 or "std" in row):
        once = mean if row["count"] == 1 else None
        values = {f"{name}_ms": _ms(row.get(name, once)) for name in ("avg", "min", "max")}
        rest = {f"{name}_ms": _ms(row.get(name)) for name in ("std", "median", "p95")}
        return {"count": int(row["count"]), **values, **rest}
    names = ("avg", "min", "max", "std", "median", "p95")
    if "inference (avg)" in block and block.get("count", 1):
        count = int(block["count"]) if "count" in block else None
        return {"count": count, **{f"{name}_ms": block.get(f"inference ({name})") for name in names}}
    mean = timings.get("inference") if row.get("count") != 0 else None
    return {"count": None, **{f"{name}_ms": None for name in names}, "avg_ms": _ms(mean)}


def _missing(counts: Sequence[Line]) -> str:
    if not counts:
        return "The log ends before any inference was timed."
    return "The log ends before the measured runs do: it holds the warm-up alone, or a line that is cut off."


def _last_number(pattern: re.Pattern, lines: Sequence[Line]) -> float | None:
    for line in reversed(lines):
        if found := pattern.search(line.text):
            number = next(group for group in found.groups() if group is not None)
            cut = not line.whole and line.text.endswith(number) and not re.search(r"\.\d", number)
            return None if cut else to_number(number)
    return None


def _first_known(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def _ms(microseconds: float | None) -> float | None:
    return None if microseconds is None else microseconds / 1000


def _close(a: float, b: float | None) -> bool:
    return b is not None and abs(a - b) <= 1e-3 * max(abs(a), abs(b))
