"""A benchmark from names to files: export what is missing, time it, write the results."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.cases import file_cases, make_cases
from mnext_tf.benchmark.gpu import benchmark_isolated, check_on_gpu, find_gpu
from mnext_tf.benchmark.results import Results, describe_host, make_rows, read_results, write_results
from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.timing import benchmark
from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.files import sha256, sha256_of
from mnext_tf.provenance import versions
from mnext_tf.tflite.operators import delegation

_log = logging.getLogger(__name__)

ROOT = Path("runs/benchmark")


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
    on accuracy, which latency does not depend on, and its rows say so; the run's folder never changes. Other .tflite
    files are timed as they are.

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
    cases = file_cases(files, [("cpu", n) for n in threads])
    return [
        {"name": r.case.name, "file": str(r.case.file), "threads": r.case.threads, **r.numbers}
        for r in benchmark(cases, **options)
    ]


def _made_of(out: Path) -> str | None:
    try:
        return read_results(out).made_of
    except MnextError:  # there are none, or they are damaged: they are made again
        return None
