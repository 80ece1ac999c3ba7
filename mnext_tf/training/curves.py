"""The authors' training curves on ImageNet, epoch by epoch: whether a run is on track shows long before it ends.

`published_curves/` holds them, a line for each epoch: training loss, validation loss, top-1 and top-5 in percent.
Source: https://github.com/zhoudaquan/rethinking_bottleneck_design, the training logs beside the checkpoints, rounded
to four digits. Those of mnext_s and mnext_l are of the moving average of the weights (EMA), which stays at chance
for tens of epochs.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import MODELS, RECIPES

_FOLDER = Path(__file__).with_name("published_curves")
# Fields that a published result does not depend on, as far as its source says
_FREE = ("batch_size", "seed", "accumulate", "precision", "data_streams", "monitor", "keep_last")
_COLUMNS = ("train_loss", "val_loss", "top1", "top5")


@dataclass(frozen=True)
class Curve:
    """A published training; the first of each tuple is of epoch 1. Accuracies in percent."""

    recipe: str
    train_loss: tuple[float, ...]
    val_loss: tuple[float, ...]
    top1_percent: tuple[float, ...]
    top5_percent: tuple[float, ...]

    @property
    def is_ema(self) -> bool:
        """Whether the moving average of the weights was evaluated, not the weights themselves."""
        return self.recipe.startswith(("mnext_s", "mnext_l"))

    def top1(self, epoch: int) -> float | None:
        """In percent, after `epoch` epochs; None beyond the last one."""
        return self.top1_percent[epoch - 1] if 1 <= epoch <= len(self.top1_percent) else None


@functools.cache
def published_curve(recipe_name: str) -> Curve | None:
    """The curve of a recipe; None where the authors published none."""
    path = _FOLDER / f"{recipe_name}.csv"
    if recipe_name not in published_recipes():
        return None
    with open(path, newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    return Curve(recipe_name, *(tuple(float(row[column]) for row in rows) for column in _COLUMNS))


@functools.cache
def published_recipes() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.csv")))


def curve_of(config) -> Curve | None:
    """The curve of ImageNet whose recipe a run (its RunConfig) follows, whatever its data; None for another recipe."""
    return published_curve(_recipe_name(config)) if config.recipe else None


def _recipe_name(config) -> str:
    """mnext_id0.5 is no recipe of its own: the authors' recipe for mnext, with shortcuts of half the channels."""
    recipe, model = config.recipe, config.model.name
    if recipe.identity_tensor_multiplier != 0.5:
        return _published_name(recipe, model)
    whole = _published_name(dataclasses.replace(recipe, identity_tensor_multiplier=1.0), model)
    return "mnext_id0.5" if whole == "mnext" else ""


def epoch_suffix(curve: Curve | None, epoch: int) -> str:
    """For the line of an epoch in the log: "  published on ImageNet 68.32 %"; "" where nothing is published for it."""
    top1 = curve.top1(epoch) if curve else None
    if top1 is None:
        return ""
    return f"  published on ImageNet{' (EMA)' if curve.is_ema else ''} {top1:.2f} %"


def _published_name(recipe: Recipe, model: str) -> str:
    """The published recipe that a run of `model` follows, whatever its seed and devices; "" where it follows none."""

    def essence(r: Recipe) -> dict:
        return {name: value for name, value in vars(r).items() if name not in _FREE}

    return next((n for n, m in MODELS.items() if m == model and essence(RECIPES[n]) == essence(recipe)), "")
