"""What a report says about a run, read from its folder. A stage that has not run is simply absent."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import DataError
from mnext_tf.files import read_json
from mnext_tf.naming import Network, network_of, network_title
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import is_current

HISTORY_NUMBERS = ("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy")


def network_in(row: dict) -> Network:
    """Of a benchmark's row. Its columns do not hold the shortcuts' share; the name of its file does."""
    named = network_of(Path(row["file"]).stem)
    share = named.share if named and named.model == row["model"] else 1.0
    return Network(row["model"], row["width"], share, row["input_size"], row["quantize"], "")


def row_title(row: dict) -> str:
    return network_in(row).title


@dataclass(frozen=True)
class Check:
    """One form of a network on the validation images. `accuracy` and `top1_agreement` (with Keras) in 0..1."""

    accuracy: float | None  # None: the images have no labels
    top1_agreement: float
    max_abs_difference: float
    max_relative_difference: float


@dataclass(frozen=True)
class Export:
    """One .tflite file of a run and what checking it gave; `checks` is empty where it was not checked."""

    label: str  # float32, int8, int8_uint8 ...
    file: Path
    file_bytes: int
    sha256: str
    nodes_total: int
    nodes_delegated: int
    not_delegated: tuple[str, ...]
    created: str
    versions: dict[str, str]
    images: int
    passed: bool | None
    checks: dict[str, Check]  # keras, saved_model, frozen, tflite

    @property
    def is_quantized(self) -> bool:
        return self.label.partition("_")[0] in ("dynamic", "int8")


@dataclass(frozen=True)
class RunFacts:
    run: Run
    history: list[dict[str, float]]  # one row an epoch, HISTORY_NUMBERS
    exports: list[Export]  # float32 first

    @property
    def title(self) -> str:
        model = self.run.config.model
        return network_title(model.name, model.width, model.identity_tensor_multiplier)

    @property
    def measures_accuracy(self) -> bool:
        """Whether its logits mean something and were checked on labelled images."""
        return self.run.trained and any(e.checks and e.checks["keras"].accuracy is not None for e in self.exports)

    def compares_loosely(self, export: Export) -> bool:
        """Whether its check asked no top-1 and a rough difference only: see `Tolerance`."""
        return export.is_quantized and not self.run.trained

    def export(self, label: str) -> Export | None:
        return next((e for e in self.exports if e.label == label), None)


def read_run(run: Run) -> RunFacts:
    """Raises DataError where a file is damaged; the text says which command makes it again."""
    order = ["float32", "float16", "dynamic", "int8"]
    folders = [p for p in run.folder.glob("tflite_*") if (p / "manifest.json").is_file()]
    labels = [p.name.removeprefix("tflite_") for p in folders]
    labels.sort(key=lambda label: (order.index(label.split("_")[0]) if label.split("_")[0] in order else 9, label))
    return RunFacts(run, _read_history(run), [_read_export(run, label) for label in labels])


def _read_history(run: Run) -> list[dict[str, float]]:
    path = run.stage("train") / "history.csv"
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as f:
            return [{name: float(row[name]) for name in HISTORY_NUMBERS} for row in csv.DictReader(f)]
    except (KeyError, ValueError, TypeError) as e:
        raise DataError(
            f"{path} is damaged ({e}). Delete it to leave this run's curves out, or train again with "
            "`python -m pipelines.train`."
        ) from e


def _read_export(run: Run, label: str) -> Export:
    folder = run.stage(f"tflite_{label}")
    try:
        manifest = read_json(folder / "manifest.json")
        result = manifest["result"]
        checked = read_json(folder / "verify.json") if (folder / "verify.json").is_file() else {}
        return Export(
            label=label,
            file=folder / result["file"],
            file_bytes=result["file_bytes"],
            sha256=result["sha256"],
            nodes_total=result["nodes_total"],
            nodes_delegated=result["nodes_delegated"],
            not_delegated=tuple(result["not_delegated"]),
            created=manifest["created"],
            versions=manifest["versions"],
            images=checked.get("images", 0),
            passed=checked.get("passed") and is_current(run, folder.name),
            checks={
                form: Check(
                    numbers["accuracy"],
                    numbers["top1_agreement"],
                    numbers["max_abs_difference"],
                    numbers["max_relative_difference"],
                )
                for form, numbers in checked.get("networks", {}).items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        what = f"lacks {e}" if isinstance(e, KeyError) else e
        again = f"python -m pipelines.export_tflite --run={run.folder} --quantize={label.split('_')[0]} --force"
        raise DataError(f"{folder} is damaged ({what}). `{again}` makes it again.") from e
