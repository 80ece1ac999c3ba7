"""What a report says about a run, read from its folder. A stage that has not run is simply absent."""

from __future__ import annotations

import csv
import dataclasses
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import DataError, MnextError
from mnext_tf.files import read_json
from mnext_tf.naming import PRECISIONS, command_line, distinct_names, full_name_of, network_title, precision_of
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import is_current
from mnext_tf.tasks import Classification, Detection, task_of
from mnext_tf.tasks.classification import FLOAT_TOLERANCE
from mnext_tf.training.best import Best, better
from mnext_tf.training.curves import Curve, curve_of

HISTORY_NUMBERS = ("epoch", "train_loss", "train_accuracy", "val_loss")  # and val_ with the task's metric, at least


@dataclass(frozen=True)
class Check:
    """One form of a network on the validation images. `metric` and `agreement` (with Keras) in 0..1, see the task's."""

    metric: float | None  # accuracy, or a detector's mAP50; None: the images have no labels
    agreement: float
    max_relative_difference: float | None  # None: the file gives detections alone


@dataclass(frozen=True)
class Export:
    """One .tflite file of a run and the result of its check; `checks` is empty where it was not checked."""

    precision: str
    variant: str  # uint8, probabilities ... or ""
    file: Path
    file_bytes: int
    sha256: str
    nodes_total: int
    nodes_delegated: int
    not_delegated: tuple[str, ...]
    preflight: dict  # of `Preflight.to_dict`; empty for files of older releases
    created: str
    versions: dict[str, str]
    settings: dict  # of the export, with its tolerance
    images: int
    passed: bool | None
    checks: dict[str, Check]  # keras, saved_model, frozen, tflite

    @property
    def precision_text(self) -> str:
        return f"{self.precision} {self.variant}".strip()

    @property
    def is_quantized(self) -> bool:
        return self.precision not in FLOAT_TOLERANCE


@dataclass(frozen=True)
class RunFacts:
    run: Run
    name: str  # unlike that of any other run in the report
    label: str  # network, and the name where two runs have the same network
    data: str  # the data set's name, unlike that of any other data
    history: list[dict[str, float]]  # one row per epoch: HISTORY_NUMBERS, and what else was measured in that epoch
    exports: list[Export]  # float32 first

    @property
    def title(self) -> str:
        return _title(self.run)

    @property
    def task(self) -> Classification | Detection:
        return task_of(self.run.config)

    @property
    def metric_column(self) -> str:
        """Of the history: the task's metric on the validation images."""
        return f"val_{self.task.metric}"

    @property
    def curve(self) -> Curve | None:
        """The published training that this one repeats."""
        return curve_of(self.run.config)

    @property
    def published(self) -> list[tuple[dict[str, float], float]]:
        """The epochs for which `curve` has a top-1, and that top-1 in percent."""
        pairs = [(row, self.curve.top1(int(row["epoch"]))) for row in self.history]
        return [(row, top1) for row, top1 in pairs if top1 is not None]

    @property
    def published_column(self) -> str:
        """Of the history: what `curve` is of, weights or their average."""
        averaged = self.curve.is_ema and "ema_val_accuracy" in self.history[-1]
        return "ema_val_accuracy" if averaged else "val_accuracy"

    @property
    def best(self) -> Best:
        """The best epoch by the recipe's metric, of the weights or their average; there must be a history.

        Of a pruned network, an epoch before the full sparsity only where there is no later one yet.
        """
        recipe = dataclasses.replace(self.run.config.recipe, keep_last=False)
        dense = dataclasses.replace(recipe, sparsity=0.0, pruning_epochs=None)
        found = better(self.history, recipe) or better(self.history, dense)
        return dataclasses.replace(found, epoch=int(found.epoch))

    @property
    def measures_accuracy(self) -> bool:
        """Whether its logits mean something and were checked on labeled images."""
        return self.run.trained and any(e.checks and e.checks["keras"].metric is not None for e in self.exports)

    def compares_loosely(self, export: Export) -> bool:
        """Whether its check required no top-1 and a rough difference only: see `Tolerance`."""
        return export.is_quantized and not self.run.trained

    def tolerance_text(self, export: Export) -> str:
        """What the check of an export allows, in words; "" where its manifest does not say."""
        tolerance = export.settings.get("tolerance", {})
        parts = []
        compared = not export.checks or export.checks["tflite"].max_relative_difference is not None
        if export.precision in FLOAT_TOLERANCE and compared:
            parts.append(f"{outputs_of([self])} within {FLOAT_TOLERANCE[export.precision]:.0e}")
        if self.compares_loosely(export) and tolerance:
            parts.append(f"untrained: {outputs_of([self])} within {tolerance['max_untrained_difference']:g} only")
        if self.run.trained and export.precision != "float32" and tolerance:
            if self.measures_accuracy:
                parts.append(f"at most {tolerance['max_accuracy_drop']:g} points lost")
            parts.append(f"{self.task.agreement_title} on at least {100 * tolerance['min_agreement']:g} %")
        return ", ".join(parts)


