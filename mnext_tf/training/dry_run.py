"""What a training would do: its steps, learning rates and memory. No data is read, and TensorFlow is not imported."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import ConfigError
from mnext_tf.files import atomic_write
from mnext_tf.models.config import ModelConfig
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.schedule import describe_schedule, learning_rate

IMAGENET_IMAGES = 1_281_167, 50_000  # ILSVRC2012: training, validation


@dataclass(frozen=True)
class Memory:
    """An estimate of what a training step holds on its device, in bytes.

    Activations are those that the backward pass reads, of one part of a batch (`accumulate`). A step also needs
    buffers of its operators, and TensorFlow itself 0.7 GB: on a CPU, at 96 pixels and 64 or 128 images a step, memory
    grew by 1.1 to 1.2 times the estimate for mnext and mobilenet_v2.
    """

    weights: int
    gradients: int
    optimizer: int
    average: int  # of the weights (EMA)
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.gradients + self.optimizer + self.average + self.activations


@dataclass(frozen=True)
class DryRun:
    steps_per_epoch: int
    steps: int  # of the optimizer, in all epochs
    images: int  # that training reads, in all epochs
    validation_images: int  # likewise
    parameters: int
    memory: Memory
    learning_rates: tuple[float, ...]  # at the first step of each epoch
    schedule: str  # in one line

    def describe(self) -> str:
        m = self.memory
        parts = ", ".join(
            f"{name.replace('_', ' ')} {_mb(getattr(m, name))}" for name in m.__dataclass_fields__ if getattr(m, name)
        )
        return (
            f"{self.schedule}\n"
            f"steps: {self.steps:,}, images: {self.images:,} in training and {self.validation_images:,} in validation\n"
            f"memory, an estimate: {_mb(m.total)} ({parts}) for {self.parameters:,} parameters"
        )


def dry_run(
    recipe: Recipe,
    model: ModelConfig,
    *,
    num_images: int = IMAGENET_IMAGES[0],
    num_validation: int = IMAGENET_IMAGES[1],
) -> DryRun:
    """What training `model` by `recipe` would take; the data is given by the number of images in its two splits.

    Raises ConfigError where the images do not make one batch.
    """
    per_epoch = num_images // recipe.batch_size
    if per_epoch < 1:
        raise ConfigError(f"batch_size={recipe.batch_size} is more than the {num_images} training images.")
    steps = per_epoch * recipe.epochs
    layers = model.outline().layers
    return DryRun(
        steps_per_epoch=per_epoch,
        steps=steps,
        images=steps * recipe.batch_size,
        validation_images=num_validation * recipe.epochs,
        parameters=_count(layers, trainable=True),
        memory=estimate_memory(recipe, layers),
        learning_rates=tuple(learning_rate(recipe, e * per_epoch, per_epoch) for e in range(recipe.epochs)),
        schedule=describe_schedule(recipe, per_epoch),
    )


def estimate_memory(recipe: Recipe, layers) -> Memory:
    """Of one device that computes the whole batch, with nothing frozen. `layers`: those of an outline."""
    trainable, weights = 4 * _count(layers, trainable=True), 4 * _count(layers)
    slots = {"sgd": bool(recipe.momentum), "rmsprop_tf": 1 + bool(recipe.momentum), "adamw": 2, "yellowfin": 2}
    values = sum(math.prod(layer.output.shape[1:]) for layer in _kept(layers))
    return Memory(
        weights=weights,
        gradients=trainable * (2 if recipe.accumulate > 1 else 1),  # of a part, and their sum
        optimizer=trainable * slots[recipe.optimizer],
        average=weights if recipe.ema_decay else 0,
        activations=values * (recipe.batch_size // recipe.accumulate) * (4 if recipe.precision == "float32" else 2),
    )


def write_schedule(folder: Path, recipe: Recipe, steps_per_epoch: int) -> tuple[Path, Path]:
    """schedule.csv, with a row for each step: step from 0, epoch from 1, learning_rate; and its plot, schedule.png.

    A million steps take about two seconds.
    """
    steps = range(recipe.epochs * steps_per_epoch)
    rates = [learning_rate(recipe, step, steps_per_epoch) for step in steps]
    table, plot = Path(folder) / "schedule.csv", Path(folder) / "schedule.png"
    with atomic_write(table) as temporary, open(temporary, "w", encoding="utf-8") as f:
        f.write("step,epoch,learning_rate\n")
        f.writelines(f"{step},{step // steps_per_epoch + 1},{rates[step]!r}\n" for step in steps)
    _plot(plot, rates, recipe, steps_per_epoch)
    return table, plot


def _plot(path: Path, rates: list[float], recipe: Recipe, steps_per_epoch: int) -> None:
    from matplotlib.figure import Figure

    shown = sorted({round(i * (len(rates) - 1) / 9999) for i in range(10_000)})
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axis = figure.subplots()
    axis.plot([step / steps_per_epoch for step in shown], [rates[step] for step in shown], color="#0072B2")
    axis.set(xlabel="epochs done", ylabel="learning rate", xlim=(0, recipe.epochs))
    if recipe.schedule == "step":  # equal steps on this scale
        axis.set_yscale("log")
    else:
        axis.set_ylim(bottom=0)
    axis.grid(color="0.9")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(textwrap.fill(describe_schedule(recipe, steps_per_epoch), 100), fontsize=9)
    with atomic_write(path) as temporary:
        figure.savefig(temporary, format="png", dpi=120)


def _kept(layers) -> list:
    """Layers whose output the backward pass reads: all but batch norms before a ReLU, which reads its own output."""
    return [a for a, b in zip(layers, [*layers[1:], None], strict=True) if (_kind(a), _kind(b)) != _UNREAD]


def _kind(layer) -> str:
    return type(layer).__name__


_UNREAD = ("BatchNormalization", "ReLU")


def _count(layers, trainable: bool = False) -> int:
    return sum(
        math.prod(w.shape) for layer in layers for w in (layer.trainable_weights if trainable else layer.weights)
    )


def _mb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
