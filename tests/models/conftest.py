"""Weights under which logits are neither tiny nor saturated."""

from __future__ import annotations

import math

import numpy as np
import pytest


@pytest.fixture(scope="session")
def randomise():
    """`randomise(model)`: every weight drawn anew, as after a training; returns the model."""

    def randomise(model, seed=0):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            values = layer.get_weights()
            if type(layer).__name__ == "BatchNormalization":
                gamma, beta, mean, variance = (v.shape for v in values)
                values = [
                    rng.uniform(0.5, 1.5, gamma),
                    0.1 * rng.standard_normal(beta),
                    0.1 * rng.standard_normal(mean),
                    rng.uniform(0.5, 1.5, variance),
                ]
            elif values:
                kernel = values[0].shape
                inputs = math.prod(kernel[:2] if type(layer).__name__ == "DepthwiseConv2D" else kernel[:-1])
                values[0] = rng.standard_normal(kernel) * math.sqrt(1.5 / inputs)
            if values:
                layer.set_weights(values)
        return model

    return randomise
