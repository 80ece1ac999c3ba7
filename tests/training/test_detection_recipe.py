"""Settings of detectors in recipes: where they are taken, and that classifiers keep theirs."""

import dataclasses
import json

import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.training.detection_recipe import UNUSED, DetectionRecipe
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import RECIPES, resolve_recipe

DETECTORS = [name for name, recipe in RECIPES.items() if recipe.detection]


def test_which_recipes_are_of_detectors():
    assert DETECTORS == ["ssdlite_voc", "ssdlite_coco", "finetune_detector", "scenes"]


def test_published_settings():
    voc, coco = (RECIPES[name].detection for name in ("ssdlite_voc", "ssdlite_coco"))
    assert (voc.priors, voc.scoring, voc.score_threshold, voc.iou_threshold) == ("voc", "softmax", 0.01, 0.45)
    assert (coco.priors, coco.scoring, coco.score_threshold, coco.iou_threshold) == ("coco", "sigmoid", 0.05, 0.5)
    assert voc.max_detections == coco.max_detections == 100


def test_fields_of_the_detector_are_given_like_others():
    recipe = resolve_recipe("ssdlite_voc", {"expand": 0.1, "scoring": "sigmoid", "flip": False, "epochs": 4})
    assert (recipe.detection.expand, recipe.detection.scoring) == (0.1, "sigmoid")
    assert recipe.detection == dataclasses.replace(RECIPES["ssdlite_voc"].detection, expand=0.1, scoring="sigmoid")
    augment = recipe.box_augment()
    assert (augment.expand, augment.flip, augment.crop_side_min) == (0.1, False, 0.3)


def test_a_classifier_refuses_them():
    with pytest.raises(ConfigError, match=r"expand is for detectors.*recipe photos.*--recipe=finetune_detector"):
        resolve_recipe("photos", {"expand": 0.1})
    with pytest.raises(ConfigError, match="Did you mean 'expand'"):
        resolve_recipe("photos", {"expnd": 0.1})
    with pytest.raises(ConfigError, match="val_map50 is for detectors"):
        resolve_recipe("photos", {"monitor": "val_map50"})


@pytest.mark.parametrize(
    ("field", "value"), [("mixup", 0.2), ("crop_scale_min", 0.5), ("color_jitter", 0.4), ("label_smoothing", 0.1)]
)
def test_a_detector_refuses_what_is_for_classifiers(field, value):
    with pytest.raises(ConfigError, match=rf"{field}={value} is for classifiers.*Leave it at [01]"):
        resolve_recipe("finetune_detector", {field: value})


def test_what_is_unused_are_fields_and_the_metric_is_the_detectors():
    assert UNUSED.keys() <= {f.name for f in dataclasses.fields(Recipe)}
    assert not {f.name for f in dataclasses.fields(DetectionRecipe)} & {f.name for f in dataclasses.fields(Recipe)}
    with pytest.raises(ConfigError, match="val_map50, val_loss; received 'val_accuracy'"):
        resolve_recipe("ssdlite_voc", {"monitor": "val_accuracy"})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_is_read_as_it_was_written(name):
    text = json.dumps(RECIPES[name].to_dict())
    assert Recipe.from_dict(json.loads(text)) == RECIPES[name]


def test_a_recipe_that_was_written_before_there_were_detectors():
    written = RECIPES["mobilenet_v2"].to_dict()
    assert written.pop("detection") is None
    assert written.pop("decay_begin") == 0
    assert Recipe.from_dict(written) == RECIPES["mobilenet_v2"]


def test_the_command_takes_and_refuses_the_flags(python):
    command = ("-m", "pipelines.train", "--dry_run", "--num_images=16551")
    done = python(*command, "--recipe=ssdlite_voc", "--expand=0.2", "--epochs=6")
    assert done.returncode == 0, done.stderr
    assert "steps per epoch 689" in done.stdout
    assert "times 0.1 every 58 epochs from epoch 174 on" in done.stdout
    refused = python(*command, "--recipe=photos", "--expand=0.2")
    assert refused.returncode
    assert "expand is for detectors" in refused.stderr
