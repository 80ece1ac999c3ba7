"""A benchmark from names to files: export what is missing, time it, write the results."""

from __future__ import annotations

import dataclasses
import logging
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.benchmark.baselines import BASELINES, check_baseline, export_keras_mobilenet_v2
from mnext_tf.benchmark.gpu import benchmark_isolated, check_on_gpu, find_gpu
from mnext_tf.benchmark.results import Results, describe_host, make_rows, read_results, write_results
from mnext_tf.benchmark.timing import Case, benchmark
from mnext_tf.errors import ConfigError, MnextError, one_of
from mnext_tf.export import export_tflite
from mnext_tf.files import atomic_folder, sha256, sha256_of, write_json
from mnext_tf.models import check_model_arguments, has_identity_tensor_multiplier, list_models
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.registry import identity_divisor
from mnext_tf.naming import PRECISIONS, Network, command_line, distinct_names, network_name, stage_name
from mnext_tf.provenance import versions
from mnext_tf.records import Record, field
from mnext_tf.runs.run import Run, open_run
from mnext_tf.runs.stages import is_current
from mnext_tf.runs.weights import require_weights
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.tflite.operators import delegation
from mnext_tf.training.random_weights import create_random_run

_log = logging.getLogger(__name__)

DELEGATES = ("cpu", "gpu")
NETWORK_FLAGS = ("models", "width", "identity_tensor_multiplier", "input_size")  # which a run determines
ROOT = Path("runs/benchmark")
NO_ACCURACY_LIMIT = Tolerance(max_accuracy_drop=100, min_agreement=0)


@dataclass(frozen=True)
class Settings(Record):
    """What to time; each field is a flag. With `runs`, `models`, `width`, and `input_sizes` are ignored."""

    models: tuple[str, ...] = field(
        ("mnext", "mobilenet_v2"),
        f"Networks, of {', '.join([*list_models(), *BASELINES])}. The others are compared with the first.",
    )
    width: float = field(1.0, "Width multiplier of every network.")
    identity_tensor_multiplier: float = field(1.0, "Share 1/k of the channels that mnext's shortcuts carry.")
    input_sizes: tuple[int, ...] = field((224,), "Input sizes in pixels, such as 192,224.", flag="input_size")
    runs: tuple[str, ...] = field(
        (),
        "Run folders to time instead of untrained networks; they determine --models, --width, and --input_size. A "
        "run's own verified file is timed; where it has none, one is exported to --models_dir without a check of its "
        "accuracy.",
        flag="run",
    )
    precisions: tuple[str, ...] = field(
        ("float32", "int8"), f"Precisions, of {', '.join(PRECISIONS)}.", flag="quantize"
    )
    delegates: tuple[str, ...] = field(
        ("cpu",),
        f"Processors, of {', '.join(DELEGATES)}, such as cpu,gpu. The GPU runs through LiteRT's accelerator, in half "
        "precision where the adapter has it.",
        flag="delegate",
    )
    threads: tuple[int, ...] = field((1, 2), "Numbers of threads on the CPU, such as 1,2; one drives the GPU.")
    rounds: int = field(20, "Rounds; in each, every network takes a turn.", at_least=1, at_most=10_000)
    runs_per_round: int = field(10, "Measured inferences per turn.", at_least=1, at_most=100_000)
    warmup: int = field(2, "Unmeasured inferences before those of a turn.", at_least=0, at_most=100_000)
    seed: int = field(0, "Seed of the random pixels.", at_least=0)

    def flags(self) -> dict[str, object]:
        """Flag -> value, without those that are ignored."""
        ignored = NETWORK_FLAGS if self.runs else ("run",)
        values = {f.metadata.get("flag", f.name): getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if name not in ignored}

    def check(self) -> None:
        """ConfigError for anything that could not be timed. Does not import TensorFlow."""
        for name, values in self.flags().items():
            if values == ():
                raise ConfigError(f"{name} names nothing to time.")
            if isinstance(values, tuple) and (twice := [v for i, v in enumerate(values) if v in values[:i]]):
                raise ConfigError(f"{name} names {twice[0]} twice.")
        for precision in self.precisions:
            one_of("quantize", precision, PRECISIONS)
        for delegate in self.delegates:
            one_of("delegate", delegate, DELEGATES)
        for threads in self.threads:
            if not 1 <= threads <= 256:
                raise ConfigError(f"threads must be a whole number from 1 to 256; received {threads!r}.")
        for folder in self.runs:
            open_run(Path(folder))
        for model in self.models if not self.runs else ():
            one_of("model", model, [*list_models(), *BASELINES])
            for input_size in self.input_sizes:
                known = model if model in list_models() else "mobilenet_v2"
                check_model_arguments(known, width=self.width, input_size=input_size)
                identity_divisor(self.identity_tensor_multiplier)
                for precision in self.precisions if model in BASELINES else ():
                    check_baseline(model, precision, input_size)

    def command(self, **more) -> str:
        """The command line for these settings; `more` are further flags."""
        return command_line("benchmark", {**self.flags(), **more})


