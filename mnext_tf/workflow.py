"""The whole workflow for several networks: train, export, verify, benchmark, report."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.suite import run_benchmark
from mnext_tf.data.dataset import Dataset
from mnext_tf.errors import ConfigError, ExportError, MnextError, TrainingError
from mnext_tf.export import export_tflite
from mnext_tf.runs.config import InitialWeights
from mnext_tf.runs.run import Run, open_run
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.training.start import Plan, start_run
from mnext_tf.training.transfer import describe_source

_log = logging.getLogger(__name__)


def run_workflow(
    out: Path,
    plans: Sequence[Plan],
    dataset: Dataset,
    benchmark: Settings,
    *,
    seeds: Sequence[int] = (),
    sources: Mapping[str, Run] | None = None,
    cache_dir: str = "data",
    precisions: tuple[str, ...] = ("float32", "int8"),
    tolerance: Tolerance | None = None,
    force: bool = False,
) -> Path:
    """Train and export each of `plans` into `out`/<model>, time them, and write `out`/report/report.md.

    Called again it resumes: finished stages are kept, training continues at its last checkpoint.

    Args:
      seeds: every network is trained with each of them, into `out`/<model>-seed<seed>, and classifiers are
        evaluated image by image; the report says which is better. The first seed of a network that can be trained is
        exported. Empty: the seed of its recipe alone.
      sources: the run that a network starts from, by the name of the network.
      benchmark: of the networks as published; where `plans` have other widths, the exported runs are timed instead.
      cache_dir: holds the embedded digits, on which untrained int8 networks are calibrated.

    Raises ConfigError, before any training, where `out` holds a run with another configuration. A network that cannot
    be trained (TrainingError) or fails its export check (ExportError) is raised at the end, after the report of the
    others.
    """
    out, sources = Path(out), sources or {}
    planned = [_seeded(out, plan, seed) for seed in seeds or [None] for plan in plans]  # pairs are complete early
    for folder, plan in planned:
        _check(folder, plan, dataset, sources.get(plan.model))
    trained, exported, failed = [], {}, {}
    for folder, plan in planned:
        try:
            trained.append(_train(folder, plan, dataset, sources.get(plan.model), by_image=bool(seeds)))
            if plan.model not in exported:
                exported[plan.model] = trained[-1]
                _export(trained[-1], precisions, tolerance, force)
        except (TrainingError, ExportError) as e:
            failed[folder.name] = e
            _log.warning(str(e))
    runs = [run for run in trained if seeds or run.name not in failed]
    errors = " ".join(map(str, failed.values()))
    if not runs:
        raise _kind(failed)(errors)
    timed = _benchmark(out / "benchmark", benchmark, plans, list(exported.values()), cache_dir, force)

    from mnext_tf.report.report import write_report  # imports matplotlib

    report = write_report(out / "report", runs, [timed])
    if failed:
        raise _kind(failed)(f"{errors} The report of the other networks: {report}")
    return report


def _kind(failed: dict[str, MnextError]) -> type[MnextError]:
    return TrainingError if any(isinstance(e, TrainingError) for e in failed.values()) else ExportError


def _seeded(out: Path, plan: Plan, seed: int | None) -> tuple[Path, Plan]:
    """The folder of one training, which is beside the others so that every command finds it, and its plan."""
    if seed is None:
        return out / plan.model, plan
    return out / f"{plan.model}-seed{seed}", plan._replace(recipe=dataclasses.replace(plan.recipe, seed=seed))


def _train(folder: Path, plan: Plan, dataset: Dataset, source: Run | None, *, by_image: bool) -> Run:
    """The trained run of a plan, with its answers to every validation image where they are wanted."""
    from mnext_tf.evaluation.on_validation import evaluate_run
    from mnext_tf.training.loop import train

    if (folder / "config.json").exists():
        run = open_run(folder)
    else:
        run = start_run(folder, plan.model, plan.recipe, dataset, options=plan.options, source=source)
    _log.info(f"== {run.name}: training on {dataset.name}")
    try:
        train(run, dataset)
    except TrainingError as e:
        raise TrainingError(f"{run.name} cannot be trained: {e}") from e
    if by_image and run.config.task == "classification":
        evaluate_run(run)
    return run


def _export(run: Run, precisions: Sequence[str], tolerance: Tolerance | None, force: bool) -> None:
    for precision in precisions:
        _log.info(f"== {run.name}: exporting {precision}")
        try:
            export_tflite(run, precision, tolerance=tolerance, force=force)
        except ExportError as e:
            raise ExportError(f"{run.name} ({precision}) failed its export check: {e}") from e


def _benchmark(
    out: Path, settings: Settings, plans: Sequence[Plan], exported: Sequence[Run], cache_dir: str, force: bool
) -> Path:
    """Of networks as `settings` name them, which all have one width; else of the exported runs, at their own size."""
    if len({(plan.recipe.width, plan.recipe.identity_tensor_multiplier) for plan in plans}) > 1:
        settings = dataclasses.replace(settings, runs=tuple(str(run.folder) for run in exported))
    at = "" if settings.runs else f" at {', '.join(map(str, settings.input_sizes))} pixels"
    _log.info(f"== benchmark: {', '.join(settings.runs or settings.models)}{at}")
    return run_benchmark(out, settings, cache_dir=cache_dir, force=force, reuse=True)


def _check(folder: Path, plan: Plan, dataset: Dataset, source: Run | None) -> None:
    """Raise ConfigError where `folder` holds anything but this training, begun or finished."""
    if not (folder / "config.json").exists():
        return
    config, recipe = open_run(folder).config, plan.recipe
    if config.recipe is None or config.model.name != plan.model:
        what = f"{config.model.name}, {config.init}"
        raise ConfigError(f"{folder} holds another run ({what}), not a training of {plan.model}. Choose another --out.")
    changed = [
        f"{f.name} {getattr(config.recipe, f.name)} (now {getattr(recipe, f.name)})"
        for f in dataclasses.fields(recipe)
        if getattr(recipe, f.name) not in (None, getattr(config.recipe, f.name))  # None was resolved for the run
    ]
    if config.dataset.fingerprint != dataset.fingerprint:
        changed.append(f"the data {config.dataset.name} (now {dataset.name})")
    had, wanted = config.init_from, describe_source(source) if source else None
    if (had and had.weights_sha256) != (wanted and wanted.weights_sha256):
        changed.append(f"first weights of {_origin(had)} (now {_origin(wanted)})")
    if changed:
        raise ConfigError(
            f"{folder} was made with other settings: {', '.join(changed)}. Choose another --out, or delete it."
        )


def _origin(source: InitialWeights | None) -> str:
    return source.run if source else "its seed"