def outputs_of(facts: Sequence[RunFacts]) -> str:
    """What the outputs of these networks are, in a word."""
    return "logits" if all(f.task.name == "classification" for f in facts) else "outputs"


def read_runs(runs: Sequence[Run]) -> list[RunFacts]:
    """Raises DataError where a file is damaged; the text says which command makes it again."""
    runs = list({run.folder.resolve(): run for run in runs}.values())
    names = distinct_names([run.folder for run in runs])
    titles = Counter(_title(run) for run in runs)
    data = {(run.config.dataset.name, run.config.dataset.fingerprint) for run in runs}
    same_data = Counter(name for name, _ in data)
    return [
        RunFacts(
            run,
            name,
            label=_title(run) if titles[_title(run)] == 1 else f"{_title(run)} ({name})",
            data=run.config.dataset.name
            + (f" {run.config.dataset.fingerprint[:6]}" if same_data[run.config.dataset.name] > 1 else ""),
            history=_read_history(run),
            exports=_read_exports(run),
        )
        for run, name in zip(runs, names, strict=True)
    ]


def _title(run: Run) -> str:
    model = run.config.model
    return network_title(full_name_of(model), model.width, model.identity_tensor_multiplier)


def _read_history(run: Run) -> list[dict[str, float]]:
    path = run.stage("train") / "history.csv"
    if not path.is_file():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as f:
            required = (*HISTORY_NUMBERS, f"val_{task_of(run.config).metric}")
            return [_numbers(row, required) for row in csv.DictReader(f)]
    except (KeyError, ValueError, TypeError) as e:
        raise DataError(
            f"{path} is damaged ({e}). Delete it to leave this run's curves out, or train again with "
            "`python -m pipelines.train`."
        ) from e


def _numbers(row: dict[str, str], required: Sequence[str]) -> dict[str, float]:
    """What is empty was not measured in that epoch: a later release added its column, and the run was resumed."""
    return {name: float(row[name]) for name in (*required, *row) if name in required or row[name]}


def _read_exports(run: Run) -> list[Export]:
    stages = [p.name for p in run.stage("").glob("tflite_*") if (p / "manifest.json").is_file()]
    exports = [_read_export(run, stage) for stage in stages]
    order = {precision: index for index, precision in enumerate(PRECISIONS)}
    return sorted(exports, key=lambda e: (order.get(e.precision, len(order)), e.precision, e.variant))


def _read_export(run: Run, stage: str) -> Export:
    folder = run.stage(stage)
    precision, variant = precision_of(stage)
    task = task_of(run.config)
    try:
        manifest = run.manifest(stage)
        result = manifest.result
        checked = read_json(folder / "verify.json") if (folder / "verify.json").is_file() else {}
        return Export(
            precision=precision,
            variant=variant,
            file=folder / result["file"],
            **{name: result[name] for name in ("file_bytes", "sha256", "nodes_total", "nodes_delegated")},
            not_delegated=tuple(result["not_delegated"]),
            preflight=result.get("preflight", {}),
            created=manifest.created,
            versions=manifest.versions,
            settings=manifest.settings,
            images=checked.get("images", 0),
            passed=checked.get("passed") and is_current(run, folder.name),
            checks={
                form: Check(numbers[task.metric], numbers[task.agreement], numbers["max_relative_difference"])
                for form, numbers in checked.get("networks", {}).items()
            },
        )
    except (MnextError, ValueError, KeyError, TypeError, AttributeError) as e:
        what = f"lacks {e}" if isinstance(e, KeyError) else e
        again = command_line("export_tflite", {"run": run.folder, "quantize": precision, "force": True})
        raise DataError(f"{folder} is damaged ({what}). `{again}` makes it again.") from e
