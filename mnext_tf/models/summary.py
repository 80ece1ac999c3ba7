"""Parameters and multiply-adds of a network, layer by layer."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LayerCost:
    name: str
    kind: str
    output_shape: tuple[int, ...]  # without the batch
    parameters: int  # trainable
    multiply_adds: int


def layer_costs(model) -> list[LayerCost]:
    """Costs in order of computation, of a Keras network or its `ModelConfig.outline`.

    Multiply-adds are those of convolutions and dense layers for one image, without biases and batch normalization,
    which exporting folds away.
    """
    costs = []
    for layer in model.layers:
        kind = type(layer).__name__
        shape = tuple(layer.output.shape[1:])
        weights = {w.name.split("/")[-1].split(":")[0]: w for w in layer.trainable_weights}
        kernel = weights.get("kernel", weights.get("depthwise_kernel"))
        positions = math.prod(shape[:-1]) if kind != "Dense" else 1
        madds = positions * math.prod(kernel.shape) if kernel is not None else 0
        parameters = sum(math.prod(w.shape) for w in layer.trainable_weights)
        costs.append(LayerCost(layer.name, kind, shape, parameters, madds))
    return costs


def count_parameters(model) -> int:
    """Trainable parameters."""
    return sum(cost.parameters for cost in layer_costs(model))


def count_multiply_adds(model) -> int:
    """Multiply-adds of one inference at the model's input size."""
    return sum(cost.multiply_adds for cost in layer_costs(model))
