"""Time networks side by side on this host through LiteRT, on CPU (XNNPACK) or GPU; write benchmark.csv and .json.

Exports what is missing. Untrained networks are as fast as trained ones, so no training is needed.

python -m pipelines.benchmark --models=mnext,mobilenet_v2 --quantize=int8
python -m pipelines.benchmark --run=runs/a,runs/b
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.benchmark.baselines import BASELINES
from mnext_tf.benchmark.results import format_table, read_results
from mnext_tf.benchmark.suite import DELEGATES, ROOT, Settings, new_folder, run_benchmark
from mnext_tf.errors import ConfigError
from mnext_tf.models import list_models
from mnext_tf.naming import PRECISIONS
from pipelines import _cli

_D = Settings()
_MODELS = flags.DEFINE_list(
    "models",
    list(_D.models),
    f"Networks, of {', '.join([*list_models(), *BASELINES])}. The others are compared with the first.",
)
_WIDTH = flags.DEFINE_float("width", _D.width, "Width multiplier of every network.")
_IDENTITY = flags.DEFINE_float(
    "identity_tensor_multiplier",
    _D.identity_tensor_multiplier,
    "Share 1/k of the channels that mnext's shortcuts carry.",
)
_INPUT_SIZE = flags.DEFINE_list("input_size", list(_D.input_sizes), "Input sizes in pixels, such as 192,224.")
_PRECISIONS = flags.DEFINE_list("quantize", list(_D.precisions), f"Precisions, of {', '.join(PRECISIONS)}.")
_DELEGATE = flags.DEFINE_list(
    "delegate",
    list(_D.delegates),
    f"Processors, of {', '.join(DELEGATES)}, such as cpu,gpu. The GPU runs through LiteRT's accelerator, in half "
    "precision where the adapter has it.",
)
_THREADS = flags.DEFINE_list("threads", list(_D.threads), "Numbers of threads on the CPU, such as 1,2.")
_ROUNDS = flags.DEFINE_integer("rounds", _D.rounds, "Rounds; in each, every network takes a turn.")
_RUNS_PER_ROUND = flags.DEFINE_integer("runs_per_round", _D.runs_per_round, "Measured inferences per turn.")
_OUT = flags.DEFINE_string(
    "out", None, f"Folder for the results; it may not hold others. Without it: a new one in {ROOT}, named by the time."
)
_MODELS_DIR = flags.DEFINE_string(
    "models_dir",
    None,
    f"Folder for exported files, which later benchmarks use again. Without it: {ROOT}/models, or models in --out.",
)
_RUN = flags.DEFINE_list(
    "run",
    [],
    "Run folders to time instead of untrained networks; they determine --models, --width, and --input_size. A run's "
    "own verified file is timed; where it has none, one is exported to --models_dir without a check of its accuracy.",
)
_FORCE = flags.DEFINE_bool("force", False, "Replace the results in --out, and export again what is in --models_dir.")


def main() -> None:
    if _RUN.value:
        clash = [f for f in ("models", "width", "identity_tensor_multiplier", "input_size") if flags.FLAGS[f].present]
        if clash:
            raise ConfigError(f"--run and --{clash[0]} contradict each other: a run determines its network.")
    settings = Settings(
        models=tuple(_MODELS.value),
        width=_WIDTH.value,
        identity_tensor_multiplier=_IDENTITY.value,
        input_sizes=_cli.whole_numbers("input_size", _INPUT_SIZE.value),
        precisions=tuple(_PRECISIONS.value),
        delegates=tuple(_DELEGATE.value),
        threads=_cli.whole_numbers("threads", _THREADS.value),
        rounds=_ROUNDS.value,
        runs_per_round=_RUNS_PER_ROUND.value,
        runs=tuple(_RUN.value),
    )
    out = Path(_OUT.value) if _OUT.value else new_folder()
    models_dir = Path(_MODELS_DIR.value) if _MODELS_DIR.value else (out if _OUT.value else ROOT) / "models"
    run_benchmark(out, settings, models_dir=models_dir, force=_FORCE.value)
    print(format_table(read_results(out).rows))
    print(f"\n{out / 'benchmark.csv'}")


if __name__ == "__main__":
    _cli.run(main)
