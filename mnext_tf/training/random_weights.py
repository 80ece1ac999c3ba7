"""Networks with random weights, to measure latency without training."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from mnext_tf.data.opening import open_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.models import save_weights
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.run import Run, create_run, open_run
from mnext_tf.runs.stages import run_stage
from mnext_tf.training.recipes import RECIPES
from mnext_tf.training.start import make_config


def create_random_run(folder: Path, model: ModelConfig, *, cache_dir: str = "data", force: bool = False) -> Run:
    """A run folder with an untrained network, which every export takes; kept if it is there already.

    Its logits are meaningless: the class names are numbers, and int8 has a loose tolerance only.
    Raises ConfigError where `folder` holds another network.
    """
    embedded = "scenes" if model.priors else "digits"
    recipe = dataclasses.replace(RECIPES[embedded], input_size=model.input_size)
    names = [f"class {i}" for i in range(model.num_classes)]
    config = make_config(model, recipe, open_dataset(embedded, cache_dir), init="random", class_names=names)
    if (Path(folder) / "config.json").exists():
        run = open_run(folder)
        if (run.config.model, run.config.init) != (model, "random"):
            raise ConfigError(
                f"{folder} holds another network ({run.config.model}). Choose another folder or delete it."
            )
    else:
        run = create_run(folder, config)

    def build(stage: Path) -> dict:
        import tensorflow as tf

        tf.keras.utils.set_random_seed(recipe.seed)
        save_weights(run.config.model.create(), stage / "model.weights.h5")
        return {}

    run_stage(run, "init", inputs={}, settings=run.config.model.to_dict(), build=build, force=force)
    return run
