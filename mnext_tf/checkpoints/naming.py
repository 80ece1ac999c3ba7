"""Whose names a checkpoint has, and which of our variables each name means.

Our side of every rule is the network itself: convolutions in order of computation, `X_bn` where one is
normalised, `X_relu6` or `X_swish` where one is activated.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import numpy as np

from mnext_tf.checkpoints.assign import Target

BATCH_NORM = {  # their name -> ours
    "pytorch": (
        ("weight", "gamma"),
        ("bias", "beta"),
        ("running_mean", "moving_mean"),
        ("running_var", "moving_variance"),
    ),
    "paddle": (("weight", "gamma"), ("bias", "beta"), ("_mean", "moving_mean"), ("_variance", "moving_variance")),
}


def pytorch_targets(model, names: Iterable[str]) -> dict[str, Target]:
    """For PyTorch and Paddle files; the rule and the framework follow from `names`."""
    names = set(names)
    # The naming must show even where a tensor is missing, so that the error names that tensor alone.
    if any(n.startswith("_blocks.") for n in names):
        return _targets(model, _efficient_names(model), "_fc", "pytorch")
    if any(n.startswith("blocks.") for n in names):
        return _targets(model, _timm_names(model), "classifier", "pytorch")
    framework = "paddle" if any(n.endswith("._mean") for n in names) else "pytorch"
    dense = "classifier" if {"classifier.weight", "classifier.bias"} & names else "classifier.1"
    return _targets(model, _sequential_names(model, names), dense, framework)


def unused_names(names: Iterable[str]) -> set[str]:
    """Tensors that published files hold and their networks never use."""
    return {n for n in names if re.fullmatch(r"_bn1\.\w+", n)}  # of mnext_s and mnext_l


def _targets(model, rule: dict[str, tuple[str, str | None]], dense: str, framework: str) -> dict[str, Target]:
    """`rule`: our convolution -> (theirs, their batch norm or None)."""
    by_name = {layer.name: layer for layer in model.layers}
    targets = {}
    for ours, (conv, bn) in rule.items():
        layer = by_name[ours]
        layout = "depthwise" if type(layer).__name__ == "DepthwiseConv2D" else "conv"
        targets[f"{conv}.weight"] = Target(layer.weights[0], layout)
        if bn is None:
            targets[f"{conv}.bias"] = Target(layer.weights[1], "keras")
            continue
        for theirs, attribute in BATCH_NORM[framework]:
            targets[f"{bn}.{theirs}"] = Target(getattr(by_name[f"{ours}_bn"], attribute), "keras")
    kernel, bias = by_name["logits"].weights
    targets[f"{dense}.weight"] = Target(kernel, "dense" if framework == "pytorch" else "keras")
    targets[f"{dense}.bias"] = Target(bias, "keras")
    return targets


def _convolutions(model) -> list[tuple[str, bool]]:
    """(name, whether an activation follows) of the normalised convolutions, in order."""
    names = {layer.name for layer in model.layers}
    found = [layer.name for layer in model.layers if f"{layer.name}_bn" in names]
    return [(n, bool({f"{n}_relu6", f"{n}_swish"} & names)) for n in found]


def _sequential_names(model, names: set[str]) -> dict[str, tuple[str, str]]:
    """`features.K.conv.I`: the MobileNeXt authors, PaddleClas's MobileNeXt, torchvision, and the flat MobileNetV2s."""
    convolutions = _convolutions(model)
    last = max((int(n[5:7]) for n, _ in convolutions if n.startswith("block")), default=0)
    nested = any(re.fullmatch(r"features\.\d+\.conv\.\d+\.\d+\.\w+", n) for n in names)  # as torchvision has it
    rule, position = {}, {}
    for name, activated in convolutions:
        if name == "stem":
            rule[name] = "features.0.0", "features.0.1"
        elif name == "head":
            in_features = any(n.startswith(f"features.{last + 1}.") for n in names)
            prefix = f"features.{last + 1}" if in_features else "conv"
            rule[name] = f"{prefix}.0", f"{prefix}.1"
        else:
            block = int(name[5:7])
            i = position.get(block, 0)
            prefix = f"features.{block}.conv"
            if nested and activated:
                rule[name], step = (f"{prefix}.{i}.0", f"{prefix}.{i}.1"), 1
            else:
                rule[name], step = (f"{prefix}.{i}", f"{prefix}.{i + 1}"), 3 if activated else 2
            position[block] = i + step
    return rule


