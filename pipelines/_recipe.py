"""The flags that say how to train: one for each field of the recipe."""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.training.detection_recipe import DetectionRecipe
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import recipe_names
from pipelines import _cli, _flags

DATA_DIR = flags.DEFINE_string(
    "data_dir",
    None,
    "Folder with train/<class>/*.jpg and val/<class>/*.jpg, <class>/*.jpg, list files, TFRecord shards, or images with "
    "boxes (VOC, COCO, KITTI). Without it: digits, or scenes with --task=detection.",
)
DATASET = flags.DEFINE_string(
    "dataset", None, "tfds:NAME, a data set of TensorFlow Datasets, or one that is embedded, instead of --data_dir."
)
VALIDATION_SHARE = flags.DEFINE_float(
    "validation_share", 0.1, "Share of the images held out for validation, for data without a validation split."
)
CACHE_DIR = _flags.cache_dir()
MAX_MEGAPIXELS = _flags.max_megapixels()
LABEL_OFFSET = flags.DEFINE_integer(
    "label_offset",
    None,
    "Label of the first class, 0 or 1 (TF-slim's), for TFRecord shards and list files that do not tell it.",
)
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "Classes, for TFRecord shards that do not tell them.")
RECIPE = flags.DEFINE_enum(
    "recipe",
    None,
    recipe_names(),
    "Defaults for the flags below. Without it: digits; with --data_dir or --dataset photos, or small_images where "
    "none of the first 100 images is longer than 64 pixels; finetune with --init; finetune_detector for boxes.",
)
_FIELDS = _flags.define_all(Recipe) | _flags.define_all(DetectionRecipe)


def given() -> dict:
    """Recipe field -> value of its flag, for those that were given."""
    return _flags.given(_FIELDS)


def source_of_data() -> Path | str | None:
    """What --data_dir or --dataset names, as `open_dataset` takes it; None for neither."""
    return _cli.data_source(DATA_DIR.value, DATASET.value)


def open_data(task: str | None = None):
    """The data set that the flags name; without any the embedded one of the task."""
    from mnext_tf.data import open_dataset

    source = source_of_data()
    return open_dataset(
        "scenes" if source is None and task == "detection" else source,
        CACHE_DIR.value,
        label_offset=LABEL_OFFSET.value,
        num_classes=NUM_CLASSES.value,
        validation_share=VALIDATION_SHARE.value,
        max_pixels=_flags.pixels(MAX_MEGAPIXELS),
    )


def plan(model: str | None, *, options: dict | None = None, source=None, teacher=None, task: str | None = None):
    """The network and the recipe that the flags name; see `plan_training`, whose ConfigError it raises."""
    from mnext_tf.data.opening import has_boxes
    from mnext_tf.training.start import plan_training

    given_data = source_of_data() is not None
    if task is None and not RECIPE.value and has_boxes(source_of_data()):
        task = "detection"
    runs = {"source": source, "teacher": teacher}
    return plan_training(model, RECIPE.value, given(), options=options or {}, has_data=given_data, task=task, **runs)
