"""A new run, or an old one to go on with: checked before any data is opened."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import steps_per_epoch
from mnext_tf.errors import ConfigError
from mnext_tf.runs.run import Run, create_run, list_runs, open_run
from mnext_tf.training.recipe import Recipe, network_arguments, preprocess_of
from mnext_tf.training.transfer import describe_source, inherited

# How many validation images every export is compared on, at most.
VERIFY_IMAGES = {"trained": 1000, "imported": 1000, "random": 32}


def start_run(
    folder: Path | None,
    model: str,
    recipe: Recipe,
    dataset: Dataset,
    *,
    options: dict | None = None,
    source: Run | None = None,
    root="runs",
) -> Run:
    """Make the folder of a new run; None names it after network, data and time, below `root`.

    `source` is a run whose weights this one starts from; its network must be the same but for the head.
    """
    if folder is None:
        folder = Path(root) / f"{model}-{dataset.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    if (Path(folder) / "config.json").exists():
        raise ConfigError(
            f"{folder} holds a run already. Go on with it by --resume --run={folder}, or choose another --out."
        )
    steps_per_epoch(dataset, recipe.batch_size)  # refuses a batch larger than the data, before a run is made
    if not dataset.labelled:
        raise ConfigError(f"The images of {dataset.name} have no labels, so nothing can be learned from them.")
    config = make_config(model, recipe, dataset, options=options, init="trained")
    if source:
        _, _, arguments = inherited(source, {"model": model, **network_arguments(recipe)})
        config["model"] |= arguments
        config["init_from"] = describe_source(source)
    return create_run(folder, config)


def make_config(model: str, recipe: Recipe, dataset: Dataset, *, init: str, options: dict | None = None) -> dict:
    """What config.json holds: enough to build, train, export and preprocess without any flag."""
    return {
        "model": {
            "name": model,
            "num_classes": dataset.num_classes,
            **network_arguments(recipe),
            "options": options or {},
        },
        "init": init,
        "dataset": describe_dataset(dataset),
        "class_names": list(dataset.class_names),
        "preprocess": preprocess_of(recipe).to_dict(),
        "recipe": dataclasses.asdict(recipe),
        "seed": recipe.seed,
        "verify_images": VERIFY_IMAGES[init],
    }


def describe_dataset(dataset: Dataset) -> dict:
    """What config.json keeps of the data: where it is, and enough to notice that it has changed."""
    return {
        "name": dataset.name,
        "folder": str(Path(dataset.folder).absolute()),
        "cache_dir": dataset.cache_dir and str(Path(dataset.cache_dir).absolute()),
        "label_offset": dataset.label_offset,
        "fingerprint": dataset.fingerprint,
        "num_train": dataset.splits["train"],
        "num_validation": dataset.splits["validation"],
        "validation_share": dataset.validation_share,
    }


def resume_run(folder: Path | None, given: dict, *, root="runs") -> Run:
    """The run to go on with; None takes the newest below `root` that is not finished.

    Args:
      given: the flags that were given, by recipe field or "model", "convention", "num_classes",
        "label_offset"; each must be what the run has.
    """
    if folder is not None:
        run = open_run(folder)
    else:
        open_runs = [r for r in list_runs(root) if r.config["init"] == "trained" and not r.manifest("train")]
        if not open_runs:
            raise ConfigError(f"No unfinished run under {root}/; start one with python -m pipelines.train.")
        run = open_runs[-1]
    if run.imported:
        raise ConfigError(
            f"{run.folder} holds imported weights. Train on from them: python -m pipelines.train --init={run.folder}"
        )
    if not run.trained:
        raise ConfigError(f"{run.folder} is an untrained network made for latency; start a run with pipelines.train.")
    model, data = run.config["model"], run.config["dataset"]
    has = {**run.config["recipe"], "model": model["name"], "num_classes": model["num_classes"]}
    has |= {"label_offset": data["label_offset"], "convention": "pytorch", **model["options"]}
    for name, value in given.items():
        if value is not None and has.get(name) != value:
            raise ConfigError(
                f"--{name}={value} contradicts {run.folder}, which was started with {name}={has.get(name)}. "
                "Leave the flag out to resume, or start a new run."
            )
    return run
