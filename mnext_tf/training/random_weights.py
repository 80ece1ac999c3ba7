"""Networks with random weights: latency needs no training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mnext_tf.data.opening import open_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.models import check_model_arguments, create_model_from, save_weights
from mnext_tf.runs.run import Run, create_run, open_run
from mnext_tf.runs.stages import run_stage
from mnext_tf.training.recipe import RECIPES
from mnext_tf.training.start import make_config

DEFAULTS = {"width": 1.0, "num_classes": 1000, "input_size": 224, "identity_tensor_multiplier": 1.0, "dropout": 0.2}


def create_random_run(
    folder: Path,
    model: dict,
    *,
    cache_dir: str = "data",
    force: bool = False,
) -> Run:
    """A run folder that every export takes, holding an untrained network; kept if it is there already.

    Its logits mean nothing: the class names are numbers, and int8 is held to a loose bar only.

    Args:
      model: arguments of `create_model`; `name` is required, the rest defaults to width 1, 1000
        classes and 224 pixels. Options such as `convention` stand in a dict under `options`.

    Raises ConfigError where `folder` holds another network.
    """
    model = {**DEFAULTS, "options": {}, **model}
    arguments = {k: v for k, v in model.items() if k not in ("name", "options")}
    check_model_arguments(model["name"], **arguments, **model["options"])
    recipe = dataclasses.replace(
        RECIPES["digits"],
        **{k: v for k, v in arguments.items() if k in {f.name for f in dataclasses.fields(RECIPES["digits"])}},
    )
    dataset = open_dataset(None, cache_dir)
    config = make_config(model["name"], recipe, dataset, init="random", options=model["options"])
    config["model"]["num_classes"] = model["num_classes"]
    config["class_names"] = [f"class {i}" for i in range(model["num_classes"])]

    if (Path(folder) / "config.json").exists():
        run = open_run(folder)
        for key in ("model", "init"):
            if run.config[key] != config[key]:
                raise ConfigError(
                    f"{folder} holds another network ({run.config[key]}). Choose another folder or delete it."
                )
    else:
        run = create_run(folder, config)

    def build(stage: Path) -> dict:
        import tensorflow as tf

        tf.keras.utils.set_random_seed(recipe.seed)
        save_weights(create_model_from(run.config["model"]), stage / "model.weights.h5")
        return {}

    run_stage(run, "init", inputs={}, settings=run.config["model"], build=build, force=force)
    return run
