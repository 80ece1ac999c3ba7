"""PyTorch's side of `train_step`: our networks as PyTorch's users write them, and a step of their training."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from mnext_tf.errors import ConfigError
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.registry import convention_of
from mnext_tf.models.summary import count_parameters


class Network(nn.Module):
    """Pixels in [0, 255], float (batch, 3, size, size), to logits (batch, classes).

    Raises ConfigError for a network that has more than convolutions, batch norm, relu6 and plain shortcuts.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        outline = config.outline()
        mean, std = config.normalization
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1))
        blocks = itertools.groupby(outline.layers, lambda layer: layer.name.split("_")[0])
        self.features = nn.Sequential(
            *(_block(list(block), config) for name, block in blocks if name not in ("image", "normalize", *_CLASSIFIER))
        )
        channels, classes = outline.layers[-1].weights[0].shape
        self.classifier = nn.Sequential(nn.Dropout(config.dropout), nn.Linear(channels, classes))
        theirs, ours = sum(p.numel() for p in self.parameters()), count_parameters(outline)
        assert theirs == ours, f"{config.name} has {theirs} parameters in PyTorch, {ours} here"

    def forward(self, image):
        return self.classifier(self.features((image - self.mean) / self.std).mean((2, 3)))


_CLASSIFIER = ("pool", "dropout", "logits")


class Shortcut(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


def _block(layers: list, config: ModelConfig) -> nn.Module:
    kinds = [type(layer).__name__ for layer in layers]
    modules = [m for layer, kind in zip(layers, kinds, strict=True) for m in _modules(layer, kind, config)]
    return (Shortcut if "Add" in kinds else nn.Sequential)(*modules)


def _modules(layer, kind: str, config: ModelConfig) -> list[nn.Module]:
    """What replaces one layer of the outline."""
    if kind in ("ZeroPadding2D", "Add"):  # done by the convolution, and by Shortcut
        return []
    if kind == "ReLU":
        return [nn.ReLU6(inplace=True)]
    if kind == "BatchNormalization":
        c = convention_of(config.name, config.options)
        return [nn.BatchNorm2d(*layer.gamma.shape, eps=c.bn_epsilon, momentum=1 - c.bn_momentum)]
    if kind == "Conv2D":
        inputs, outputs = layer.kernel.shape[2:]
        kernel, stride = layer.sizes[1:]
        return [nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)]
    if kind == "DepthwiseConv2D":
        channels = layer.kernel.shape[2]
        kernel, stride = layer.sizes
        return [nn.Conv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)]
    raise ConfigError(f"{config.name} has a layer that PyTorch's side does not: {layer.name}, {kind}.")


def make_optimizer(network: Network, recipe, rate: float) -> torch.optim.Optimizer:
    """SGD as in our recipe: Nesterov momentum, with decay of the kernels only."""
    kernels = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": recipe.weight_decay}, {"params": others}]
    return torch.optim.SGD(groups, lr=rate, momentum=recipe.momentum, nesterov=recipe.nesterov)
