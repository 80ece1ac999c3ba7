"""The whole workflow for several networks: train, export, verify, benchmark, report. Run again, it resumes.

python -m pipelines.run --models=mnext,mobilenet_v2 --out=runs/demo
"""

from __future__ import annotations

from absl import flags

from mnext_tf.errors import one_of
from mnext_tf.models import list_models
from mnext_tf.naming import PRECISIONS
from mnext_tf.tasks.tolerance import Tolerance
from pipelines import _cli, _flags, _recipe

MODELS = flags.DEFINE_list("models", "mnext,mobilenet_v2", f"Networks, of {', '.join(list_models())}.")
OUT = flags.DEFINE_string("out", "runs/demo", "Output folder; the report is in its folder report.")
EXPORTS = flags.DEFINE_list("quantize", "float32,int8", f"TFLite files to export, of {', '.join(PRECISIONS)}.")
BENCHMARK_SIZE = flags.DEFINE_integer("benchmark_input_size", 224, "Input size of the networks in the benchmark.")
THREADS = flags.DEFINE_list("threads", "1,2", "Thread counts of the benchmark.")
MAX_DROP, MIN_AGREEMENT = _flags.tolerance()
FORCE = flags.DEFINE_bool("force", False, "Export and benchmark again even if nothing has changed.")
flags.adopt_module_key_flags(_recipe)


def main() -> None:
    tolerance = Tolerance(MAX_DROP.value, MIN_AGREEMENT.value)
    plan = _recipe.plan(None)
    for model in MODELS.value:
        one_of("model", model, list_models())
        plan.recipe.model(model)
    for precision in EXPORTS.value:
        one_of("quantize", precision, PRECISIONS)

    from mnext_tf.benchmark.suite import Settings
    from mnext_tf.workflow import run_workflow

    # The report names MobileNetV2 first, as the published table does.
    timed = sorted(MODELS.value, key=lambda name: name != "mobilenet_v2")
    benchmark = Settings(
        models=tuple(timed),
        width=plan.recipe.width,
        identity_tensor_multiplier=plan.recipe.identity_tensor_multiplier,
        input_sizes=(BENCHMARK_SIZE.value,),
        precisions=tuple(EXPORTS.value),
        threads=_cli.whole_numbers("threads", THREADS.value),
    )
    benchmark.check()
    dataset = _recipe.open_data()
    report = run_workflow(
        OUT.value,
        MODELS.value,
        dataset,
        plan.for_data(dataset).recipe,
        benchmark,
        cache_dir=_recipe.CACHE_DIR.value,
        precisions=tuple(EXPORTS.value),
        tolerance=tolerance,
        force=FORCE.value,
    )
    print(report.read_text(encoding="utf-8").split("\n\n")[1])  # the summary
    print(f"\nreport: {report}")


if __name__ == "__main__":
    _cli.run(main)
