"""The relevant lines of a benchmark log, without the prefixes of logcat and glog and without colors."""

from __future__ import annotations

import re
from dataclasses import dataclass

LONGEST_LINE = 2000  # characters; the rest of a longer line is not looked at

MAX_LINES = 10_000  # relevant ones that are read: each at the start, before the last result, and after it

# One of these is in every line that is read; a logcat may hold megabytes of others. `in` is an order of magnitude
# faster than a regular expression of them all.
_RELEVANT = (
    *("count=", "nference", "armup", "enchmark", "BENCHMARK", "nitializ", "footprint", "emory", "elegate", "Use "),
    *("GPU", "gpu", "NNAPI", "nnapi", "ccelerat", "adapter", "operations will", "execution plan", "OpenGL"),
    *("ERR", "Err", "Exception", "ail", "WARN", "Warn", "nconsumed", "uplicate flags", "STARTING", "verbosely"),
    *("%", "ode type", "=====", "ould not", "No such file", "not found", "not executable", "CANNOT LINK"),
    *("Permission", "Exec format", "sh: ", "taskset: ", "FATAL", "Traceback", "Disallowed", "incompatible"),
    *("fault", "bort", "illed", "signal", "erminat", "Bus err", "Illegal", " trap", "Floating point", "Bad system"),
    *("Run Order", "Top by", "Summary by"),
    *("E/", "W/", "F/", " E ", " W ", " F ", "[ "),
)

# What the statistics of a phase begin with; other processes and libraries print `count=` too
_RESULT = re.compile(r"\bcount=\d+\s+(?:first|curr)\s?=|^\s*count=0\s*$")

_COLOR = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

_DATE = r"(?:(?:\d{4}-)?\d\d-\d\d\s+)?\d\d:\d\d:\d\d[.,]\d+(?:\s+[+-]\d{4})?"

_WHEN = rf"(?:{_DATE}|\d{{9,11}}\.\d+)"  # or seconds since 1970

_PREFIXES = tuple(
    re.compile(pattern)
    for pattern in (
        # logcat -v threadtime (also with a user), time and brief, process, tag; Android Studio's two formats
        rf"\s*{_WHEN}\s+(?:\S+\s+)?(?P<pid>\d+)\s+\d+\s+(?P<level>[VDIWEFA])\s+[^:]{{0,80}}: ?(?P<text>.*)",
        rf"\s*(?:{_WHEN}\s+)?(?P<level>[VDIWEFA])/[^(:]{{0,80}}\(\s*(?P<pid>\d+)\): ?(?P<text>.*)",
        r"\s*(?P<level>[VDIWEFA])\(\s*(?P<pid>\d+)(?::\s*\w+)?\) (?P<text>.*?)(?:  \([^()]{1,80}\))?$",
        r"\s*(?P<level>[VDIWEFA])/[^:]{1,80}: ?(?P<text>.*)",
        rf"\s*{_WHEN}\s+(?P<pid>\d+)-\d+/\S+\s+(?P<level>[VDIWEFA])/[^:]{{1,80}}: ?(?P<text>.*)",
        rf"\s*{_WHEN}\s+(?P<pid>\d+)-\d+\s+\S+\s+(?:\S+\s+)?(?P<level>[VDIWEFA])\s\s(?P<text>.*)",
        rf"\s*{_WHEN}\s+\S+\s+(?:\S+\s+)?(?P<level>[VDIWEFA])\s\s(?P<text>.*)",
        # Python's logging, TensorFlow's, glog
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:[.,]\d+)? (?P<level>[DIWEC])[A-Z]+ [\w.]+: (?P<text>.*)",
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: (?P<level>[IWEF]) \S+:\d+\] ?(?P<text>.*)",
        r"(?P<level>[IWEF])\d{4} [^\]]{0,120}\] ?(?P<text>.*)",
    )
)

_LONG = re.compile(rf"\[ {_WHEN}\s+(?P<pid>\d+):\s*\d+ (?P<level>[VDIWEFA])/.*\]")

_OWN = re.compile(r"\s*(?P<level>INFO|VERBOSE|DEBUG|WARNING|WARN|ERROR|FATAL|Warning|Error): ?(?P<text>.*)")

_SOURCE = re.compile(r"\[[\w./\\-]+:\d+\] ?")


@dataclass(frozen=True)
class Line:
    text: str
    level: str  # I, W, E ...; "" where the line has none
    pid: str  # the process, where logcat names it, else ""
    whole: bool  # False: the log ends within it


def is_result(text: str) -> bool:
    """The statistics of a phase, or the line that sums up a run."""
    return ("count=" in text and bool(_RESULT.search(text))) or "nference timings in" in text


def relevant_lines(text: str | bytes) -> tuple[list[Line], int]:
    """Those of one process, and how many were too many to be read.

    Where logcat names processes: of the one that printed the last result.
    """
    raw = _candidates(_plain(text))
    last = next((at for at in reversed(range(len(raw))) if is_result(raw[at][0])), len(raw))
    kept = raw[:MAX_LINES] + raw[max(MAX_LINES, last - MAX_LINES) : last + MAX_LINES]
    lines, left_out = _stripped(kept), len(raw) - len(kept)
    pids = {line.pid for line in lines if line.pid}
    if len(pids) > 1:
        sure = [line.pid for line in lines if line.pid and is_result(line.text)]
        likely = [line.pid for line in lines if line.pid and ("STARTING" in line.text or "erbosely" in line.text)]
        if sure or likely:
            chosen = (sure or likely)[-1]
            lines = [line for line in lines if line.pid in ("", chosen)]
    return lines, left_out


def _plain(text: str | bytes) -> str:
    if isinstance(text, bytes | bytearray):
        if text[:2] in (b"\xff\xfe", b"\xfe\xff"):  # PowerShell's redirection
            text = bytes(text).decode("utf-16", "replace")
        else:
            text = bytes(text).decode("utf-8", "replace")
    text = str(text).replace("\x00", "")
    if "\x1b" in text:
        text = _COLOR.sub("", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _candidates(text: str) -> list[tuple[str, bool]]:
    """Lines and whether each is whole: the last may be cut off."""
    lines = text.split("\n")
    kept = []
    for index, line in enumerate(lines):
        if len(line) < 5:
            continue
        line = line[:LONGEST_LINE]
        for word in _RELEVANT:
            if word in line:
                kept.append((line, index < len(lines) - 1))
                break
    return kept


def _stripped(raw: list[tuple[str, bool]]) -> list[Line]:
    lines, level, pid = [], "", ""
    for text, whole in raw:
        if long := _LONG.match(text):  # the message is on the next lines
            level, pid = long["level"], long["pid"]
        else:
            lines.append(_strip(text.rstrip(), level, pid, whole))
    return lines


def _strip(raw: str, level: str, pid: str, whole: bool) -> Line:
    for prefix in _PREFIXES:
        if found := prefix.match(raw):
            parts = found.groupdict()
            raw, level, pid = parts["text"], parts["level"], parts.get("pid") or pid
            break
    if own := _OWN.match(raw):
        raw, level = own["text"], own["level"][0].upper()
    raw = _SOURCE.sub("", raw, count=1) if raw.startswith("[") else raw
    return Line(raw, level, pid, whole)
