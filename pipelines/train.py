"""Train a network. With no flag: MobileNeXt on scikit-learn's handwritten digits.

python -m pipelines.train --model=mnext --data_dir=photos --epochs=60
python -m pipelines.train --data_dir=photos --init=runs/mobilenet_v2-imported
python -m pipelines.train --resume
"""

from __future__ import annotations

import shlex

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.models import list_models
from pipelines import _cli, _flags, _recipe

MODEL = flags.DEFINE_enum("model", None, list_models(), "Network. Without it: mnext.")
OUT = flags.DEFINE_string("out", None, "Run folder to create. Without it: a new one under --runs_root.")
RUNS_ROOT = _flags.runs_root()
RESUME = flags.DEFINE_bool("resume", False, "Resume the newest unfinished run, or --run.")
RUN = flags.DEFINE_string("run", None, "Run folder to resume.")
CONVENTION = flags.DEFINE_enum(
    "convention",
    None,
    ["pytorch", "tensorflow"],
    "Padding, batch norm and normalization of a MobileNetV2. Without it: pytorch.",
)
INIT = flags.DEFINE_string(
    "init", None, "Run to start from: its network and weights are taken, with a new head where the classes differ."
)
flags.adopt_module_key_flags(_recipe)


def main() -> None:
    options = {"convention": CONVENTION.value} if CONVENTION.value else {}
    if RUN.value and not RESUME.value:
        raise ConfigError("--run names a run to resume and needs --resume; --out names the folder of a new run.")
    if RESUME.value and INIT.value:
        raise ConfigError("--resume continues with the run's own weights; leave out --init.")
    if RESUME.value and OUT.value:
        raise ConfigError("--resume continues in the run's own folder; leave out --out.")
    if RESUME.value:
        from mnext_tf.training.start import resume_run

        if _recipe.RECIPE.value:
            raise ConfigError("--resume continues with the run's own recipe; leave out --recipe.")
        given = {**_recipe.given(), **options, "model": MODEL.value}
        if not _recipe.source_of_data():
            given |= {"num_classes": _recipe.NUM_CLASSES.value, "label_offset": _recipe.LABEL_OFFSET.value}
        run = resume_run(RUN.value, given, root=RUNS_ROOT.value)
    else:
        from mnext_tf.runs.run import open_run
        from mnext_tf.training.start import start_run

        source = open_run(INIT.value) if INIT.value else None
        plan = _recipe.plan(MODEL.value, options=options, source=source)

    if RESUME.value and not _recipe.source_of_data():
        from mnext_tf.data import reopen_dataset

        dataset = reopen_dataset(run.config.dataset, run.config.model.num_classes)
    else:
        dataset = _recipe.open_data()
    if not RESUME.value:
        run = start_run(
            OUT.value, plan.model, plan.recipe, dataset, options=plan.options, source=source, root=RUNS_ROOT.value
        )
    _cli.resume_with(f"python -m pipelines.train --resume --run={shlex.quote(str(run.folder))}")
    _cli.log(
        f"{run.config.model.name} on {dataset.name}: {dataset.splits['train']} training and "
        f"{dataset.splits['validation']} validation images, {dataset.num_classes} classes -> {run.folder}"
    )
    from mnext_tf.training.loop import train

    trained = train(run, dataset)
    print(f"validation accuracy {trained.val_accuracy:.2%} after {len(trained.history)} epochs: {run.weights}")
    print(f"next: python -m pipelines.export_tflite --quantize int8 --run={shlex.quote(str(run.folder))}")


if __name__ == "__main__":
    _cli.run(main)
