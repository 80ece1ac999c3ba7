"""The flags that say how to train: one for each field of the recipe."""

from __future__ import annotations

import dataclasses

from absl import flags

from mnext_tf.training.recipe import HELP, RECIPES, Recipe, resolve_recipe
from pipelines import _cli

DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder with train/<class>/*.jpg and val/<class>/*.jpg, or with TFRecord shards. Without it: digits.",
)
CACHE_DIR = flags.DEFINE_string("cache_dir", "data", "Where prepared data is kept.")
LABEL_OFFSET = flags.DEFINE_integer(
    "label_offset", None, "Stored label of the first class, for TFRecord shards without dataset.json: 1 for TF-slim's."
)
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "Classes, for TFRecord shards without dataset.json.")
RECIPE = flags.DEFINE_enum(
    "recipe", None, RECIPES, "Defaults for the flags below. Without it: digits, or photos with --data_dir."
)
_DEFINE = {
    "int": flags.DEFINE_integer,
    "float": flags.DEFINE_float,
    "bool": flags.DEFINE_bool,
    "str": flags.DEFINE_string,
}
_FIELDS = {f.name: _DEFINE[f.type](f.name, None, HELP[f.name]) for f in dataclasses.fields(Recipe)}


def given() -> dict:
    """Recipe field -> value of its flag, None where it was not given."""
    return {name: flag.value for name, flag in _FIELDS.items()}


def open_data(data_dir: str | None):
    """The data set that the flags name."""
    from mnext_tf.data import open_dataset

    return open_dataset(
        data_dir, CACHE_DIR.value, label_offset=LABEL_OFFSET.value, num_classes=NUM_CLASSES.value, log=_cli.log
    )


def recipe() -> Recipe:
    """What the flags say. Raises ConfigError for a contradiction."""
    return resolve_recipe(RECIPE.value or ("photos" if DATA_DIR.value else "digits"), given())
