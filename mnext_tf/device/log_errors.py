"""The lines of a benchmark log that say that the run failed, or warn."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mnext_tf.device.log_lines import Line

MOST_WARNINGS = 30

# Ends a run, whatever else was printed
_FATAL = re.compile(
    r"Unconsumed cmdline flags|Benchmark(?:ing)? failed|Failed to parse flag|Failed to allocate tensors|"
    r"Disallowed CPU fallback|[Ff]ailed to invoke|Run failed|acceleration are incompatible|"
    r"Compiled model not initialized|Fatal signal|FATAL EXCEPTION|not fully accelerated but",
    re.IGNORECASE,
)

# Ends a run where no measured result follows
_GRAVE = re.compile(
    r"Could not open '|Failed to (?:apply|load|mmap|compile|initialize the interpreter|construct|create litert|build)|"
    r"^(?:\S{1,40}: )?(?:line \d+: )?\s*(?:\d+ )?(?i:segmentation fault|abort(?:ed)?|killed|terminated|bus error|"
    r"illegal instruction|trace/breakpoint trap|floating point exception|bad system call)\b|"
    r"^(?:/\S{1,40}/)?(?:\w{0,3}sh|taskset): |Exec format error|CANNOT LINK EXECUTABLE|"
    r"terminate called|terminating (?:due|with)|^Check failed|^Traceback|"
    r"^\w{0,40}(?:Error|Exception): |"
    r"\b(?:sh|linker64|taskset|timeout|benchmark_model)\b.{0,200}"
    r"(?:No such file or directory|Permission denied|not found|not executable)|Model file not found"
)

_HARMLESS = re.compile(
    r"Falling back to OpenGL|Using OpenGL|operations are not supported|op(?:eration)?s will run|inference timings"
)

_WARNINGS = re.compile(
    r"Falling back|Using OpenGL|will not be executed|original execution plan|could not be loaded|nnapi-reference\]?$|"
    r"Duplicate flags|throttl",
    re.IGNORECASE,
)


def is_fatal(line: Line) -> bool:
    return _matches(_FATAL, line)


def is_grave(line: Line) -> bool:
    return line.level == "F" or (line.level != "W" and _matches(_GRAVE, line))


def warnings(lines: Sequence[Line], *, with_errors: bool) -> list[str]:
    """Each once; `with_errors` for errors beside a result, too."""
    found = [
        line for line in lines if line.level == "W" or _matches(_WARNINGS, line) or (with_errors and _is_error(line))
    ]
    return list(dict.fromkeys(_text(line) for line in found))[:MOST_WARNINGS]


def error_text(lines: Sequence[Line]) -> str:
    """Up to three messages, the first of which is most often the cause; without those that harm nothing."""
    found = [line for line in lines if _is_error(line) or is_fatal(line)]
    texts = [_text(line) for line in found if not _matches(_HARMLESS, line)]
    decisive = [text for text in texts if "Unconsumed" in text]
    return "; ".join([*decisive, *(text for text in dict.fromkeys(texts) if text not in decisive)][:3])


def _is_error(line: Line) -> bool:
    return line.level == "E" or is_grave(line)


def _matches(pattern: re.Pattern, line: Line) -> bool:
    return bool(pattern.search(line.text[:400]))


def _text(line: Line) -> str:
    return line.text.strip()[:300]