def new_folder(root: Path = ROOT) -> Path:
    """A folder for results, named after the time, that does not exist yet."""
    name = time.strftime("%Y%m%d-%H%M%S")
    candidates = (root / (name + (f"-{n}" if n else "")) for n in range(1000))
    return next(path for path in candidates if not path.exists())


def run_benchmark(
    out: Path,
    settings: Settings,
    *,
    models_dir: Path | None = None,
    cache_dir: Path | str = "data",
    force: bool = False,
    reuse: bool = False,
    progress: bool = True,
) -> Path:
    """Export what is missing, time it all in one interleaved run, and write `out`/benchmark.csv and .json.

    A run's verified file is timed as it is. Where a run has none, one is exported below `models_dir` without a limit
    on accuracy, which latency does not depend on, and its rows say so; the run's folder never changes.

    Args:
      models_dir: where exported files are kept, for later benchmarks, too; None: `out`/models.
      cache_dir: where the embedded data set is kept, which untrained int8 files are calibrated on.
      force: replace results in `out`, and export again what is in `models_dir`.
      reuse: keep results in `out` that were made from the same files, settings, host, and versions; replace others.

    Returns:
      `out`.

    Raises:
      ConfigError: see `Settings.check`; `out` already holds a benchmark; there is no GPU. Nothing is exported then.
      ExportError: a network cannot be exported, or not run on the GPU.
    """
    out = Path(out)
    settings.check()
    if (out / "benchmark.csv").exists() and not force and not reuse:
        raise ConfigError(
            f"{out} already holds a benchmark. Choose another --out, omit it to get a new folder, or replace the "
            "results with --force."
        )
    adapter = find_gpu() if "gpu" in settings.delegates else None
    models_dir = models_dir or out / "models"
    cases = make_cases(models_dir, settings, cache_dir=cache_dir, force=force)
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
    command = settings.command(models_dir=models_dir)
    write_results(Results(out, command, settings.to_dict(), made_of, host, rows))
    return out


def benchmark_files(files: Sequence[Path], *, threads: Sequence[int] = (1,), **options) -> list[dict]:
    """Time .tflite files on the CPU, each compared with the first; `options` are those of `timing.benchmark`.

    Returns rows with name, file, threads, init_ms, min_ms, median_ms, p95_ms, mean_ms, std_ms, ratio, ratio_p25,
    ratio_p75, and peak_memory_mb.

    Raises ConfigError for no file, or the same twice, ExportError for one that cannot be run.
    """
    stems = [file.stem for file in files]
    names = [stem if stems.count(stem) == 1 else str(file) for stem, file in zip(stems, files, strict=True)]
    cases = [Case(None, file, n, name=name) for n in threads for name, file in zip(names, files, strict=True)]
    return [
        {"name": r.case.name, "file": str(r.case.file), "threads": r.case.threads, **r.numbers}
        for r in benchmark(cases, **options)
    ]


