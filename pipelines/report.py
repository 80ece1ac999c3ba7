"""Write a page with plots on runs, benchmarks, phones, and browsers: accuracy, latency, size, how to repeat each."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.device.session import SESSIONS, check_session, find_sessions
from mnext_tf.errors import DataError
from mnext_tf.naming import command_line
from mnext_tf.runs.run import list_runs, open_run
from pipelines import _cli

_RUN = flags.DEFINE_list("run", [], "Run folders; without it, every run under --runs_root.")
_RUNS_ROOT = flags.DEFINE_string("runs_root", "runs", "Folder to search for runs and benchmarks.")
_BENCHMARK = flags.DEFINE_list(
    "benchmark", [], "Benchmark folders; without it, every folder under --runs_root with a benchmark.csv."
)
_DEVICE = flags.DEFINE_list(
    "device",
    [],
    f"Sessions of benchmarks/run_adb.sh and of pipelines.serve; without it, every one in {SESSIONS}.",
)
_OUT = flags.DEFINE_string("out", "runs/report", "Folder for report.md and its plots.")


def main() -> None:
    root = Path(_RUNS_ROOT.value)
    sessions = [Path(folder) for folder in _DEVICE.value] or find_sessions(Path(SESSIONS))
    for folder in sessions:
        check_session(folder)
    if not root.is_dir() and not sessions and not (_RUN.value or _BENCHMARK.value):
        raise DataError(
            f"{root} does not exist. `python -m pipelines.train` makes a run, `python -m pipelines.benchmark` a "
            "benchmark, benchmarks/run_adb.sh one on a phone; --runs_root names another folder to search."
        )
    runs = [open_run(Path(folder)) for folder in _RUN.value] or list_runs(root)
    benchmarks = [Path(folder) for folder in _BENCHMARK.value]
    for folder in benchmarks:
        if not folder.is_dir():
            raise DataError(f"{folder} does not exist. `{command_line('benchmark', {'out': folder})}` makes it.")
    benchmarks = benchmarks or sorted(path.parent for path in root.rglob("benchmark.csv"))

    from mnext_tf.report.report import write_report  # imports matplotlib

    page = write_report(Path(_OUT.value), runs, benchmarks, sessions)
    print(page.read_text(encoding="utf-8").split("\n\n")[1])  # the summary
    print(f"\n{page}")


if __name__ == "__main__":
    _cli.run(main)