def _efficient_names(model) -> dict[str, tuple[str, str | None]]:
    """`_blocks.K.features.I` and `_blocks.K._se_reduce`: MobileNeXt S and L of the authors."""
    rule, position = {"stem": ("_conv_stem", "_bn0")}, {}
    for name, activated in _convolutions(model):
        if name == "stem":
            continue
        block = int(name[5:7]) - 1
        i = position.get(block, 0)
        rule[name] = f"_blocks.{block}.features.{i}", f"_blocks.{block}.features.{i + 1}"
        position[block] = i + (3 if activated else 2)
    for layer in model.layers:
        if match := re.fullmatch(r"block(\d\d)_(se_reduce|se_expand)", layer.name):
            rule[layer.name] = f"_blocks.{int(match[1]) - 1}._{match[2]}", None
    return rule


def _timm_names(model) -> dict[str, tuple[str, str]]:
    """`blocks.STAGE.I.conv_pw`: timm's MobileNetV2. In a block the batch norms are numbered from 1."""
    from mnext_tf.models.mobilenet_v2 import STAGES

    places = [(stage, i) for stage, (_, _, n, _) in enumerate(STAGES) for i in range(n)]
    parts = {
        "expand": ("conv_pw", "bn1"),
        "depthwise": ("conv_dw", "bn2"),
        "project": ("conv_pwl", "bn3"),
    }
    rule = {"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2")}
    first = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}  # the block that does not expand
    for name, _ in _convolutions(model):
        if match := re.fullmatch(r"block(\d\d)_(\w+)", name):
            stage, i = places[int(match[1]) - 1]
            conv, bn = (first if stage == 0 else parts)[match[2]]
            rule[name] = f"blocks.{stage}.{i}.{conv}", f"blocks.{stage}.{i}.{bn}"
    return rule


def keras_targets(model, tensors: Mapping[str, np.ndarray]) -> dict[str, Target]:
    """For Keras files: by our layers' names where the file has them, else by kind of layer and order.

    The names of other programs' layers are free; their order is the network's.
    """
    ours: dict[str, list] = {kind: [] for kind in KINDS.values()}
    for layer in model.layers:
        for cls, kind in KINDS.items():
            if layer.weights and cls in [c.__name__ for c in type(layer).__mro__]:
                ours[kind].append(layer)
                break
    if has_our_names(tensors):
        layers = [layer for found in ours.values() for layer in found]
        return {f"{layer.name}/{i}": Target(v, "keras") for layer in layers for i, v in enumerate(layer.weights)}
    theirs = keras_layers(tensors)
    targets = {}
    if not theirs["dense"] and len(theirs["conv"]) == len(ours["conv"]) + 1:
        kernel, bias = theirs["conv"].pop()  # keras.applications.MobileNet classifies by a 1x1 convolution
        targets[kernel] = Target(ours["dense"][0].weights[0], "dense_1x1")
        targets[bias] = Target(ours["dense"][0].weights[1], "keras")
        ours["dense"] = []
    for kind, layers in ours.items():
        for i, layer in enumerate(layers):
            found = theirs[kind][i] if i < len(theirs[kind]) else []
            for j, variable in enumerate(layer.weights):
                name = found[j] if j < len(found) else f"({layer.name}, array {j})"
                targets[name] = Target(variable, "keras")
    return targets


def has_our_names(tensors: Mapping[str, np.ndarray]) -> bool:
    """Whether a Keras file was written of a network of this project."""
    return {"stem/0", "stem_bn/0", "logits/0"} <= tensors.keys()


# A DepthwiseConv2D of legacy Keras is a Conv2D too: it comes first.
KINDS = {"DepthwiseConv2D": "depthwise", "Conv2D": "conv", "BatchNormalization": "norm", "Dense": "dense"}


def keras_layers(tensors: Mapping[str, np.ndarray]) -> dict[str, list[list[str]]]:
    """Kind -> layers in order -> names of their tensors; told by shapes, for names say nothing."""
    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.rpartition("/")[0], []).append(name)
    found: dict[str, list[list[str]]] = {kind: [] for kind in KINDS.values()}
    for names in layers.values():
        shape = tensors[names[0]].shape
        if len(shape) == 4:
            kind = "depthwise" if shape[0] > 1 and shape[3] == 1 else "conv"
        else:
            kind = "dense" if len(shape) == 2 else "norm"
        found[kind].append(names)
    return found
