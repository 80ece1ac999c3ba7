"""One folder a network: what made it, and a folder for each stage on its way to a phone.

    <run>/config.json            network, data, preprocessing, recipe, class names, seed, versions
    <run>/train/                 history, checkpoints, model.weights.h5
    <run>/saved_model/  frozen/  tflite_float32/  tflite_int8/ ...

A stage's folder holds a manifest.json: hashes of what went in and came out. A stage runs again only
when what goes in has changed.
"""

from __future__ import annotations

import datetime
import functools
import importlib.metadata
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mnext_tf
from mnext_tf.errors import CheckpointError, ConfigError, ExportError, MnextError
from mnext_tf.files import read_json, sha256, sha256_of, write_folder_beside, write_json


@dataclass(frozen=True)
class Run:
    """A run folder and its resolved configuration."""

    folder: Path
    config: dict

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def trained(self) -> bool:
        """False for a network with random weights, which is good for latency only."""
        return self.config["init"] == "trained"

    @property
    def weights(self) -> Path:
        return self.stage("train" if self.trained else "init") / "model.weights.h5"

    def stage(self, name: str) -> Path:
        return self.folder / name

    def manifest(self, stage: str) -> dict | None:
        path = self.stage(stage) / "manifest.json"
        try:
            return read_json(path)
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise MnextError(f"{path} is damaged ({e}). Delete that folder; the stage then runs again.") from e


@dataclass(frozen=True)
class StageResult:
    folder: Path
    manifest: dict
    skipped: bool

    @property
    def result(self) -> dict:
        return self.manifest["result"]


def create_run(folder: Path, config: dict) -> Run:
    """Make `folder` and write its config.json; the time and the versions are added here."""
    folder = Path(folder)
    config = {**config, "created": now(), "versions": versions()}
    write_json(folder / "config.json", config)
    return Run(folder, read_json(folder / "config.json"))


def open_run(folder: Path) -> Run:
    """Raises ConfigError where `folder` is no run."""
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        what = "is no run folder (it has no config.json)" if folder.is_dir() else "does not exist"
        raise ConfigError(f"{folder} {what}. `python -m pipelines.train` makes a run folder; give its path with --run.")
    try:
        config = read_json(path)
    except ValueError as e:
        raise ConfigError(f"{path} is damaged: {e}.") from e
    if not (isinstance(config, dict) and "init" in config):
        raise ConfigError(f"{path} was written by another program: {folder} is no run folder.")
    return Run(folder, config)


def list_runs(root: Path) -> list[Run]:
    """Run folders directly below `root` and one folder deeper, oldest first."""
    root = Path(root)
    found = [open_run(p.parent) for pattern in ("*/config.json", "*/*/config.json") for p in root.glob(pattern)]
    return sorted(found, key=lambda run: run.config.get("created", ""))


def latest_run(root: Path, *, init: str = "trained") -> Run:
    """The newest run below `root` with such weights; ConfigError says which command makes one."""
    runs = [run for run in list_runs(root) if run.config["init"] == init]
    if not runs:
        make = "python -m pipelines.train --model=mnext"
        raise ConfigError(
            f"No trained run under {root}/. `{make}` makes one; `--run=PATH` names one elsewhere; "
            "`--init=random` exports an untrained network."
        )
    return runs[-1]


def run_stage(
    run: Run,
    name: str,
    *,
    inputs: dict[str, Path],
    settings: dict,
    build: Callable[[Path], dict],
    force: bool = False,
    log: Callable[[str], None] | None = None,
) -> StageResult:
    """Run `build(folder)` in a folder beside the stage's, then rename it; skip it if nothing changed.

    Args:
      inputs: name -> file or folder that the stage reads; hashed.
      settings: everything else that the result depends on.
      build: fills the folder it is given and returns the stage's result (plain values).

    A failed check (ExportError) also removes what an earlier call left under the final name: it came
    from other inputs and must not be taken for this network.
    """
    log = log or (lambda text: None)
    folder = run.stage(name)
    hashes = {key: sha256(path) for key, path in inputs.items()}
    relevant = {k: v for k, v in versions().items() if k != "python"}
    key = sha256_of({"stage": name, "inputs": hashes, "settings": settings, "versions": relevant, "code": _code()})
    manifest = run.manifest(name)
    if not force and manifest and manifest["key"] == key and _outputs_are_whole(folder, manifest):
        log(f"{name}: unchanged, kept {folder}")
        return StageResult(folder, manifest, skipped=True)

    start = time.monotonic()
    try:
        with write_folder_beside(folder) as temporary:
            result = build(temporary)
            outputs = {
                p.relative_to(temporary).as_posix(): sha256(p) for p in sorted(temporary.rglob("*")) if p.is_file()
            }
            manifest = {
                "stage": name,
                "key": key,
                "created": now(),
                "seconds": round(time.monotonic() - start, 1),
                "inputs": hashes,
                "settings": settings,
                "outputs": outputs,
                "versions": versions(),
                "result": result,
            }
            write_json(temporary / "manifest.json", manifest)
    except ExportError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return StageResult(folder, read_json(folder / "manifest.json"), skipped=False)


@functools.cache
def _code() -> str:
    """Of the code that decides what an export contains: an update of it makes stages run again."""
    root = Path(mnext_tf.__file__).parent
    return sha256_of([sha256(p) for room in ("models", "data", "export") for p in sorted((root / room).glob("*.py"))])


def _outputs_are_whole(folder: Path, manifest: dict) -> bool:
    return all((folder / p).is_file() and sha256(folder / p) == h for p, h in manifest["outputs"].items())


def require_weights(run: Run) -> Path:
    """The trained (or random) weights; CheckpointError says how to finish an interrupted training."""
    if run.weights.is_file() and run.manifest(run.weights.parent.name):
        return run.weights
    raise CheckpointError(
        f"{run.folder} has no finished weights. `python -m pipelines.train --resume --run={run.folder}` goes on."
    )


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def versions() -> dict[str, str]:
    found = {"mnext_tf": mnext_tf.__version__, "python": platform.python_version()}
    for package in ("tensorflow", "tensorflow-cpu", "keras", "ai-edge-litert", "numpy"):
        try:
            found[package.removesuffix("-cpu")] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
