"""Which epoch's weights a run keeps: those of the best epoch, raw or averaged, or of the last one.

train/raw.weights.h5     the best epoch's weights
train/ema.weights.h5     the best epoch's average, where there is one
train/model.weights.h5   the better of the two: what every later stage takes
"""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import atomic_write
from mnext_tf.training.recipe import Recipe

if TYPE_CHECKING:
    from mnext_tf.training.average import Average  # imports TensorFlow, which a report does without

PREFIX = {"raw": "", "ema": "ema_"}  # of a metric in the history


@dataclass(frozen=True)
class Best:
    weights: str  # raw or ema
    epoch: int  # from 1
    value: float


def best(history: Sequence[dict], recipe: Recipe, weights: str) -> Best | None:
    """The epoch whose weights of this kind are kept; None where the history has none of them.

    The first of equal ones; of a network that is pruned, only epochs at the full sparsity count. Raises ConfigError
    where the history lacks the metric.
    """
    name = PREFIX[weights] + recipe.monitor
    history = [row for row in history if row["epoch"] >= recipe.rising_epochs]
    if not history or (weights == "ema" and not recipe.ema_decay):
        return None
    if name not in history[0]:
        raise ConfigError(f"monitor={recipe.monitor} needs more than 5 classes; use val_accuracy.")
    values = [row[name] for row in history]
    if recipe.keep_last:
        return Best(weights, history[-1]["epoch"], values[-1])
    value = min(values) if recipe.monitor == "val_loss" else max(values)
    return Best(weights, history[values.index(value)]["epoch"], value)


def better(history: Sequence[dict], recipe: Recipe) -> Best | None:
    """Of the raw weights and their average; the average where they are equal, None where there is no epoch to keep."""
    found = [b for b in (best(history, recipe, "ema"), best(history, recipe, "raw")) if b]
    return (min if recipe.monitor == "val_loss" else max)(found, key=lambda b: b.value, default=None)


def stops_early(history: Sequence[dict], recipe: Recipe) -> bool:
    """Whether the last `patience` epochs brought nothing better, raw or averaged."""
    if not (history and recipe.patience):
        return False
    chosen = better(history, dataclasses.replace(recipe, keep_last=False))
    return chosen is not None and len(history) - chosen.epoch >= recipe.patience


def keep_best(
    folder: Path, save: Callable[[Path], None], average: Average | None, history: Sequence[dict], recipe: Recipe
) -> None:
    """Write the weights of the epoch that has just ended, where they are the ones to keep so far."""
    for weights in PREFIX:
        chosen = best(history, recipe, weights)
        if chosen is None or chosen.epoch != len(history):
            continue
        with atomic_write(folder / f"{weights}.weights.h5") as temporary:
            if weights == "raw":
                save(temporary)
            else:
                with average.applied():
                    save(temporary)


def choose(folder: Path, path: Path, history: Sequence[dict], recipe: Recipe) -> tuple[Best, list[Path]]:
    """Copy the better weights to `path`; returns them, and the files of both."""
    chosen = better(history, recipe)
    source = folder / f"{chosen.weights}.weights.h5"
    if not source.is_file():
        raise CheckpointError(f"{source}, the weights of epoch {chosen.epoch}, is gone. Start a new run.")
    with atomic_write(path) as temporary:
        shutil.copyfile(source, temporary)
    return chosen, [folder / f"{weights}.weights.h5" for weights in PREFIX if best(history, recipe, weights)]
