"""The whole workflow for several networks: train, export, verify, benchmark, report. Run again, it resumes.

python -m pipelines.run --models=mnext,mobilenet_v2 --out=runs/demo
python -m pipelines.run --models=mnext,mobilenet_v2 --seeds=0,1,2 --data_dir=photos --out=runs/compare
python -m pipelines.run --models=mnext,mobilenet_v2 --recipe=finetune_detector --data_dir=VOC --out=runs/detectors
"""

from __future__ import annotations

import dataclasses

from absl import flags

from mnext_tf.errors import ConfigError, one_of
from mnext_tf.models import list_models
from mnext_tf.naming import PRECISIONS
from mnext_tf.records import check_field
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.training.recipe import Recipe
from pipelines import _cli, _flags, _recipe

MODELS = flags.DEFINE_list(
    "models",
    None,
    f"Networks, of {', '.join(list_models())}. Without it: those of --init, else mnext,mobilenet_v2.",
)
OUT = flags.DEFINE_string("out", "runs/demo", "Output folder; the report is in its folder report.")
SEEDS = flags.DEFINE_list(
    "seeds",
    None,
    "Seeds, such as 0,1,2: every network is trained with each, and the report says which is better. The first seed is "
    "exported. Without it: --seed alone.",
)
INIT = flags.DEFINE_list("init", None, "Runs to start from, one for each network: runs/a,runs/b.")
EXPORTS = flags.DEFINE_list("quantize", "float32,int8", f"TFLite files to export, of {', '.join(PRECISIONS)}.")
BENCHMARK_SIZE = flags.DEFINE_integer(
    "benchmark_input_size",
    None,
    "Input size of the networks in the benchmark. Without it: 224, or as they are trained for detectors. Networks of "
    "several widths, from --init, have their own.",
)
THREADS = flags.DEFINE_list("threads", "1,2", "Thread counts of the benchmark.")
MAX_DROP, MIN_AGREEMENT = _flags.tolerance()
FORCE = flags.DEFINE_bool("force", False, "Export and benchmark again even if nothing has changed.")
flags.adopt_module_key_flags(_recipe)


def main() -> None:
    tolerance = Tolerance(MAX_DROP.value, MIN_AGREEMENT.value)
    seeds = _seeds()
    sizes = () if BENCHMARK_SIZE.value is None else (BENCHMARK_SIZE.value,)
    for precision in EXPORTS.value:
        one_of("quantize", precision, PRECISIONS)
    sources = _sources()
    models = MODELS.value or list(sources) or ["mnext", "mobilenet_v2"]
    for model in models:
        one_of("model", model, list_models())
    if sources and sorted(sources) != sorted(models):
        raise ConfigError(
            f"--init has runs of {', '.join(sources)} and --models names {', '.join(models)}: give one run for each "
            "network, or leave out --models."
        )
    plans = [_recipe.plan(model, source=sources.get(model)) for model in models]

    from mnext_tf.benchmark.settings import Settings
    from mnext_tf.workflow import run_workflow

    # The report names MobileNetV2 first, as the published table does.
    timed = sorted(models, key=lambda name: name != "mobilenet_v2")
    benchmark = Settings(
        models=tuple(timed),
        widths=(plans[0].recipe.width,),
        identity_tensor_multiplier=plans[0].recipe.identity_tensor_multiplier,
        input_sizes=sizes or Settings.input_sizes,
        precisions=tuple(EXPORTS.value),
        threads=_cli.whole_numbers("threads", THREADS.value),
    )
    benchmark.check()
    dataset = _recipe.open_data("detection" if plans[0].recipe.detection else None)
    plans = [plan.for_data(dataset) for plan in plans]
    if recipe := next((plan.recipe for plan in plans if plan.recipe.detection), None):
        sizes = sizes or (recipe.input_size,)
        benchmark = dataclasses.replace(benchmark, task="detection", widths=(recipe.width,), input_sizes=sizes)
        benchmark.check()
    report = run_workflow(
        OUT.value,
        plans,
        dataset,
        benchmark,
        seeds=seeds,
        sources=sources,
        cache_dir=_recipe.CACHE_DIR.value,
        precisions=tuple(EXPORTS.value),
        tolerance=tolerance,
        force=FORCE.value,
    )
    print(report.read_text(encoding="utf-8").split("\n\n")[1])  # the summary
    print(f"\nreport: {report}")


def _seeds() -> tuple[int, ...]:
    seeds = _cli.whole_numbers("seeds", SEEDS.value or [])
    if seeds and "seed" in _recipe.given():
        raise ConfigError("--seed and --seeds both name seeds; give one of the two.")
    if len(set(seeds)) < len(seeds):
        raise ConfigError(f"--seeds names one twice: {','.join(SEEDS.value)}.")
    for seed in seeds:
        check_field(Recipe.__dataclass_fields__["seed"], int, seed)
    return seeds


def _sources() -> dict:
    """The runs of --init by network."""
    from mnext_tf.runs.run import open_run

    sources = {}
    for folder in INIT.value or []:
        run = open_run(folder)
        if other := sources.get(run.config.model.name):
            raise ConfigError(f"--init has two runs of {run.config.model.name}: {other.folder} and {folder}; give one.")
        sources[run.config.model.name] = run
    return sources


if __name__ == "__main__":
    _cli.run(main)
