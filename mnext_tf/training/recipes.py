"""Recipes by name: published ones, with their source and result, and ones for small data.

Where a source leaves open how many processes it ran, the batch size here assumes a number and says so.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable

from mnext_tf.errors import one_of
from mnext_tf.training.detection_recipe import DetectionRecipe, with_detection
from mnext_tf.training.detection_recipes import DETECTION_RECIPES
from mnext_tf.training.recipe import Recipe, derived_fields

RECIPES: dict[str, Recipe] = {}
DESCRIPTIONS: dict[str, str] = {}
MODELS: dict[str, str] = {}  # of recipes that belong to one network
_OTHER_NAMES = {"imagenet": "mnext"}  # names of earlier releases


def _recipe(name: str, model: str | None = None) -> Callable:
    def add(make: Callable[[], Recipe]) -> Callable[[], Recipe]:
        RECIPES[name], DESCRIPTIONS[name] = make(), inspect.cleandoc(make.__doc__)
        if model:
            MODELS[name] = model
        return make

    return add


@_recipe("mnext", "mnext")
def mnext() -> Recipe:
    """MobileNeXt 1.0 on ImageNet: 74.02 % top-1.

    Source: args.yaml beside the authors' checkpoint, 64 images a process; four processes are assumed.

    python -m pipelines.train --recipe=mnext --data_dir=IMAGENET
    """
    return Recipe()


@_recipe("mnext_paddle", "mnext")
def mnext_paddle() -> Recipe:
    """MobileNeXt 1.0 on ImageNet as PaddleClas reproduced it: 74.024 % top-1.

    Source: PaddleClas. As `mnext`, with a batch of 512 at the same rate, which is not scaled.

    python -m pipelines.train --recipe=mnext_paddle --data_dir=IMAGENET
    """
    return Recipe(batch_size=512, reference_batch_size=512)


def _large(**changes) -> Recipe:
    """RMSprop with a step schedule and an average of the weights, after EfficientNet."""
    fields = {
        "dropout": 0.0,
        "schedule": "step",
        "epochs": 510,
        "learning_rate": 0.12,
        "warmup_learning_rate": 1e-6,
        "optimizer": "rmsprop_tf",
        "nesterov": False,
        "weight_decay": 1e-5,
        "ema_decay": 0.9999,
    }
    return Recipe(**fields | changes)


@_recipe("mnext_s", "mnext_s")
def mnext_s() -> Recipe:
    """MobileNeXt S on ImageNet: 76.05 % top-1.

    Source: args.yaml beside the authors' checkpoint, 128 images a process; eight processes are assumed.

    python -m pipelines.train --recipe=mnext_s --data_dir=IMAGENET
    """
    return _large(batch_size=1024, reference_batch_size=1024)


@_recipe("mnext_l", "mnext_l")
def mnext_l() -> Recipe:
    """MobileNeXt L on ImageNet: 76.6 % top-1.

    Source: args.yaml beside the authors' checkpoint, 64 images a process; eight processes are assumed.

    python -m pipelines.train --recipe=mnext_l --data_dir=IMAGENET
    """
    return _large(batch_size=512, reference_batch_size=512)


@_recipe("mnext_l_5.68m", "mnext_l")
def mnext_l_568m() -> Recipe:
    """A wider MobileNeXt L on ImageNet: 76.79 % top-1.

    Source: args.yaml beside the authors' checkpoint of 5.68 M parameters, 64 images a process; eight processes are
    assumed. How that network is widened is not published: width 1.2 comes nearest, with 5.75 M.

    python -m pipelines.train --recipe=mnext_l_5.68m --data_dir=IMAGENET
    """
    return _large(
        width=1.2,
        dropout=0.2,
        drop_connect=0.2,
        epochs=560,
        batch_size=512,
        reference_batch_size=512,
        learning_rate=0.048,
        rand_augment="rand-m9-mstd0.5",
        erasing=0.2,
    )


@_recipe("mobilenet_v2", "mobilenet_v2")
def mobilenet_v2() -> Recipe:
    """MobileNetV2 1.0 on ImageNet: 71.88 % top-1.

    Source: torchvision's reference script for its first MobileNetV2 weights, eight processes of 32 images.

    python -m pipelines.train --recipe=mobilenet_v2 --data_dir=IMAGENET
    """
    return Recipe(
        schedule="step",
        epochs=300,
        warmup_epochs=0,
        cooldown_epochs=0,
        decay_rate=0.98,
        decay_epochs=1,
        learning_rate=0.045,
        nesterov=False,
        weight_decay=4e-5,
        decay_all=True,
        label_smoothing=0.0,
        interpolation="bilinear",
        color_jitter=0.0,
    )


@_recipe("mobilenet_v1", "mobilenet_v1")
def mobilenet_v1() -> Recipe:
    """MobileNetV1 1.0 on ImageNet: 70.9 % top-1.

    Source: TF-slim's mobilenet_v1_train.py, for one process of 64 images. Slim does not decay depthwise kernels and
    distorts colors by hue as well; its number of steps is not published, 200 epochs are assumed.

    python -m pipelines.train --recipe=mobilenet_v1 --data_dir=IMAGENET
    """
    return Recipe(
        dropout=0.001,
        schedule="step",
        epochs=200,
        warmup_epochs=0,
        cooldown_epochs=0,
        decay_rate=0.94,
        decay_epochs=2.5,
        batch_size=64,
        reference_batch_size=64,
        learning_rate=0.045,
        momentum=0.0,
        nesterov=False,
        weight_decay=4e-5,
        label_smoothing=0.0,
        interpolation="bilinear",
        crop_scale_min=0.05,
    )


@_recipe("photos")
def photos() -> Recipe:
    """From scratch on a few thousand images of your own: shorter, with gentler crops.

    python -m pipelines.train --data_dir=PHOTOS
    """
    return Recipe(
        input_size=160,
        epochs=40,
        warmup_epochs=3,
        cooldown_epochs=2,
        batch_size=64,
        learning_rate=0.05,
        reference_batch_size=64,
        crop_scale_min=0.35,
        color_jitter=0.2,
    )


@_recipe("finetune")
def finetune() -> Recipe:
    """From weights trained on similar images, on a few thousand images: AdamW at a small rate, few epochs.

    python -m pipelines.train --data_dir=PHOTOS --init=runs/mobilenet_v2-imported
    """
    return Recipe(
        epochs=12,
        warmup_epochs=1,
        cooldown_epochs=1,
        batch_size=32,
        learning_rate=0.001,
        reference_batch_size=32,
        optimizer="adamw",
        epsilon=1e-8,
        weight_decay=0.05,
        crop_scale_min=0.35,
        color_jitter=0.2,
    )


@_recipe("qat")
def qat() -> Recipe:
    """Quantization-aware training of a trained network: few epochs at a small rate.

    python -m pipelines.train --qat --data_dir=PHOTOS --init=runs/mobilenet_v2-photos
    """
    shorter = {"epochs": 5, "warmup_epochs": 0.5, "cooldown_epochs": 0.5, "warmup_learning_rate": 1e-5}
    return dataclasses.replace(finetune(), qat=True, learning_rate=1e-4, weight_decay=0.0, **shorter)


@_recipe("digits")
def digits() -> Recipe:
    """Scikit-learn's digits of 8x8 pixels: no flips (2 and 5), no color jitter, a shift of half a pixel.

    python -m pipelines.train
    """
    return Recipe(
        input_size=32,
        output_stride=32,
        dropout=0.0,
        epochs=10,
        warmup_epochs=1,
        cooldown_epochs=1,
        batch_size=32,
        learning_rate=0.02,
        reference_batch_size=32,
        final_learning_rate=1e-4,
        crop_fraction=1.0,
        interpolation="bilinear",
        crop_scale_min=1.0,
        flip=False,
        color_jitter=0.0,
        shift=0.06,
    )


@_recipe("small_images")
def small_images() -> Recipe:
    """From scratch on images of 32 to 64 pixels, such as CIFAR's; shorter is possible, with `--epochs=5`.

    python -m pipelines.train --data_dir=CIFAR10
    """
    return Recipe(
        input_size=32,
        dropout=0.0,
        epochs=30,
        warmup_epochs=1,
        cooldown_epochs=0,
        batch_size=64,
        learning_rate=0.05,
        reference_batch_size=64,
        final_learning_rate=1e-4,
        weight_decay=5e-4,
        crop_fraction=1.0,
        crop_scale_min=1.0,
        color_jitter=0.0,
        shift=0.125,
    )


for _make in DETECTION_RECIPES:
    _recipe(_make.__name__)(_make)


def recipe_names() -> list[str]:
    """What `resolve_recipe` takes."""
    return [*RECIPES, *_OTHER_NAMES]


def canonical_name(name: str) -> str:
    """The name in RECIPES; ConfigError, with the nearest, for an unknown one."""
    one_of("recipe", name, recipe_names())
    return _OTHER_NAMES.get(name, name)


def resolve_recipe(base: str, overrides: dict) -> Recipe:
    """The named recipe with some fields replaced, those of its `detection` included.

    Where `epochs` is given, warm-up and cool-down take at most a quarter of them each, unless they are given too.
    Where `learning_rate` is given it is meant for the batch size, unless `reference_batch_size` is given too; the rates
    of the first and last steps are then at most that. AdamW has an epsilon of its own, 1e-8, unless that is given;
    learning rate and weight decay of the others do not fit it. YellowFin's rate multiplies the one that it tunes: 1.

    Raises ConfigError, before any data is opened, for an unknown name or a contradiction.
    """
    overrides = {k: v for k, v in overrides.items() if v is not None}
    for name in overrides:
        one_of("recipe field", name, [f.name for r in (Recipe, DetectionRecipe) for f in dataclasses.fields(r)])
    recipe = RECIPES[canonical_name(base)]
    overrides = with_detection(base, recipe, overrides)
    return dataclasses.replace(recipe, **overrides | derived_fields(base, recipe, overrides))
