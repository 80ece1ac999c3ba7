"""The learning rate at a step."""

from __future__ import annotations

import math

from mnext_tf.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up, cosine to the final rate, then cool-down at that rate; `step` counts from 0."""
    epoch = step / steps_per_epoch
    if epoch < recipe.warmup_epochs:
        share = epoch / recipe.warmup_epochs
        return recipe.warmup_learning_rate + share * (recipe.learning_rate - recipe.warmup_learning_rate)
    decay = recipe.epochs - recipe.warmup_epochs - recipe.cooldown_epochs
    share = min(1.0, (epoch - recipe.warmup_epochs) / decay)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return recipe.final_learning_rate + cosine * (recipe.learning_rate - recipe.final_learning_rate)


def describe_schedule(recipe: Recipe, steps_per_epoch: int) -> str:
    """The schedule in one line, counted in steps as `learning_rate` counts them."""
    steps = recipe.epochs * steps_per_epoch
    warmup = math.ceil(recipe.warmup_epochs * steps_per_epoch)
    cooldown = steps - math.ceil((recipe.epochs - recipe.cooldown_epochs) * steps_per_epoch)
    return (
        f"schedule: epochs {recipe.epochs}, steps per epoch {steps_per_epoch}, batch size {recipe.batch_size}, "
        f"learning rate {recipe.warmup_learning_rate:g} to {recipe.learning_rate:g} in {warmup} warm-up steps, cosine "
        f"to {recipe.final_learning_rate:g}, {cooldown} cool-down steps"
    )
