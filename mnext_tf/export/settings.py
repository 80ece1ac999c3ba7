"""What the user chose for the .tflite files of a run, remembered from one export to the next."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mnext_tf.errors import ConfigError
from mnext_tf.files import read_json, write_json
from mnext_tf.naming import EFFORTS
from mnext_tf.records import Record, field
from mnext_tf.runs.run import Run

FILE = "export.json"


@dataclass(frozen=True)
class ExportSettings(Record):
    """None: not chosen yet."""

    author: str | None = field(None, "Author in the file's metadata. Without it: not stated.", absent=None)
    license: str | None = field(None, "License of the weights in the file's metadata.", absent=None)
    calibration_count: int | None = field(
        None, "Training images that set the ranges of an integer file.", at_least=1, absent=None
    )
    effort: str | None = field(None, "What is done for the accuracy of an int8 file.", choices=EFFORTS, absent=None)
    sparse: bool | None = field(None, "Whether a float32 file stores weights without their zeros.", absent=None)
    calibration_data: str | None = field(
        None, "Folder whose images set the ranges; empty for the run's training images.", absent=None
    )
    keep_float: str | None = field(None, "Layers of an int8 file that compute in float32.", absent=None)
    auto_keep_float: int | None = field(
        None, "As many layers compute in float32: those whose rounding costs most.", at_least=0, absent=None
    )


def remembered(run: Run, stage: str, given: ExportSettings) -> ExportSettings:
    """`given`, and where it has None what was given before, to any call that made or tried to make this stage.

    Written at once: a check that fails afterward does not forget it. Raises ConfigError where the file is damaged.
    """
    path = run.folder / FILE
    try:
        kept = read_json(path) if path.is_file() else {}
        before = ExportSettings.from_dict(kept.get(stage) or _of_manifest(run, stage), str(path))
    except (OSError, ValueError, AttributeError) as e:
        raise ConfigError(f"{path} is damaged ({e}). Delete it and give --author and the like again.") from e
    chosen = dataclasses.replace(before, **{k: v for k, v in vars(given).items() if v is not None})
    if chosen != before:
        write_json(path, {**kept, stage: chosen.to_dict()})
    return chosen


def _of_manifest(run: Run, stage: str) -> dict:
    """Runs of version 0.1 have no export.json; what an accepted file was made with counts."""
    manifest = run.manifest(stage)
    settings = manifest.settings if manifest else {}
    about = {key: value for key, value in settings.get("about", {}).items() if value != "not stated"}
    same = ("calibration_count", "effort", "keep_float", "auto_keep_float")
    chosen = {k: v for k, v in settings.items() if k in same}
    if chosen:  # an int8 file; before there were efforts, the least one made them
        chosen = {"effort": "fast", **chosen}
    if "calibration_data" in settings:
        chosen["calibration_data"] = settings["calibration_data"]["folder"]
    return {**about, **chosen}
