"""Reads the folder that benchmarks/run_adb.sh writes: one session of runs on one phone.

    session.txt  device.txt     lines key=value
    models.csv                  the files and their hashes on host and phone
    runs.csv                    a line for each run
    logs/<id>.log               what the tool printed

`Device.notes` say what a session does not have yet, or has lost.
"""

from __future__ import annotations

import csv
import io
import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.device.browser import is_browser_session
from mnext_tf.device.log import Log, parse_log
from mnext_tf.errors import DataError

FORMAT = "1"
SESSIONS = "benchmarks/results"  # where sessions are kept

_KEY = ("kind", "round", "model", "backend", "threads")


@dataclass(frozen=True)
class Run:
    """One start of the tool. None for what the phone did not say."""

    id: str
    kind: str  # latency, memory, profile
    round: int
    model: str
    backend: str  # what was asked for: cpu, gpu, nnapi
    threads: int
    mask: str
    exit: str
    outcome: str  # done, failed, timeout, unplugged, interrupted
    thermal: tuple[int | None, int | None]  # before and after, as is the next
    battery_celsius: tuple[float | None, float | None]
    charging: bool | None
    command: str
    log: Log

    @property
    def failure(self) -> str | None:
        """Why its numbers do not count, in words; None where they do."""
        if self.outcome == "done" and self.exit in ("", "0") and self.log.status == "ok":
            return None
        if self.outcome in ("timeout", "unplugged", "interrupted"):
            words = {"timeout": "stopped by the time limit", "unplugged": "the phone was unplugged"}
            return words.get(self.outcome, "interrupted")
        if self.log.error:
            return f"{'the log is incomplete' if self.log.status == 'incomplete' else 'failed'}: {self.log.error}"
        return f"failed with exit code {self.exit or 'unknown'}"


@dataclass(frozen=True)
class Model:
    name: str
    file: str  # on the host
    bytes: int | None
    sha256: str
    sha256_device: str  # "md5:..." of a phone without sha256sum, which run_adb.sh has compared

    @property
    def arrived(self) -> bool | None:
        """Whether the file on the phone is the host's; None where nothing says so."""
        if not self.sha256 or not self.sha256_device:
            return None
        return self.sha256_device.startswith("md5:") or self.sha256_device == self.sha256


@dataclass(frozen=True)
class Device:
    """`session` and `device` hold the lines of session.txt and device.txt as they are."""

    folder: Path
    session: dict[str, str]
    device: dict[str, str]
    models: dict[str, Model]
    runs: tuple[Run, ...]
    notes: tuple[str, ...]  # what is missing or damaged

    @property
    def title(self) -> str:
        return " ".join(_distinct_words(self.device.get("manufacturer", ""), self.device.get("model", ""))) or "a phone"

    @property
    def soc(self) -> str:
        words = _distinct_words(self.device.get("soc_manufacturer", ""), self.device.get("soc_model", ""))
        return " ".join(words) or self.device.get("board_platform") or self.device.get("hardware") or "unknown SoC"

    @property
    def android(self) -> str:
        release, level = self.device.get("android_release"), self.device.get("sdk")
        return f"Android {release or 'of unknown release'}" + (f" (API {level})" if level else "")

    @property
    def tool(self) -> str:
        return {"tflite": "TF Lite", "litert": "LiteRT"}.get(self.session.get("tool_kind", ""), "benchmark_model")


def is_session(folder: Path) -> bool:
    """Whether `folder` is a session that run_adb.sh wrote, or one of a browser."""
    return (Path(folder) / "session.txt").is_file() or is_browser_session(folder)


def find_sessions(root: Path) -> list[Path]:
    """Session folders directly below `root`, oldest first by name; none where `root` does not exist."""
    root = Path(root)
    return sorted(path for path in root.iterdir() if is_session(path)) if root.is_dir() else []


def check_session(folder: Path) -> None:
    """Raises DataError where `folder` is not a session."""
    if not is_session(folder):
        what = "holds no session (it has no session.txt or browser.json)" if Path(folder).is_dir() else "does not exist"
        raise DataError(
            f"{folder} {what}. `benchmarks/run_adb.sh` and the page of `python -m pipelines.serve` measure on a phone "
            f"and write such a folder into {SESSIONS}; give its path with --device."
        )


