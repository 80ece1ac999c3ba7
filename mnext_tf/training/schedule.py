"""The learning rate at a step."""

from __future__ import annotations

import math

from mnext_tf.training.recipe import Recipe


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int) -> float:
    """Linear warm-up to the peak, the recipe's schedule, then cool-down at the final rate; `step` counts from 0.

    cosine: half a cosine wave, from the end of the warm-up to the cool-down (Loshchilov and Hutter, arXiv 1608.03983).
    step: peak * decay_rate ** floor(epoch / decay_epochs), not below the final rate. Epochs count from the start,
      or from decay_begin on, so that the first value after the warm-up may be below the peak already.
    constant: the peak.

    The rate is that of a step, where epochs are fractions. Published recipes for PyTorch (timm) change it at the start
    of an epoch only: their warm-up has as many levels as epochs, and their steps of 2.4 epochs come after 3, 5, 8, 10,
    and 12 epochs.
    """
    peak, final = recipe.peak_learning_rate, recipe.final_learning_rate
    epoch = step / steps_per_epoch
    if epoch < recipe.warmup_epochs:
        share = epoch / recipe.warmup_epochs
        return recipe.warmup_learning_rate + share * (peak - recipe.warmup_learning_rate)
    if recipe.schedule == "cosine":
        decay = recipe.epochs - recipe.warmup_epochs - recipe.cooldown_epochs
        share = min(1.0, (epoch - recipe.warmup_epochs) / decay)
        cosine = 0.5 * (1 + math.cos(math.pi * share))
        return final + cosine * (peak - final)
    if step >= _cooldown_start(recipe, steps_per_epoch):
        return final
    if recipe.schedule == "constant":
        return peak
    # 1e-9: the step at which 5 * 2.4 epochs are over must not depend on the rounding of 2.4.
    drops = math.floor((step - recipe.decay_begin * steps_per_epoch) / (recipe.decay_epochs * steps_per_epoch) + 1e-9)
    return max(final, peak * recipe.decay_rate ** max(0, drops))


def _cooldown_start(recipe: Recipe, steps_per_epoch: int) -> int:
    return math.ceil((recipe.epochs - recipe.cooldown_epochs) * steps_per_epoch)


def describe_schedule(recipe: Recipe, steps_per_epoch: int) -> str:
    """The schedule in one line, counted in steps as `learning_rate` counts them."""
    steps = recipe.epochs * steps_per_epoch
    warmup = math.ceil(recipe.warmup_epochs * steps_per_epoch)
    cooldown = steps - _cooldown_start(recipe, steps_per_epoch)
    peak, final = f"{recipe.peak_learning_rate:g}", f"{recipe.final_learning_rate:g}"
    begin = f" from epoch {recipe.decay_begin:g} on" if recipe.decay_begin else ""
    shape = {
        "cosine": f"cosine to {final}",
        "step": f"times {recipe.decay_rate:g} every {recipe.decay_epochs:g} epochs{begin}, at least {final}",
        "constant": f"constant, then {final}",
    }[recipe.schedule]
    scaled = ""
    if recipe.peak_learning_rate != recipe.learning_rate:
        scaled = (
            f" ({recipe.learning_rate:g} for {recipe.reference_batch_size} images, times "
            f"{recipe.batch_size} / {recipe.reference_batch_size})"
        )
    rising = f"{recipe.warmup_learning_rate:g} to {peak}{scaled} in {warmup} warm-up steps"
    sparsity = ""
    if recipe.sparsity:
        sparsity = f", sparsity to {recipe.sparsity:g} in {math.ceil(recipe.rising_epochs * steps_per_epoch)} steps"
    return (
        f"schedule: epochs {recipe.epochs}, steps per epoch {steps_per_epoch}, batch size {recipe.batch_size}, "
        f"learning rate {rising if warmup else f'{peak}{scaled}, no warm-up'}, {shape}, "
        f"{cooldown} cool-down steps{sparsity}"
    )
