"""What a training run can be told, and good values for several kinds of data."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

from mnext_tf.errors import ConfigError, one_of
from mnext_tf.models import check_model_arguments


@dataclass(frozen=True)
class Recipe:
    """Every field is a flag of `pipelines.train`. The defaults are the authors' for ImageNet."""

    # network
    width: float = 1.0
    input_size: int = 224
    identity_tensor_multiplier: float = 1.0
    dropout: float = 0.2
    # schedule: linear warm-up, cosine to the final rate, then cool-down epochs at that rate
    epochs: int = 210
    warmup_epochs: int = 3
    cooldown_epochs: int = 10
    batch_size: int = 256
    learning_rate: float = 0.1
    warmup_learning_rate: float = 1e-4
    final_learning_rate: float = 1e-5
    # SGD; the decay is L2, on convolution and dense kernels only
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    # images
    crop_fraction: float = 0.875
    interpolation: str = "bicubic"
    crop_scale_min: float = 0.08
    flip: bool = True
    color_jitter: float = 0.4
    shift: float = 0.0
    seed: int = 0


RECIPES = {
    "imagenet": Recipe(),
    # From scratch on some thousand photographs: shorter, gentler crops.
    "photos": Recipe(
        input_size=160,
        epochs=40,
        warmup_epochs=3,
        cooldown_epochs=2,
        batch_size=64,
        learning_rate=0.05,
        crop_scale_min=0.35,
        color_jitter=0.2,
    ),
    # From weights that know photographs already (--init): a tenth of the rate, few epochs.
    "finetune": Recipe(
        epochs=10,
        warmup_epochs=1,
        cooldown_epochs=1,
        batch_size=32,
        learning_rate=0.01,
        crop_scale_min=0.35,
        color_jitter=0.2,
    ),
    # 8x8 pixels: no flips (2 and 5), no colours, a shift of half a pixel.
    "digits": Recipe(
        input_size=32,
        dropout=0.0,
        epochs=15,
        warmup_epochs=2,
        cooldown_epochs=2,
        batch_size=32,
        learning_rate=0.02,
        final_learning_rate=1e-4,
        crop_fraction=1.0,
        interpolation="bilinear",
        crop_scale_min=1.0,
        flip=False,
        color_jitter=0.0,
        shift=0.06,
    ),
}

HELP = {
    "width": "Width multiplier of the network.",
    "input_size": "Side of the square input, in pixels.",
    "identity_tensor_multiplier": "Share 1/k of the channels that mnext's shortcuts carry.",
    "dropout": "Dropout before the last dense layer.",
    "epochs": "Epochs in all, warm-up and cool-down included.",
    "warmup_epochs": "Epochs of linear warm-up.",
    "cooldown_epochs": "Epochs at the final learning rate.",
    "batch_size": "Images a step.",
    "learning_rate": "Learning rate after the warm-up.",
    "warmup_learning_rate": "Learning rate of the first step.",
    "final_learning_rate": "Learning rate of the cool-down.",
    "momentum": "Momentum of SGD.",
    "nesterov": "Nesterov's form of momentum.",
    "weight_decay": "L2 decay of convolution and dense kernels.",
    "label_smoothing": "Label smoothing.",
    "crop_fraction": "Evaluation takes this share of the short side, from the centre.",
    "interpolation": "Resizing: bicubic, bilinear or nearest.",
    "crop_scale_min": "Least share of the area that a random crop keeps; 1: no random crops.",
    "flip": "Random horizontal flips.",
    "color_jitter": "Brightness, contrast and saturation vary by this share.",
    "shift": "Random shift, as a share of the side.",
    "seed": "Seed of initial weights, order and augmentation.",
}


def resolve_recipe(base: str, overrides: dict) -> Recipe:
    """The named recipe with some fields replaced. Shorter training also shortens what was not given.

    Raises ConfigError, before any data is opened, for an unknown name or a contradiction.
    """
    one_of("recipe", base, RECIPES)
    overrides = {k: v for k, v in overrides.items() if v is not None}
    for name in overrides:
        one_of("recipe field", name, HELP)
    recipe = RECIPES[base]
    if "epochs" in overrides:
        epochs = overrides["epochs"]
        for name in ("warmup_epochs", "cooldown_epochs"):
            if name not in overrides and isinstance(epochs, int) and epochs > 0:
                overrides[name] = min(getattr(recipe, name), epochs // 4)
    recipe = dataclasses.replace(recipe, **overrides)
    check_recipe(recipe)
    return recipe


def check_recipe(r: Recipe) -> None:
    """Raise ConfigError naming the first field that is out of range, or two that contradict."""
    _require(r, "epochs", r.epochs >= 1, "at least 1")
    _require(r, "batch_size", r.batch_size >= 2, "at least 2 (batch norm needs a batch)")
    for name in ("warmup_epochs", "cooldown_epochs", "seed"):
        _require(r, name, getattr(r, name) >= 0, "0 or more")
    for name in ("learning_rate", "warmup_learning_rate", "final_learning_rate"):
        value = getattr(r, name)
        _require(r, name, math.isfinite(value) and value > 0, "above 0")
    for name in ("momentum", "label_smoothing", "dropout"):
        _require(r, name, 0 <= getattr(r, name) < 1, "at least 0 and below 1")
    _require(r, "weight_decay", 0 <= r.weight_decay < 1, "at least 0 and below 1")
    if r.warmup_epochs + r.cooldown_epochs >= r.epochs:
        raise ConfigError(
            f"warmup_epochs ({r.warmup_epochs}) and cooldown_epochs ({r.cooldown_epochs}) must leave some of the "
            f"{r.epochs} epochs between them; raise --epochs or lower those."
        )
    for name in ("warmup_learning_rate", "final_learning_rate"):
        if getattr(r, name) > r.learning_rate:
            raise ConfigError(
                f"{name} ({getattr(r, name):g}) must not be above learning_rate ({r.learning_rate:g}), the peak."
            )
    if r.nesterov and r.momentum == 0:
        raise ConfigError("nesterov needs a momentum above 0; give --nonesterov or a --momentum.")
    preprocess_of(r)
    augment_of(r)


def check_network(model: str, r: Recipe, options: dict | None = None) -> None:
    """Raise ConfigError where the recipe, or the network's own options, do not fit the network."""
    check_model_arguments(model, **network_arguments(r), **(options or {}))


def network_arguments(r: Recipe) -> dict:
    return {
        "width": r.width,
        "input_size": r.input_size,
        "identity_tensor_multiplier": r.identity_tensor_multiplier,
        "dropout": r.dropout,
    }


def preprocess_of(r: Recipe):
    from mnext_tf.data.preprocess import Preprocess

    return Preprocess(input_size=r.input_size, crop_fraction=r.crop_fraction, interpolation=r.interpolation)


def augment_of(r: Recipe):
    from mnext_tf.data.augment import Augment

    return Augment(crop_scale_min=r.crop_scale_min, flip=r.flip, color_jitter=r.color_jitter, shift=r.shift)


def _require(recipe: Recipe, name: str, ok: bool, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{name} must be {allowed}; received {getattr(recipe, name)!r}.")