def read_device(folder: Path) -> Device:
    """Raises DataError where `folder` is not a session, or of a later format; anything else is noted."""
    folder = Path(folder)
    check_session(folder)
    session = _read_pairs(folder / "session.txt")
    if session.get("format", FORMAT) != FORMAT:
        raise DataError(
            f"{folder}/session.txt has the format {session['format']!r}; this version reads {FORMAT!r}. "
            "Update mnext-tf, or measure again with its benchmarks/run_adb.sh."
        )
    notes = []
    if "format" not in session:
        notes.append("session.txt is damaged: it has no format.")
    status = session.get("status", "unknown")
    if status != "complete":
        reason = session.get("reason", "").strip(" ;,.")
        because = f" ({reason})" if reason else ""
        resume = f"benchmarks/run_adb.sh {shlex.quote(f'--resume={folder}')}"
        notes.append(f"The session is not complete: {status}{because}; {resume} resumes it.")
    device = _read_pairs(folder / "device.txt")
    if not device:
        notes.append("device.txt is missing or empty: which phone it was is unknown.")
    models = _read_models(folder, notes)
    runs = _read_runs(folder, notes)
    for name in dict.fromkeys(run.model for run in runs):
        if name not in models:
            notes.append(f"models.csv does not name {name}: its file and hashes are unknown.")
        elif models[name].arrived is False:
            notes.append(
                f"{name}: the file on the phone is not the host's (the hashes differ). Its times are left out."
            )
    return Device(folder, session, device, models, runs, tuple(notes))


def _read_pairs(path: Path) -> dict[str, str]:
    """Lines key=value; the first line of a key counts."""
    pairs: dict[str, str] = {}
    for line in _text(path).splitlines():
        key, equals, value = line.partition("=")
        if equals and re.fullmatch(r"\w{1,60}", key):
            pairs.setdefault(key, value.strip())
    return pairs


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace").replace("\x00", "")
    except OSError:
        return ""


def _rows(path: Path, needed: Sequence[str], notes: list[str]) -> list[dict[str, str]]:
    text = _text(path)
    if not text:
        notes.append(f"{path.name} is missing or empty.")
        return []
    rows, damaged = [], 0
    limit = csv.field_size_limit(len(text) + 1)
    try:
        reader = csv.reader(io.StringIO(text))
        header = next(reader, [])
        for cells in reader:
            row = dict(zip(header, cells, strict=False))
            if len(cells) == len(header) and all(name in row for name in needed):
                rows.append(row)
            elif cells:
                damaged += 1
    except csv.Error as e:
        notes.append(f"{path.name} is damaged from line {len(rows) + 2} on ({e}).")
    finally:
        csv.field_size_limit(limit)
    if damaged:
        notes.append(f"{path.name}: {damaged} damaged line{'s' if damaged > 1 else ''} ignored.")
    return rows


def _read_models(folder: Path, notes: list[str]) -> dict[str, Model]:
    rows = _rows(folder / "models.csv", ("model", "file", "bytes", "sha256", "sha256_device"), notes)
    return {
        row["model"]: Model(
            row["model"], row["file"], _whole(row["bytes"]), row["sha256"].lower(), row["sha256_device"].lower()
        )
        for row in rows
    }


def _read_runs(folder: Path, notes: list[str]) -> tuple[Run, ...]:
    """A later line of the same kind, round, model, backend, and threads replaces an earlier one."""
    newest: dict[tuple, dict[str, str]] = {}
    unreadable = 0
    for row in _rows(folder / "runs.csv", (*_KEY, "id", "exit", "outcome", "log", "command"), notes):
        if _whole(row["round"]) is None or _whole(row["threads"]) is None:
            unreadable += 1
            continue
        key = tuple(row[name] for name in _KEY)
        newest.pop(key, None)
        newest[key] = row
    if unreadable:
        notes.append(f"runs.csv: {unreadable} lines without a round or a number of threads ignored.")
    lost = []
    runs = tuple(_read_run(folder, row, lost) for row in newest.values())
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        notes.append(f"Logs are missing: {', '.join(lost[:3])}{more}.")
    return runs


def _read_run(folder: Path, row: dict[str, str], lost: list[str]) -> Run:
    file = folder / "logs" / Path(row["log"]).name  # never a path out of the folder
    try:
        content = file.read_bytes()
    except OSError:
        content = b""
        if row["outcome"] == "done":
            lost.append(file.name)

    def both(name: str) -> tuple[int | None, int | None]:
        return _whole(row.get(f"{name}_before", "")), _whole(row.get(f"{name}_after", ""))

    return Run(
        **{
            name: row.get(name, "") for name in ("id", "kind", "model", "backend", "mask", "exit", "outcome", "command")
        },
        round=_whole(row["round"]),
        threads=_whole(row["threads"]),
        thermal=both("thermal"),
        battery_celsius=tuple(None if tenths is None else tenths * 0.1 for tenths in both("battery_temp")),
        charging={"0": False, "1": True}.get(row.get("charging", "")),
        log=parse_log(content),
    )


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"-?\d{1,15}", text.strip()) else None


def _distinct_words(*texts: str) -> list[str]:
    """`Google` and `Google Pixel 4` are one Google."""
    words: list[str] = []
    for word in " ".join(texts).split():
        if word.lower() not in (known.lower() for known in words):
            words.append(word)
    return words
