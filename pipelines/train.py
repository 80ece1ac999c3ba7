"""Train a network. With no flag: MobileNeXt on scikit-learn's handwritten digits.

python -m pipelines.train --model=mnext --data_dir=photos --epochs=60
python -m pipelines.train --data_dir=photos --init=runs/mobilenet_v2-imported
python -m pipelines.train --data_dir=photos --init=runs/mnext-photos --sparsity=0.8
python -m pipelines.train --resume
python -m pipelines.train --data_dir=photos --distribute=mirrored
python -m pipelines.train --recipe=mnext_s --dry_run --out=schedule
"""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError, WorkerLostError
from mnext_tf.models import list_models
from mnext_tf.tflite.zeros import NEEDED
from mnext_tf.training.settings import TrainSettings
from pipelines import _cli, _flags, _recipe

MODEL = flags.DEFINE_enum("model", None, list_models(), "Network. Without it: the recipe's, or mnext.")
OUT = flags.DEFINE_string(
    "out", None, "Run folder to create. Without it: a new one under --runs_root. With --dry_run: where to write."
)
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
TEACHER = flags.DEFINE_string("teacher", None, "Trained run with the same classes, of any network, to distill from.")
TASK = flags.DEFINE_enum(
    "task",
    None,
    ["classification", "detection"],
    "What to train for. Without it: that of --recipe, of --init, or of the data: detection where images have boxes.",
)
LIST_RECIPES = flags.DEFINE_bool("list_recipes", False, "List the recipes with their sources and results.")
DRY_RUN = flags.DEFINE_bool(
    "dry_run", False, "Print steps, images, memory and learning rates without reading data; --out writes them."
)
NUM_IMAGES = flags.DEFINE_integer("num_images", None, "Training images that --dry_run assumes. Without it: ImageNet's.")
PREVIEW = flags.DEFINE_string("preview", None, "Write a contact sheet of augmented images to this folder, and exit.")
_SETTINGS = {
    f: _flags.define(TrainSettings, f, default=getattr(TrainSettings, f)) for f in TrainSettings.__annotations__
}
flags.adopt_module_key_flags(_recipe)


def main() -> None:
    settings = TrainSettings(**_flags.given(_SETTINGS))
    if LIST_RECIPES.value:
        return _list_recipes()
    options = {"convention": CONVENTION.value} if CONVENTION.value else {}
    if RUN.value and not RESUME.value:
        raise ConfigError("--run names a run to resume and needs --resume; --out names the folder of a new run.")
    if RESUME.value and INIT.value:
        raise ConfigError("--resume continues with the run's own weights; leave out --init.")
    if RESUME.value and TEACHER.value:
        raise ConfigError("--resume continues with the run's own teacher; leave out --teacher.")
    if RESUME.value and (DRY_RUN.value or PREVIEW.value):
        raise ConfigError("--dry_run and --preview are for a run that has not begun; leave out --resume.")
    if RESUME.value and OUT.value:
        raise ConfigError("--resume continues in the run's own folder; leave out --out.")
    if RESUME.value and _recipe.RECIPE.value:
        raise ConfigError("--resume continues with the run's own recipe; leave out --recipe.")
    several = settings.distribute == "multi_worker"
    if several and not (DRY_RUN.value or PREVIEW.value) and _finished():
        settings, resume = dataclasses.replace(settings, distribute="none"), True
    else:
        resume = _join(settings) or RESUME.value
    if resume:
        from mnext_tf.training.start import resume_run

        given = {**_recipe.given(), **options, "model": MODEL.value, "task": TASK.value}
        if not _recipe.source_of_data():
            given |= {"num_classes": _recipe.NUM_CLASSES.value, "label_offset": _recipe.LABEL_OFFSET.value}
        run = resume_run(RUN.value or (OUT.value if several else None), given, root=RUNS_ROOT.value)
    else:
        from mnext_tf.runs.run import open_run
        from mnext_tf.training.start import start_run

        source = open_run(INIT.value) if INIT.value else None
        teacher = open_run(TEACHER.value) if TEACHER.value else None
        plan = _recipe.plan(MODEL.value, options=options, source=source, teacher=teacher, task=TASK.value)
        if DRY_RUN.value:
            return _dry_run(plan)

    if resume and not _recipe.source_of_data():
        from mnext_tf.data import reopen_dataset

        dataset = reopen_dataset(run.config.dataset, run.config.model.num_classes)
    else:
        dataset = _recipe.open_data(None if resume else "detection" if plan.recipe.detection else None)
    if not resume:
        plan = plan.for_data(dataset)
    if PREVIEW.value:
        return _preview(plan.recipe, dataset)
    if not resume:
        run = start_run(
            OUT.value,
            plan.model,
            plan.recipe,
            dataset,
            options=plan.options,
            source=source,
            teacher=teacher,
            root=RUNS_ROOT.value,
        )
    if not several:  # several workers each get the command that they were started with
        devices = "" if settings.distribute == "none" else f" --distribute={settings.distribute}"
        _cli.resume_with(f"python -m pipelines.train --resume --run={shlex.quote(str(run.folder))}{devices}")
    _cli.log(
        f"{run.config.model.name} on {dataset.name}: {dataset.splits['train']} training and "
        f"{dataset.splits['validation']} validation images, {dataset.num_classes} classes -> {run.folder}"
    )
    from mnext_tf.tasks import task_of
    from mnext_tf.training.loop import train
    from mnext_tf.training.strategy import make_devices

    devices = make_devices(settings.distribute)
    if devices.chief:
        devices.meet()  # the others wait for the folder
    trained = train(run, dataset, settings=settings)
    kept = "" if run.config.recipe.keep_last else f", best in epoch {trained.best_epoch}"
    average = " (averaged weights)" if trained.weights == "ema" else ""
    metric = f"{task_of(run.config).metric_title} {trained.metric:.2%}{average}"
    print(f"validation {metric} after {len(trained.history)} epochs{kept}")
    print(f"weights: {run.weights}")
    form = "--sparse" if run.config.recipe.sparsity > NEEDED else "--quantize int8"
    form += " --effort=good" * (run.config.task == "detection")  # int8 often costs a detector too much without it
    print(f"next: python -m pipelines.export_tflite {form} --run={shlex.quote(str(run.folder))}")


