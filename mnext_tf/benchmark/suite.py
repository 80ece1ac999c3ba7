"""A benchmark from names to files: export what is missing, time it, write the results."""

from __future__ import annotations

import dataclasses
import logging
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.benchmark.baselines import BASELINES, check_baseline, export_keras_mobilenet_v2
from mnext_tf.benchmark.gpu import check_on_gpu, find_gpu
from mnext_tf.benchmark.isolated import benchmark_isolated
from mnext_tf.benchmark.results import Results, describe_host, make_rows, read_results, write_results
from mnext_tf.benchmark.timing import Case, benchmark
from mnext_tf.errors import ConfigError, MnextError, one_of
from mnext_tf.export import export_tflite
from mnext_tf.files import sha256, sha256_of
from mnext_tf.models import check_model_arguments, has_identity_tensor_multiplier, list_models
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.registry import identity_divisor
from mnext_tf.naming import QUANTIZE, network_name
from mnext_tf.provenance import versions
from mnext_tf.runs.run import Run, open_run
from mnext_tf.tflite.operators import delegation
from mnext_tf.training.random_weights import create_random_run

_log = logging.getLogger(__name__)

DELEGATES = ("cpu", "gpu")


@dataclass(frozen=True)
class Settings:
    """What to time. With `runs` (folders of trained networks) `models`, `width` and `input_sizes` go unused."""

    models: tuple[str, ...] = ("mnext", "mobilenet_v2")
    width: float = 1.0
    identity_tensor_multiplier: float = 1.0  # of those networks that have one
    input_sizes: tuple[int, ...] = (224,)
    quantize: tuple[str, ...] = ("float32", "int8")
    delegates: tuple[str, ...] = ("cpu",)
    threads: tuple[int, ...] = (1, 2)  # on the CPU; the GPU is driven by one
    rounds: int = 20
    runs_per_round: int = 10
    warmup: int = 2
    seed: int = 0
    runs: tuple[str, ...] = ()

    def check(self) -> None:
        """ConfigError for anything that could not be timed. Does not import TensorFlow."""
        for name, values in (("models", self.models), ("input_size", self.input_sizes)):
            if not values and not self.runs:
                raise ConfigError(f"{name} names nothing to time.")
            _distinct(name, values)
        for name, values in (("quantize", self.quantize), ("delegate", self.delegates), ("threads", self.threads)):
            if not values:
                raise ConfigError(f"{name} names nothing to time.")
            _distinct(name, values)
        for quantize in self.quantize:
            one_of("quantize", quantize, QUANTIZE)
        for delegate in self.delegates:
            one_of("delegate", delegate, DELEGATES)
        for threads in self.threads:
            _whole("threads", threads, 1, 256)
        _whole("rounds", self.rounds, 1, 10_000)
        _whole("runs_per_round", self.runs_per_round, 1, 100_000)
        _whole("warmup", self.warmup, 0, 100_000)
        if self.runs:
            _distinct("run", self.runs)
            for folder in self.runs:
                open_run(Path(folder))
            return
        for model in self.models:
            one_of("model", model, [*list_models(), *BASELINES])
            for input_size in self.input_sizes:
                known = model if model in list_models() else "mobilenet_v2"
                check_model_arguments(known, width=self.width, input_size=input_size)
                identity_divisor(self.identity_tensor_multiplier)
                for quantize in self.quantize if model in BASELINES else ():
                    check_baseline(model, quantize, input_size)

    def command(self, out: Path) -> str:
        """The command line that stands for these settings."""
        what = (
            {"run": self.runs}
            if self.runs
            else {
                "models": self.models,
                "width": (self.width,),
                "identity_tensor_multiplier": (self.identity_tensor_multiplier,),
                "input_size": self.input_sizes,
            }
        )
        flags = {
            **what,
            "quantize": self.quantize,
            "delegate": self.delegates,
            "threads": self.threads,
            "rounds": (self.rounds,),
            "runs_per_round": (self.runs_per_round,),
            "out": (out,),
        }
        return "python -m pipelines.benchmark " + " ".join(
            shlex.quote(f"--{k}={','.join(map(str, v))}") for k, v in flags.items()
        )


