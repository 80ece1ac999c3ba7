"""Optimizers, each with the variables that it updates and a factor on the learning rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mnext_tf.training.optimizers import make_optimizer, not_decayed
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.transfer import in_head


@dataclass(frozen=True)
class Group:
    name: str  # in checkpoints
    optimizer: Any
    variables: list
    factor: float = 1.0

    def apply(self, gradients: Sequence, rate) -> None:
        """One update at the learning rate `rate`, times the factor of the group."""
        self.optimizer.learning_rate.assign(rate * self.factor)
        self.optimizer.apply_gradients(zip(gradients, self.variables, strict=True))


def make_groups(model, recipe: Recipe) -> list[Group]:
    """One group, or two where the backbone learns at another rate than the head. Frozen layers are in none."""
    if recipe.backbone_learning_rate == 1:
        return [_group("optimizer", model.trainable_variables, recipe)]
    head = [v for layer in model.layers if in_head(layer.name) for v in layer.trainable_variables]
    known = {id(v) for v in head}
    backbone = [v for v in model.trainable_variables if id(v) not in known]
    groups = [_group("optimizer_head", head, recipe)] if head else []
    return groups + (
        [_group("optimizer_backbone", backbone, recipe, recipe.backbone_learning_rate)] if backbone else []
    )


def _group(name: str, variables: list, recipe: Recipe, factor: float = 1.0) -> Group:
    optimizer = make_optimizer(recipe, no_decay=not_decayed(variables, recipe))
    optimizer.build(variables)
    optimizer._all_reduce_sum_gradients = list  # Keras would sum them over devices: done before, as clipping needs it
    return Group(name, optimizer, list(variables), factor)
