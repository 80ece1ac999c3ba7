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
    share = min(1.0, (epoch - recipe.warmup_epochs) / max(decay, 1))
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return recipe.final_learning_rate + cosine * (recipe.learning_rate - recipe.final_learning_rate)
