"""One folder a network: what made it, and a folder for each stage on its way to a phone.

    <run>/config.json            network, data, preprocessing, recipe, class names, seed, versions
    <run>/train/                 history, checkpoints, model.weights.h5 (import/ where they come from elsewhere)
    <run>/saved_model/  frozen/  tflite_float32/  tflite_int8/ ...

A stage's folder holds a manifest.json: hashes of what went in and came out. A stage runs again only
when what goes in has changed.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mnext_tf
from mnext_tf.errors import CheckpointError, ConfigError, ExportError, MnextError
from mnext_tf.files import read_json, sha256, sha256_of, write_folder_beside, write_json

WEIGHTS_STAGE = {"trained": "train", "random": "init", "imported": "import"}  # where a run's weights come from


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
        return self.config["init"] != "random"

    @property
    def imported(self) -> bool:
        """True where the weights were trained by somebody else: there is no recipe and no history."""
        return self.config["init"] == "imported"

    @property
    def weights(self) -> Path:
        return self.stage(WEIGHTS_STAGE[self.config["init"]]) / "model.weights.h5"

    def stage(self, name: str) -> Path:
        return self.folder / name

    def manifest(self, stage: str) -> dict | None:
        path = self.stage(stage) / "manifest.json"
        try:
            manifest = read_json(path)
            if not (isinstance(manifest, dict) and "result" in manifest):
                raise ValueError("it has no result")
            return manifest
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise MnextError(f"{path} is damaged ({e}). Delete that file; the stage then runs again.") from e


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
        what = "is a file, not a run folder" if folder.is_file() else what
        raise ConfigError(f"{folder} {what}. `python -m pipelines.train` makes a run folder; give its path with --run.")
    try:
        config = read_json(path)
    except ValueError as e:
        raise ConfigError(f"{path} is damaged: {e}. Restore it, or delete {folder} and train again.") from e
    if not (isinstance(config, dict) and "init" in config):
        raise ConfigError(f"{path} was written by another program: {folder} is no run folder.")
    return Run(folder, _Config(path, config))


class _Config(dict):
    """A run's configuration; what it lacks is the file's fault."""

    def __init__(self, path: Path, config: dict):
        super().__init__(config)
        self._path = path

    def __missing__(self, key: str):
        raise ConfigError(
            f"{self._path} is damaged: it lacks {key!r}. Restore it, or delete its folder and train again."
        )


def list_runs(root: Path) -> list[Run]:
    """Run folders directly below `root` and one folder deeper, oldest first; what is none is passed over."""
    root = Path(root)
    found = []
    for path in (p for pattern in ("*/config.json", "*/*/config.json") for p in root.glob(pattern)):
        with contextlib.suppress(ConfigError):  # another program's config.json, or a damaged one
            found.append(open_run(path.parent))
    return sorted(found, key=lambda run: run.config.get("created", ""))


def latest_run(root: Path) -> Run:
    """The newest finished run below `root`, else the newest unfinished one; ConfigError says what makes one."""
    runs = [run for run in list_runs(root) if run.trained]
    if not runs:
        make = "python -m pipelines.train --model=mnext"
        raise ConfigError(
            f"No trained run under {root}/. `{make}` makes one, `python -m pipelines.import_checkpoint` brings one in; "
            "`--run=PATH` names one elsewhere or an untrained one; `--init=random` exports an untrained network."
        )
    return next((run for run in reversed(runs) if run.manifest(run.weights.parent.name)), runs[-1])


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
    if not force and manifest and manifest.get("key") == key and _outputs_are_whole(folder, manifest):
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
                "input_files": {k: os.path.relpath(p, run.folder) for k, p in inputs.items()},
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


def is_current(run: Run, name: str) -> bool:
    """Whether a stage's files are whole and were made from what the run's folder holds now."""
    manifest = run.manifest(name)
    if not manifest or not _outputs_are_whole(run.stage(name), manifest):
        return False
    for key, file in manifest.get("input_files", {}).items():
        path, stage = run.folder / file, Path(file).parts[0]
        if not (run.stage(stage) / "manifest.json").is_file():  # a checkpoint: what was taken of it is in the run
            continue
        if not path.exists() or sha256(path) != manifest["inputs"][key]:
            return False
        if not is_current(run, stage):
            return False
    return True


@functools.cache
def _code() -> str:
    """Of the code that decides what an export contains: an update of it makes stages run again."""
    root = Path(mnext_tf.__file__).parent
    return sha256_of([sha256(p) for room in ("models", "data", "export") for p in sorted((root / room).glob("*.py"))])


def _outputs_are_whole(folder: Path, manifest: dict) -> bool:
    return all((folder / p).is_file() and sha256(folder / p) == h for p, h in manifest.get("outputs", {}).items())


def require_weights(run: Run) -> Path:
    """The trained (or random) weights; CheckpointError says how to finish an interrupted training."""
    if run.weights.is_file() and run.manifest(run.weights.parent.name):
        return run.weights
    go_on = f"python -m pipelines.train --resume --run={run.folder}"
    if run.imported:
        source = run.config.get("source", {}).get("file", "FILE")
        go_on = f"python -m pipelines.import_checkpoint --checkpoint={source} --out={run.folder}"
    raise CheckpointError(f"{run.folder} has no finished weights. `{go_on}` goes on.")


def load_network(run: Run):
    """The Keras network of a run with its weights. CheckpointError where they are damaged or of another network."""
    from mnext_tf.models import create_model_from

    weights = require_weights(run)
    model = create_model_from(run.config["model"])
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError) as e:
        raise CheckpointError(f"{weights} is damaged or of another network: {e}") from e
    return model


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