def make_cases(models_dir: Path, settings: Settings, *, cache_dir: Path | str, force: bool) -> list[Case]:
    """The files to time, exported where missing. The first network named comes first in every group."""
    cases = []
    for name, network, export in _sources(models_dir, settings, cache_dir, force):
        for precision in settings.precisions:
            file, check = export(precision)
            what = dataclasses.replace(network, precision=precision)
            for delegate in settings.delegates:
                threads = settings.threads if delegate == "cpu" else (1,)
                cases += [Case(what, file, n, delegate, name, check) for n in threads]
    return cases


Export = Callable[[str], tuple[Path, str]]  # precision -> file, and how its accuracy was checked


def _sources(
    models_dir: Path, settings: Settings, cache_dir: Path | str, force: bool
) -> Iterator[tuple[str, Network, Export]]:
    """Name, network (its precision is open), and export of everything to time."""
    runs = [open_run(Path(folder)) for folder in settings.runs]
    for name, run in zip(distinct_names([run.folder for run in runs]), runs, strict=True):
        model = run.config.model
        network = Network(model.name, model.width, model.identity_tensor_multiplier, model.input_size, "")
        yield name, network, _export_of_run(run, models_dir, force)
    for input_size in settings.input_sizes if not runs else ():
        for name in settings.models:
            share = settings.identity_tensor_multiplier if has_identity_tensor_multiplier(name) else 1.0
            folder = models_dir / network_name(name, settings.width, share, input_size)
            network = Network(name, settings.width, share, input_size, "")
            yield "", network, _export_of_untrained(network, folder, cache_dir, force)


def _export_of_untrained(network: Network, folder: Path, cache_dir: Path | str, force: bool) -> Export:
    width, size = network.width, network.input_size
    if network.model in BASELINES:  # float32 alone: see `Settings.check`
        return lambda _: (export_keras_mobilenet_v2(folder, width=width, input_size=size, force=force), "untrained")
    model = ModelConfig(network.model, width=width, input_size=size, identity_tensor_multiplier=network.share)
    run = create_random_run(folder, model, cache_dir=cache_dir, force=force)
    return lambda precision: (export_tflite(run, precision, force=force), "untrained")


def _export_of_run(run: Run, models_dir: Path, force: bool) -> Export:
    def export(precision: str) -> tuple[Path, str]:
        stage = stage_name(precision)
        if is_current(run, stage):
            file = run.stage(stage) / run.manifest(stage).result["file"]
            return file, "passed" if run.trained else "untrained"
        copy = copy_for_timing(run, models_dir)
        file = export_tflite(copy, precision, tolerance=NO_ACCURACY_LIMIT, force=force)
        return file, "not checked" if run.trained else "untrained"

    return export


def copy_for_timing(run: Run, models_dir: Path) -> Run:
    """A run folder with the weights of `run` and what was made from them up to the frozen graph."""
    weights = require_weights(run)
    key = sha256_of({"config": run.config.to_dict(), "weights": sha256(weights)})[:8]
    folder = models_dir / f"{run.folder.resolve().name}-{key}"
    if not (folder / "config.json").is_file():
        with atomic_folder(folder) as temporary:
            kept = temporary / weights.parent.name
            kept.mkdir()
            for file in (weights, weights.with_name("manifest.json")):  # not the checkpoints
                shutil.copy2(file, kept)
            for stage in ("reference", "saved_model", "frozen"):
                if is_current(run, stage):
                    shutil.copytree(run.stage(stage), temporary / stage)
            write_json(temporary / "config.json", run.config.to_dict())
    return open_run(folder)


def _made_of(out: Path) -> str | None:
    try:
        return read_results(out).made_of
    except MnextError:  # there are none, or they are damaged: they are made again
        return None
