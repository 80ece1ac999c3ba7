"""manifest.json of a stage: what it was made from and what it holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.files import read_json
from mnext_tf.records import Record, field

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Manifest(Record):
    """What a finished stage says of itself.

    inputs: name -> sha256 of what it was made from; input_files: their paths, relative to the run's folder.
    outputs: path in the stage's folder -> sha256. code: sha256 of our modules that decide the content.
    result: what the stage's `build` returned.
    """

    VERSION: ClassVar[int] = 2

    result: dict
    stage: str = field("", absent="")
    created: str = field("", absent="")
    seconds: float = field(0.0, at_least=0, absent=0.0)
    inputs: dict[str, str] = field({}, absent={})
    input_files: dict[str, str] = field({}, absent={})
    settings: dict = field({}, absent={})
    outputs: dict[str, str] = field({}, absent={})
    versions: dict[str, str] = field({}, absent={})
    code: str = field("", absent="")

    def __post_init__(self):
        super().__post_init__()
        for path in self.outputs:
            if Path(path).is_absolute() or ".." in Path(path).parts or "\0" in path:
                raise ConfigError(f"outputs must be paths in the stage's folder; received {path[:100]!r}.")
        _check_result(self.stage, self.result)

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a stage's folder; None where there is none. Raises MnextError where it is damaged."""
    path = folder / MANIFEST
    try:
        values = read_json(path)
        if isinstance(values, dict):
            values.pop("key", None)  # of version 1: a hash of all that is compared one by one now
            values["stage"] = folder.name
        return Manifest.from_dict(values)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as e:
        raise MnextError(f"{path} is damaged ({e}). Delete that file; the stage then runs again.") from e


def _check_result(stage: str, result: dict) -> None:
    """Raise ConfigError unless `result` has what other stages and commands read of it."""
    if stage == "train":
        history = result.get("history")
        if not (isinstance(history, list) and history and all(isinstance(row, dict) for row in history)):
            raise ConfigError("the result of a training needs a history, a list of epochs.")
        measured = result.get("val_accuracy", result.get("val_map50"))
        if not isinstance(history[-1].get("step"), int) or not isinstance(measured, float | int):
            raise ConfigError("the result of a training needs val_accuracy, and step in each row of its history.")
    if stage.startswith("tflite_"):
        file = result.get("file")
        if not (isinstance(file, str) and file and Path(file).name == file and "\0" not in file):
            raise ConfigError(f"the result of {stage[:40]} needs the name of its file; received {str(file)[:100]!r}.")