def run_benchmark(
    out: Path,
    settings: Settings,
    *,
    cache_dir: Path | str = "data",
    force: bool = False,
    reuse: bool = False,
    progress: bool = True,
) -> Path:
    """Export what is missing, time it all in one interleaved run, and write `out`/benchmark.csv and .json.

    Untrained networks are kept in `out`/models/<model>_<width>_<input size>/.

    Args:
      cache_dir: where the embedded data set is kept, which int8 files are calibrated on.
      force: export again even where nothing changed.
      reuse: keep results that `out` already holds of the same files, settings, host and versions.

    Returns:
      `out`.

    Raises:
      ConfigError: see `Settings.check`; and for the GPU where there is none, before anything is exported.
      ExportError: a network cannot be exported, or not run on the GPU.
    """
    out = Path(out)
    settings.check()
    adapter = find_gpu() if "gpu" in settings.delegates else None
    cases = make_cases(out, settings, cache_dir=cache_dir, force=force)
    host = describe_host()
    made_of = sha256_of(
        {
            "settings": settings,
            "files": [sha256(case.file) for case in cases],
            "versions": versions(),
            "cpu": [host["cpu"], host["cores"]],
            "adapter": adapter,
        }
    )
    if reuse and not force and _made_of(out) == made_of:
        _log.debug(f"benchmark: unchanged, kept {out}")
        return out

    delegations = {file: delegation(file) for file in dict.fromkeys(case.file for case in cases)}
    gpu_differences = {}
    for file in dict.fromkeys(case.file for case in cases if case.delegate == "gpu"):
        _log.info(f"benchmark: comparing {file.name} on {adapter} with the CPU")
        gpu_differences[file] = check_on_gpu(file)
    timed = (benchmark_isolated if adapter else benchmark)(
        cases,
        rounds=settings.rounds,
        runs_per_round=settings.runs_per_round,
        warmup=settings.warmup,
        seed=settings.seed,
        progress=progress,
    )
    rows = make_rows(timed, delegations, host, out, adapter=adapter, gpu_differences=gpu_differences)
    write_results(Results(out, settings.command(out), dataclasses.asdict(settings), made_of, host, rows))
    return out


def make_cases(out: Path, settings: Settings, *, cache_dir: Path | str, force: bool) -> list[Case]:
    """The files to time, exported where missing. The first model named comes first in every group."""
    cases = []
    for name, width, input_size, export in _sources(out, settings, cache_dir, force):
        for quantize in settings.quantize:
            file = export(quantize)
            for delegate in settings.delegates:
                threads = settings.threads if delegate == "cpu" else (1,)
                cases += [Case(name, width, input_size, quantize, n, file, delegate) for n in threads]
    return cases


def _sources(out: Path, settings: Settings, cache_dir: Path | str, force: bool):
    """(model, width, input_size, quantize -> file) of every network."""
    if settings.runs:
        for folder in settings.runs:
            run = open_run(Path(folder))
            model = run.config.model
            yield model.name, model.width, model.input_size, _exporter(run, force)
        return
    for input_size in settings.input_sizes:
        for name in settings.models:
            identity = settings.identity_tensor_multiplier if has_identity_tensor_multiplier(name) else 1.0
            folder = out / "models" / network_name(name, settings.width, identity, input_size)
            if name in BASELINES:
                export = _baseline_exporter(folder, settings.width, input_size, force)
            else:
                model = ModelConfig(
                    name, width=settings.width, input_size=input_size, identity_tensor_multiplier=identity
                )
                run = create_random_run(folder, model, cache_dir=cache_dir, force=force)
                export = _exporter(run, force)
            yield name, settings.width, input_size, export


def _baseline_exporter(folder: Path, width: float, input_size: int, force: bool):
    def export(quantize: str) -> Path:  # float32, as `Settings.check` has seen to
        return export_keras_mobilenet_v2(folder, width=width, input_size=input_size, force=force)

    return export


def _exporter(run: Run, force: bool) -> Callable[[str], Path]:
    def export(quantize: str) -> Path:
        return export_tflite(run, quantize, force=force)

    return export


def _made_of(out: Path) -> str | None:
    try:
        return read_results(out).made_of
    except MnextError:  # none there, or damaged: it is made anew
        return None


def _distinct(name: str, values: Sequence) -> None:
    twice = [value for i, value in enumerate(values) if value in values[:i]]
    if twice:
        raise ConfigError(f"{name} names {twice[0]} twice.")


def _whole(name: str, value, low: int, high: int) -> None:
    if not (isinstance(value, int) and low <= value <= high):
        raise ConfigError(f"{name} must be a whole number from {low} to {high}; received {value!r}.")