def _preview(recipe, dataset) -> None:
    from mnext_tf.data import preview

    augment = recipe.box_augment() if recipe.detection else recipe.augment()
    write = preview.preview_boxes if recipe.detection else preview.write_preview
    print(f"augmented images: {write(PREVIEW.value, dataset, recipe.preprocess(), augment, seed=recipe.seed)}")


def _join(settings: TrainSettings) -> bool:
    """Find the devices; True where this is one of several workers and their run has begun, so that all resume it.

    Worker 0 begins it, the others wait for that.
    """
    if DRY_RUN.value or PREVIEW.value or settings.distribute == "none":
        return False
    from mnext_tf.training.strategy import make_devices
    from mnext_tf.training.workers import wait_for

    several, folder = settings.distribute == "multi_worker", OUT.value or RUN.value
    if several and not folder:
        raise ConfigError(
            "--distribute=multi_worker needs the run folder, on a disk that all workers share: --out for a new run, "
            "--run with --resume."
        )
    devices = make_devices(settings.distribute)
    if not devices.chief:
        devices.meet()
        wait_for(Path(folder) / "config.json")
    return several and (Path(folder) / "config.json").exists()


def _finished() -> bool:
    """Whether nothing is left to do in the run of several workers: the others may be gone."""
    from mnext_tf.runs.run import open_run

    folder = Path(OUT.value or RUN.value or "")
    return (folder / "config.json").exists() and open_run(folder).finished


def _list_recipes() -> None:
    from mnext_tf.training.recipes import DESCRIPTIONS

    for name, text in DESCRIPTIONS.items():
        print(f"{name}\n    " + text.replace("\n", "\n    ").replace("\n    \n", "\n\n") + "\n")


def _dry_run(plan) -> None:
    from mnext_tf.training.dry_run import IMAGENET_IMAGES, dry_run, write_schedule
    from mnext_tf.training.start import SMALL_IMAGE

    num_images = IMAGENET_IMAGES[0] if NUM_IMAGES.value is None else NUM_IMAGES.value
    if plan.given is not None:
        print(f"This assumes recipe photos; for images of at most {SMALL_IMAGE} pixels, add --recipe=small_images.")
    model = plan.recipe.model(plan.model, options=plan.options)
    result = dry_run(plan.recipe, model, num_images=num_images)
    print(f"{plan.model} on {num_images:,} images\n{result.describe()}")
    for epoch, rate in enumerate(result.learning_rates, 1):
        print(f"epoch {epoch:3d}: learning rate {rate:.6g}")
    if OUT.value:
        for path in write_schedule(OUT.value, plan.recipe, result.steps_per_epoch):
            print(path)


def _again_without_a_worker() -> None:
    try:
        main()
    except WorkerLostError as e:
        from mnext_tf.training.workers import restart

        _cli.log(f"{e} Starting again, to resume when it is back.")
        restart()


if __name__ == "__main__":
    _cli.run(_again_without_a_worker)
