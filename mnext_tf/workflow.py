"""The whole workflow for several networks: train, export, verify, benchmark, report."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

from mnext_tf.benchmark.suite import Settings, run_benchmark
from mnext_tf.data.dataset import Dataset
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.export import export_tflite
from mnext_tf.runs.run import Run, open_run
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.start import start_run

_log = logging.getLogger(__name__)


def run_workflow(
    out: Path,
    models: list[str],
    dataset: Dataset,
    recipe: Recipe,
    benchmark: Settings,
    *,
    cache_dir: str = "data",
    precisions: tuple[str, ...] = ("float32", "int8"),
    tolerance: Tolerance | None = None,
    force: bool = False,
) -> Path:
    """Train and export each of `models` into `out`/<model>, time them, and write `out`/report/report.md.

    `cache_dir` holds the embedded digits, on which untrained int8 networks are calibrated.

    Called again it resumes: finished stages are kept, training continues at its last checkpoint.

    Raises ConfigError where `out` holds a run with another configuration, and ExportError where a network failed
    its export check: at the end, after the report of the other networks.
    """
    from mnext_tf.training.loop import train

    runs, failed = [], {}
    for model in models:
        run = _run(Path(out) / model, model, recipe, dataset)
        _log.info(f"== {model}: training on {dataset.name}")
        train(run, dataset)
        try:
            for precision in precisions:
                _log.info(f"== {model}: exporting {precision}")
                export_tflite(run, precision, tolerance=tolerance, force=force)
            runs.append(run)
        except ExportError as e:
            failed[model] = f"{model} ({precision}) failed its export check: {e}"
            _log.warning(failed[model])
    if not runs:
        raise ExportError(" ".join(failed.values()))
    _log.info(f"== benchmark: {', '.join(benchmark.models)} at {', '.join(map(str, benchmark.input_sizes))} pixels")
    timed = run_benchmark(Path(out) / "benchmark", benchmark, cache_dir=cache_dir, force=force, reuse=True)

    from mnext_tf.report.report import write_report  # imports matplotlib

    report = write_report(Path(out) / "report", runs, [timed])
    if failed:
        raise ExportError(f"{' '.join(failed.values())} The report of the other networks: {report}")
    return report


def _run(folder: Path, model: str, recipe: Recipe, dataset: Dataset) -> Run:
    """The run in `folder`, created if there is none."""
    if not (folder / "config.json").exists():
        return start_run(folder, model, recipe, dataset)
    run = open_run(folder)
    if run.config.recipe is None or run.config.model.name != model:
        what = f"{run.config.model.name}, {run.config.init}"
        raise ConfigError(f"{folder} holds another run ({what}), not a training of {model}. Choose another --out.")
    changed = [
        f"{f.name} {getattr(run.config.recipe, f.name)} (now {getattr(recipe, f.name)})"
        for f in dataclasses.fields(recipe)
        if getattr(run.config.recipe, f.name) != getattr(recipe, f.name)
    ]
    if changed or run.config.dataset.fingerprint != dataset.fingerprint:
        what = ", ".join(changed) or f"the data {run.config.dataset.name} (now {dataset.name})"
        raise ConfigError(f"{folder} was made with other settings: {what}. Choose another --out, or delete it.")
    return run
