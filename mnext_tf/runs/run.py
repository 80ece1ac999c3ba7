"""One folder per network: its configuration, and a folder for each stage from the weights to a TFLite file.

    <run>/config.json            network, data, preprocessing, recipe, class names, seed, versions
    <run>/train/                 history, checkpoints, model.weights.h5 (import/ or init/ for other weights)
    <run>/saved_model/  frozen/  tflite_float32/  tflite_int8/ ...

A stage's folder holds a manifest.json (`runs.manifest`): hashes of its inputs and outputs. A stage runs again only
when its inputs have changed (`runs.stages`).
"""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.files import read_json, write_json
from mnext_tf.provenance import now, versions
from mnext_tf.runs.config import RunConfig
from mnext_tf.runs.manifest import Manifest, read_manifest

_log = logging.getLogger(__name__)
WEIGHTS_STAGE = {"trained": "train", "random": "init", "imported": "import"}  # where a run's weights come from


@dataclass(frozen=True)
class Run:
    """A run folder and its resolved configuration.

    `variant` is "" for the weights that the training chose, or "raw" or "ema" for either kind (see `training.best`),
    whose exports are in a folder of that name.
    """

    folder: Path
    config: RunConfig
    variant: str = ""

    @property
    def name(self) -> str:
        return f"{self.folder.name}-{self.variant}" if self.variant else self.folder.name

    @property
    def trained(self) -> bool:
        """False for a network with random weights, made to measure latency."""
        return self.config.init != "random"

    @property
    def imported(self) -> bool:
        """True for weights from a checkpoint file: there is no recipe and no history."""
        return self.config.init == "imported"

    @property
    def weights(self) -> Path:
        return self.stage(WEIGHTS_STAGE[self.config.init]) / f"{self.variant or 'model'}.weights.h5"

    def stage(self, name: str) -> Path:
        if name == WEIGHTS_STAGE[self.config.init]:
            return self.folder / name
        return self.folder / self.variant / name

    def with_weights(self, variant: str) -> Run:
        """The same run with its raw weights, or their average ("ema"). ConfigError where it has none of these."""
        chosen = dataclasses.replace(self, variant=variant)
        if not chosen.weights.is_file():
            kind = "an average of its weights; train with --ema_decay" if variant == "ema" else "such weights"
            raise ConfigError(f"{self.folder} does not have {kind} ({chosen.weights} is missing).")
        return chosen

    @property
    def finished(self) -> bool:
        """Whether the stage that makes the weights has ended; a damaged manifest means no."""
        try:
            return self.manifest(self.weights.parent.name) is not None
        except MnextError:
            return False

    def manifest(self, stage: str) -> Manifest | None:
        """None where the stage is not finished. Raises MnextError where its manifest is damaged."""
        return read_manifest(self.stage(stage))


class _NotARunError(ConfigError):
    """The config.json of another program."""


def create_run(folder: Path, config: RunConfig) -> Run:
    """Make `folder` and write its config.json; the time and the versions are added here."""
    folder = Path(folder)
    config = dataclasses.replace(config, created=now(), versions=versions())
    write_json(folder / "config.json", config.to_dict())
    return Run(folder, config)


def open_run(folder: Path) -> Run:
    """Raises ConfigError where `folder` is not a run folder or its config.json is damaged."""
    folder = Path(folder)
    path = folder / "config.json"
    if not path.is_file():
        what = "is a file, not a run folder" if folder.is_file() else "does not exist"
        what = "is not a run folder (it has no config.json)" if folder.is_dir() else what
        raise ConfigError(f"{folder} {what}. `python -m pipelines.train` makes a run folder; give its path with --run.")
    try:
        config = read_json(path)
    except (OSError, ValueError) as e:
        raise ConfigError(f"{path} is damaged: {e}. Restore it, or delete {folder} and train again.") from e
    if not (isinstance(config, dict) and "init" in config):
        raise _NotARunError(f"{path} was written by another program: {folder} is not a run folder.")
    try:
        return Run(folder, RunConfig.from_dict(config, str(path)))
    except ConfigError as e:
        raise ConfigError(f"{e} Restore {path.name}, or delete {folder} and train again.") from e


def list_runs(root: Path) -> list[Run]:
    """Run folders directly below `root` and one folder deeper, oldest first.

    A config.json of another program is passed over; a damaged one too, with a warning.
    """
    root = Path(root)
    found = []
    for path in (p for pattern in ("*/config.json", "*/*/config.json") for p in sorted(root.glob(pattern))):
        try:
            found.append(open_run(path.parent))
        except _NotARunError:
            continue
        except ConfigError as e:
            _log.warning(f"Left out: {e}")
    return sorted(found, key=lambda run: run.config.created)


def latest_run(root: Path) -> Run:
    """The newest finished run below `root`, else the newest unfinished one; ConfigError where there is none."""
    runs = [run for run in list_runs(root) if run.trained]
    if not runs:
        make = "python -m pipelines.train --model=mnext"
        raise ConfigError(
            f"No trained run under {root}/. `{make}` trains one, `python -m pipelines.import_checkpoint` imports "
            "weights; `--run=PATH` names a run elsewhere or an untrained one; `--init=random` exports an untrained "
            "network."
        )
    return next((run for run in reversed(runs) if run.finished), runs[-1])
