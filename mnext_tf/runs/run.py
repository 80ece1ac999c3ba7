"""One folder a network: what made it, and a folder for each stage on its way to a phone.

    <run>/config.json            network, data, preprocessing, recipe, class names, seed, versions
    <run>/train/                 history, checkpoints, model.weights.h5 (import/ where they come from elsewhere)
    <run>/saved_model/  frozen/  tflite_float32/  tflite_int8/ ...

A stage's folder holds a manifest.json: hashes of what went in and came out. A stage runs again only
when what goes in has changed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.files import read_json, write_json
from mnext_tf.provenance import now, versions
from mnext_tf.runs.config import RunConfig

WEIGHTS_STAGE = {"trained": "train", "random": "init", "imported": "import"}  # where a run's weights come from


@dataclass(frozen=True)
class Run:
    """A run folder and its resolved configuration."""

    folder: Path
    config: RunConfig

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def trained(self) -> bool:
        """False for a network with random weights, which is good for latency only."""
        return self.config.init != "random"

    @property
    def imported(self) -> bool:
        """True where the weights were trained by somebody else: there is no recipe and no history."""
        return self.config.init == "imported"

    @property
    def weights(self) -> Path:
        return self.stage(WEIGHTS_STAGE[self.config.init]) / "model.weights.h5"

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


def create_run(folder: Path, config: RunConfig) -> Run:
    """Make `folder` and write its config.json; the time and the versions are added here."""
    folder = Path(folder)
    config = dataclasses.replace(config, created=now(), versions=versions())
    write_json(folder / "config.json", config.to_dict())
    return Run(folder, config)


def open_run(folder: Path) -> Run:
    """Raises ConfigError where `folder` is no run or its config.json is damaged."""
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        what = "is not a run folder (it has no config.json)" if folder.is_dir() else "does not exist"
        what = "is a file, not a run folder" if folder.is_file() else what
        raise ConfigError(f"{folder} {what}. `python -m pipelines.train` makes a run folder; give its path with --run.")
    try:
        config = read_json(path)
    except (OSError, ValueError, RecursionError) as e:
        raise ConfigError(f"{path} is damaged: {e}. Restore it, or delete {folder} and train again.") from e
    if not (isinstance(config, dict) and "init" in config):
        raise ConfigError(f"{path} was written by another program: {folder} is not a run folder.")
    try:
        return Run(folder, RunConfig.from_dict(config, str(path)))
    except ConfigError as e:
        raise ConfigError(f"{e} Restore {path.name}, or delete {folder} and train again.") from e


def list_runs(root: Path) -> list[Run]:
    """Run folders directly below `root` and one folder deeper, oldest first; what is none is passed over."""
    root = Path(root)
    found = []
    for path in (p for pattern in ("*/config.json", "*/*/config.json") for p in root.glob(pattern)):
        with contextlib.suppress(ConfigError):  # another program's config.json, or a damaged one
            found.append(open_run(path.parent))
    return sorted(found, key=lambda run: run.config.created)


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
