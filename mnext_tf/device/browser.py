"""Sessions that the page of pipelines.serve measured in a browser: one file, browser.json, in a folder of its own."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mnext_tf.errors import DataError
from mnext_tf.files import read_json
from mnext_tf.naming import PRECISIONS, network_of

FILE, FORMAT = "browser.json", 1
BACKENDS = {"wasm": "WebAssembly", "webgpu": "WebGPU"}
RAN_ON = (*BACKENDS, "webgpu_partial")
_MOST = {"models": 64, "runs": 512, "rounds": 1000, "inferences": 1000, "text": 500, "pixels": 10_000}
_LONGEST_MS = 1e7


@dataclass(frozen=True)
class BrowserModel:
    """run, network, precision, input_size: where the file does not tell, and in older sessions, "" or None."""

    name: str
    bytes: int
    sha256: str  # of what the browser loaded
    run: str = ""  # the name of the run that exported it
    network: str = ""  # as `network_of` reads it
    precision: str = ""
    input_size: int | None = None


@dataclass(frozen=True)
class BrowserRun:
    """A model on a processor. rounds: ms of each inference, with input and output copied, by round."""

    model: str
    backend: str  # asked for: one of BACKENDS
    threads: int
    ran_on: str  # one of RAN_ON; "" where nothing ran
    compile_ms: float | None
    first_ms: float | None
    rounds: tuple[tuple[float, ...], ...]
    error: str


@dataclass(frozen=True)
class BrowserSession:
    """facts: the browser and the device as they describe themselves, text by name; gpu: the adapter's description."""

    folder: Path
    started: str
    runtime: str
    facts: dict[str, str]
    gpu: str
    gpu_is_software: bool
    models: tuple[BrowserModel, ...]
    runs: tuple[BrowserRun, ...]

    @property
    def title(self) -> str:
        """Chromium 150 on Pixel 8, Android 14."""
        where = ", ".join(self.facts[name] for name in ("device", "platform") if self.facts.get(name))
        return (self.facts.get("browser") or "a browser") + (f" on {where}" if where else "")


def is_browser_session(folder: Path) -> bool:
    return (Path(folder) / FILE).is_file()


def read_browser_session(folder: Path) -> BrowserSession:
    """Raises DataError where the session is damaged, or of a later format."""
    path = Path(folder) / FILE
    try:
        return parse_session(read_json(path), folder)
    except (OSError, ValueError) as e:
        raise DataError(
            f"{path} cannot be read ({e}). Measure again with the page of `python -m pipelines.serve`."
        ) from e


def session_record(session: BrowserSession) -> dict:
    """What `parse_session` reads as this session: nothing of it is unknown or out of bounds."""
    return {
        "format": FORMAT,
        "started": session.started,
        "runtime": session.runtime,
        "facts": session.facts,
        "gpu": {"description": session.gpu, "software": session.gpu_is_software} if session.gpu else None,
        "models": [dataclasses.asdict(model) for model in session.models],
        "runs": [dataclasses.asdict(run) for run in session.runs],
    }


def parse_session(record: object, folder: Path = Path()) -> BrowserSession:
    """The session in a JSON value from anyone. Raises ValueError, with what is wrong, unless all of it is in bounds."""
    record = _dict(record, "the session")
    if record.get("format") != FORMAT:
        raise ValueError(f"its format is {record.get('format')!r}; this version reads {FORMAT}")
    gpu = _dict(record.get("gpu") or {}, "gpu")
    models = tuple(_model(model) for model in _list(record, "models"))
    runs = tuple(_run(run) for run in _list(record, "runs"))
    names = {model.name for model in models}
    if len(names) < len(models) or not {run.model for run in runs} <= names:
        raise ValueError("its models have no names of their own, or a run names none of them")
    return BrowserSession(
        folder=Path(folder),
        started=_time(record, "started"),
        runtime=_text(record, "runtime"),
        facts={key: _text(record["facts"], key) for key in _dict(record.get("facts"), "facts") if _is_key(key)},
        gpu=" ".join(filter(None, (_text(gpu, key) for key in ("vendor", "architecture", "device", "description")))),
        gpu_is_software=gpu.get("software") is True,
        models=models,
        runs=runs,
    )


def _model(record: object) -> BrowserModel:
    record = _dict(record, "a model")
    name, digest = _text(record, "name"), _text(record, "sha256")
    if not re.fullmatch(r"[\w.+-]{1,200}", name) or not re.fullmatch(r"[0-9a-f]{64}|", digest):
        raise ValueError("a model's name or hash is none")
    network, precision, size = _text(record, "network"), _text(record, "precision"), record.get("input_size")
    if (network and not network_of(network)) or precision not in (*PRECISIONS, ""):
        raise ValueError("a model's network or precision is none")
    if size is not None and (type(size) is not int or not 1 <= size <= _MOST["pixels"]):
        raise ValueError("a model's input size is none")
    length = int(_number(record, "bytes", 1e12) or 0)
    return BrowserModel(name, length, digest, _text(record, "run"), network, precision, size)


def _run(record: object) -> BrowserRun:
    record = _dict(record, "a run")
    backend, ran_on, threads = _text(record, "backend"), _text(record, "ran_on"), record.get("threads")
    if backend not in BACKENDS or ran_on not in (*RAN_ON, "") or type(threads) is not int or not 1 <= threads <= 256:
        raise ValueError("a run's processor or number of threads is none")
    rounds = []
    for times in _list(record, "rounds"):
        if not isinstance(times, list) or not 1 <= len(times) <= _MOST["inferences"]:
            raise ValueError("a round has no inferences, or too many")
        rounds.append(tuple(_ms(time) for time in times))
    if bool(rounds) != bool(ran_on):
        raise ValueError("a run has times and did not run, or the other way round")
    return BrowserRun(
        _text(record, "model"),
        backend,
        threads,
        ran_on,
        _number(record, "compile_ms"),
        _number(record, "first_ms"),
        tuple(rounds),
        _text(record, "error"),
    )


def _dict(value: object, what: str) -> dict:
    if not isinstance(value, dict):
        raise ValueError(f"{what} is not an object")
    return value


def _list(record: dict, key: str) -> list:
    value = record.get(key)
    if not isinstance(value, list) or len(value) > _MOST[key]:
        raise ValueError(f"{key} is not a list of at most {_MOST[key]}")
    return value


def _text(record: dict, key: str) -> str:
    value = record.get(key, "")
    if not isinstance(value, str) or len(value) > _MOST["text"]:
        raise ValueError(f"{key} is not a text of at most {_MOST['text']} characters")
    value.encode()  # half of a pair of surrogates cannot be written: UnicodeEncodeError, a ValueError
    return value.strip()


def _time(record: dict, key: str) -> str:
    value = _text(record, key)
    datetime.fromisoformat(value)
    return value


def _is_key(key: str) -> bool:
    if not re.fullmatch(r"[a-z_]{1,40}", key):
        raise ValueError("a fact has no name")
    return True


def _number(record: dict, key: str, most: float = _LONGEST_MS) -> float | None:
    return None if record.get(key) is None else _ms(record[key], most)


def _ms(value: object, most: float = _LONGEST_MS) -> float:
    if type(value) not in (int, float) or not 0 <= value <= most:
        raise ValueError("a time is no number, or out of range")
    return float(value)
