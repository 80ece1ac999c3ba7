"""A new run, or an earlier one to resume."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnext_tf.boxes import BESIDE_CLASSES, DetectionSettings
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import steps_per_epoch, stored_examples
from mnext_tf.data.preprocess import encoded_size
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.priors import make_priors
from mnext_tf.runs.config import DatasetConfig, RunConfig
from mnext_tf.runs.run import Run, create_run, list_runs, open_run
from mnext_tf.training.detection_recipe import DetectionRecipe
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import MODELS, RECIPES, canonical_name, resolve_recipe
from mnext_tf.training.teacher import check_teachable, check_teacher
from mnext_tf.training.transfer import describe_source, inherited

_log = logging.getLogger(__name__)

DETECTOR = "finetune_detector"  # the recipe for images with boxes, unless another is named
SMALL_IMAGE = 64  # pixels; data whose images have no longer side are trained by the recipe small_images
# How many validation images every export is compared on, at most.
VERIFY_IMAGES = {"trained": 1000, "imported": 1000, "random": 32}
_DETECTIONS_VERIFIED, _FEWEST = 200, 32
_BYTES_VERIFIED = 256 << 20  # of outputs, that are kept: those of an image of 80 classes have 1.1 MB


class Plan(NamedTuple):
    """What a new run trains: a network, by which recipe.

    given: fields that replace those of a recipe that is chosen by the data; None where a recipe was named, or is clear.
    for_boxes: the plan for data of the other task, where no recipe was named.
    """

    model: str
    recipe: Recipe
    options: dict
    given: dict | None = None
    for_boxes: Callable[[], Plan] | None = None

    def for_data(self, dataset: Dataset) -> Plan:
        """The plan now that the data are open, where no recipe was named.

        For images with boxes a detector's, finetune_detector; for small images small_images, whose input size is their
        own, from 32 pixels on. Raises ConfigError where what was given does not fit the data.
        """
        if dataset.task == "detection" and not self.recipe.detection and self.for_boxes:
            _log.info(f"{dataset.name}: images with boxes, so the recipe is {DETECTOR}. --recipe names another.")
            return self.for_boxes()
        if (dataset.task == "detection") != bool(self.recipe.detection):
            trains, fix = "a classifier", f"Take a recipe of a detector, such as --recipe={DETECTOR}, or other images."
            if self.recipe.detection:
                trains = "a detector, which needs images with boxes"
                fix = "Give such images (docs/data.md says how), or train a classifier with --task=classification."
            raise ConfigError(f"The recipe trains {trains}; {dataset.name} is a data set for {dataset.task}. {fix}")
        side = 0 if self.given is None else _longest_side(dataset)
        if not 0 < side <= SMALL_IMAGE:
            return self
        recipe = resolve_recipe("small_images", {"input_size": max(32, side), **self.given})
        recipe.model(self.model, options=self.options)
        _log.info(f"{dataset.name}: images of {side} pixels, so the recipe is small_images. --recipe names another.")
        return Plan(self.model, recipe, self.options)


def plan_training(
    model: str | None,
    recipe: str | None,
    given: dict,
    *,
    options: dict,
    has_data: bool,
    source: Run | None = None,
    task: str | None = None,
    teacher: Run | None = None,
) -> Plan:
    """What to train, from what was asked for; nothing is opened yet.

    Args:
      model: None takes that of `source`, else that of a published recipe, else mnext.
      recipe: the name of one; None takes finetune with a source, digits without data, else photos, until
        `Plan.for_data` has seen the images; for detection finetune_detector, or scenes without data.
      given: recipe fields that replace the recipe's. options: further arguments of the network.
      source: a run to start from: its network and preprocessing are taken; for a detector that of a classifier, too.
      task: "classification" or "detection"; None: that of the recipe, else of the source, else of the data.
      teacher: a run to distill from.

    Raises ConfigError where these contradict each other.
    """
    asked = given = {name: value for name, value in given.items() if value is not None}
    if recipe is None and asked.keys() & DetectionRecipe.__dataclass_fields__.keys():
        task = task or "detection"
    boxes = functools.partial(plan_training, model, None, asked, options=options, has_data=has_data, source=source)
    detector = task == "detection" or (
        task is None and (RECIPES[canonical_name(recipe)].detection is not None if recipe else _is_detector(source))
    )
    if teacher:
        check_teachable(teacher, detector=detector)
    if source:
        model, fields, _ = inherited(source, {**given, **options, "model": model}, detector=detector)
        if recipe:  # which says by itself how a detector is trained and decoded
            fields = {k: v for k, v in fields.items() if k not in DetectionSettings.__dataclass_fields__}
        given, options = fields | given, source.config.model.options
        if given.get("qat") and source.config.recipe:  # goes on with the images that the network was trained on
            theirs = vars(source.config.recipe)
            given = {name: theirs[name] for name in vars(source.config.recipe.augment()) if name in theirs} | given
    usual = ("finetune", "photos", "digits") if not detector else (DETECTOR, DETECTOR, "scenes")
    qat = given.get("qat") and not detector  # whose recipe says that it has none
    name = canonical_name(recipe or ("qat" if qat else usual[0 if source else 1 if has_data else 2]))
    if task and (RECIPES[name].detection is not None) != detector:
        raise ConfigError(f"--task={task} contradicts --recipe={name}, which is for the other task. Leave one out.")
    open_until_seen = given if has_data and not (recipe or source or task) else None
    on_boxes = (
        functools.partial(boxes, task="detection", teacher=teacher) if has_data and not (recipe or task) else None
    )
    plan = Plan(model or MODELS.get(name, "mnext"), resolve_recipe(name, given), options, open_until_seen, on_boxes)
    plan.recipe.model(plan.model, options=plan.options)
    if plan.recipe.freeze and not source:
        raise ConfigError(f"--freeze={plan.recipe.freeze} would keep random weights. Start from a run with --init=RUN.")
    return plan


def _is_detector(source: Run | None) -> bool:
    return source is not None and source.config.task == "detection"


def _longest_side(dataset: Dataset, looked_at: int = 100) -> int:
    """The longest side of the first training images, in pixels; 0 where their headers do not tell it."""
    first = itertools.islice(stored_examples(dataset, "train"), looked_at)
    return max((max(encoded_size(encoded)) for _, encoded, _ in first), default=0)


def start_run(
    folder: Path | None,
    model: str,
    recipe: Recipe,
    dataset: Dataset,
    *,
    options: dict | None = None,
    source: Run | None = None,
    teacher: Run | None = None,
    root="runs",
) -> Run:
    """Make the folder of a new run; None names it after network, data and time, below `root`.

    `source` is a run whose weights this one starts from; its network must be the same but for the head. `teacher` is a
    run of the same classes, of any network, whose outputs this one learns as well.

    Raises ConfigError where the folder holds a run, or data and recipe do not fit.
    """
    if folder is None:
        folder = Path(root) / f"{model}-{dataset.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if (Path(folder) / "config.json").exists():
        raise ConfigError(
            f"{folder} already holds a run. Resume it with --resume --run={folder}, or choose another --out."
        )
    steps_per_epoch(dataset, recipe.batch_size)  # refuses a batch larger than the data, before a run is made
    if not dataset.labelled:
        raise ConfigError(f"The images of {dataset.name} have no labels, which training needs.")
    if recipe.monitor == "val_top5_accuracy" and dataset.num_classes <= 5:
        raise ConfigError(
            f"--monitor=val_top5_accuracy needs more than 5 classes; {dataset.name} has {dataset.num_classes}. Use "
            "val_accuracy."
        )
    if recipe.monitor == "val_map50" and not any(dataset.box_counts["validation"]):
        raise DataError(
            f"No validation image of {dataset.name} has a box, so the best epoch cannot be told. Add some, or hold out "
            "more images: --validation_share=0.2."
        )
    if recipe.qat and (not source or source.config.class_names != tuple(dataset.class_names)):
        raise ConfigError(
            "--qat needs --init=RUN, a trained run of the same classes as the data. Without one, train it first by the "
            "same command without --qat."
        )
    config = make_config(recipe.model(model, dataset.num_classes, options), recipe, dataset, init="trained")
    if source:
        about = {"model": model, "width": recipe.width}
        _, _, arguments = inherited(source, about, detector=recipe.detection is not None)
        config = dataclasses.replace(
            config, model=dataclasses.replace(config.model, **arguments), init_from=describe_source(source)
        )
    if teacher:
        check_teachable(teacher, detector=recipe.detection is not None)
        check_teacher(teacher, config.class_names)
        config = dataclasses.replace(config, teacher=describe_source(teacher))
    return create_run(folder, config)


def make_config(
    model: ModelConfig, recipe: Recipe, dataset: Dataset, *, init: str, class_names: Sequence[str] | None = None
) -> RunConfig:
    """What config.json holds; `class_names` default to those of the data."""
    detection = recipe.detection and recipe.detection.settings()
    return RunConfig(
        task="detection" if detection else "classification",
        detection=detection,
        model=model,
        init=init,
        dataset=DatasetConfig.of(dataset),
        class_names=tuple(class_names or dataset.class_names),
        preprocess=recipe.preprocess(),
        recipe=recipe,
        seed=recipe.seed,
        verify_images=images_to_verify(init, model),
    )


def images_to_verify(init: str, model: ModelConfig) -> int:
    """How many validation images every export is compared on, at most: fewer of a detector, whose outputs are large."""
    if not model.priors:
        return VERIFY_IMAGES[init]
    columns = model.num_classes + BESIDE_CLASSES
    fit = _BYTES_VERIFIED // (4 * columns * len(make_priors(model.priors, model.input_size)))
    return min(VERIFY_IMAGES[init], _DETECTIONS_VERIFIED, max(_FEWEST, fit))


def resume_run(folder: Path | None, given: dict, *, root="runs") -> Run:
    """The run to resume; None takes the newest below `root` that is not finished.

    Args:
      given: the flags that were given, by recipe field or "model", "task", "convention", "num_classes",
        "label_offset"; each must be what the run has.
    """
    if folder is not None:
        run = open_run(folder)
    else:
        open_runs = [r for r in list_runs(root) if r.config.init == "trained" and not r.finished]
        if not open_runs:
            raise ConfigError(f"No unfinished run under {root}/. Start one with `python -m pipelines.train`.")
        run = open_runs[-1]
    if run.imported:
        raise ConfigError(
            f"{run.folder} holds imported weights. Fine-tune them with `python -m pipelines.train --init={run.folder}`."
        )
    if not run.trained:
        raise ConfigError(f"{run.folder} is an untrained network. Start a run with `python -m pipelines.train`.")
    model, data = run.config.model, run.config.dataset
    has = {**run.config.recipe.to_dict(), "model": model.name, "num_classes": model.num_classes}
    has |= run.config.recipe.detection.to_dict() if run.config.recipe.detection else {}
    has |= {"label_offset": data.label_offset, "task": run.config.task, "convention": "pytorch", **model.options}
    for name, value in given.items():
        if value is not None and has.get(name) != value:
            had = f"was started with {name}={has[name]}" if name in has else f"is for {run.config.task}"
            raise ConfigError(
                f"--{name}={value} contradicts {run.folder}, which {had}. "
                "Leave the flag out to resume, or start a new run."
            )
    return run
