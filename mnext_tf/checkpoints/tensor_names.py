"""Maps the tensor names of each publisher to the variables of our networks.

The rules follow our layers in order: convolution `X`, `X_bn` if it is normalized, `X_relu6` or `X_swish` if it has an
activation.
"""

from __future__ import annotations

import collections
import re
from collections.abc import Iterable, Mapping

import numpy as np

from mnext_tf.checkpoints.assign import Target, assign
from mnext_tf.models.priors import priors_per_cell

_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_THEIR_BATCH_NORM = {
    "pytorch": ("weight", "bias", "running_mean", "running_var"),
    "paddle": ("weight", "bias", "_mean", "_variance"),
}


def load_pytorch_state_dict(model, state_dict: Mapping[str, np.ndarray]):
    """Copy every tensor of `state_dict` into `model` (from `mnext_tf.create_model`), by name. Does not need PyTorch.

    Supports the tensor names of the MobileNeXt authors (including S and L), of torchvision's and timm's MobileNetV2,
    of flat MobileNetV2 implementations (`features.2.conv.3.weight`, last convolution `conv.0`), and of Paddle; for
    `create_detector`, those of the MobileNeXt authors' detectors.

    Returns:
      The model, for convenience.

    Raises:
      CheckpointError: a tensor is missing, unexpected, misshapen, or not finite; the text names it. The model is
        unchanged then.
    """
    state_dict = background_first(state_dict)
    targets, hint = pytorch_targets(model, state_dict), ""
    if model.name == "mobilenet_v2" and "features.2.conv.8.weight" in state_dict.keys() - targets.keys():
        hint = "This is the MobileNetV2 of the MobileNeXt authors: use create_model('mobilenet_v2_mnext')."
    assign(model, state_dict, targets, unused=unused_names(state_dict), hint=hint)
    return model


def pytorch_targets(model, names: Iterable[str]) -> dict[str, Target]:
    """Tensor name -> Target, for PyTorch and Paddle files; `names` determine publisher and framework."""
    names = set(names)
    if any(layer.name == "class_logits" for layer in model.layers):
        return detector_targets(model, names)
    # Detection must not depend on any single tensor, so that the error for a missing one names only that one.
    if any(n.startswith("_blocks.") for n in names):
        return _targets(model, _efficient_names(model), "_fc", "pytorch")
    if any(n.startswith("blocks.") for n in names):
        return _targets(model, _timm_names(model), "classifier", "pytorch")
    framework = "paddle" if any(n.endswith("._mean") for n in names) else "pytorch"
    dense = "classifier" if {"classifier.weight", "classifier.bias"} & names else "classifier.1"
    return _targets(model, _sequential_names(model, names), dense, framework)


def unused_names(names: Iterable[str]) -> set[str]:
    """Tensors in published files that the networks never use."""
    return {n for n in names if re.fullmatch(r"_bn1\.\w+", n)}  # of mnext_s and mnext_l


def _targets(model, rule: dict[str, tuple[str, str | None]], dense: str | None, framework: str) -> dict[str, Target]:
    """`rule`: our convolution -> (their convolution, their batch norm or None). `dense`: the classifier, if any."""
    by_name = {layer.name: layer for layer in model.layers}
    targets = {}
    for ours, (conv, bn) in rule.items():
        layer = by_name[ours]
        layout = "depthwise" if type(layer).__name__ == "DepthwiseConv2D" else "conv"
        targets[f"{conv}.weight"] = Target(layer.weights[0], layout)
        if len(layer.weights) > 1:
            targets[f"{conv}.bias"] = Target(layer.weights[1], "keras")
        if bn is None:
            continue
        for theirs, attribute in zip(_THEIR_BATCH_NORM[framework], _BATCH_NORM, strict=True):
            targets[f"{bn}.{theirs}"] = Target(getattr(by_name[f"{ours}_bn"], attribute), "keras")
    if dense is None:
        return targets
    kernel, bias = by_name["logits"].weights
    targets[f"{dense}.weight"] = Target(kernel, "dense" if framework == "pytorch" else "keras")
    targets[f"{dense}.bias"] = Target(bias, "keras")
    return targets


def _convolutions(model) -> list[tuple[str, bool]]:
    """(name, whether an activation follows) of the convolutions with batch norm, in order."""
    names = {layer.name for layer in model.layers}
    found = [layer.name for layer in model.layers if f"{layer.name}_bn" in names]
    return [(n, bool({f"{n}_relu6", f"{n}_swish"} & names)) for n in found]


def background_first(tensors: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
    """The tensors with column 0 of a detector's scores for the background, as all our detectors have it.

    The authors train their COCO detectors with focal loss, for which labels lose the background: column 0 of 81 is the
    first class, and the last column is unused (FocalLoss in ssd/modeling/box_head/loss.py, and PostProcessor, which
    adds 1 to the labels). They are those with 4 priors at the last level.
    """
    boxes = tensors.get("box_head.predictor.reg_headers.5.bias")
    last = tensors.get("box_head.predictor.cls_headers.5.bias")
    counts = priors_per_cell("coco")
    if boxes is None or last is None or boxes.size != 4 * counts[-1] or last.size % counts[-1]:
        return tensors
    columns, moved = last.size // counts[-1], dict(tensors)
    scores = re.compile(r"box_head\.predictor\.cls_headers\.\d\.(conv\.3\.)?(weight|bias)")
    for name, tensor in tensors.items():
        if scores.fullmatch(name) and len(tensor) % columns == 0:
            by_prior = tensor.reshape(-1, columns, *tensor.shape[1:])
            moved[name] = np.roll(by_prior, 1, axis=1).reshape(tensor.shape)
    return moved


def detector_targets(model, names: set[str]) -> dict[str, Target]:
    """`backbone.features`, `backbone.extras`, `box_head.predictor`: the MobileNeXt authors' detectors."""
    prefix, head = "backbone.", "box_head.predictor.{}_headers.{}"
    inner = {n.removeprefix(prefix) for n in names}
    rule = {ours: (f"{prefix}{conv}", f"{prefix}{bn}") for ours, (conv, bn) in _sequential_names(model, inner).items()}
    nested, position = any(layer.name == "extra1_project" for layer in model.layers), collections.Counter()
    for name, activated in _convolutions(model):
        if match := re.match(r"extra(\d)_", name):
            start = f"backbone.extras.{int(match[1]) - 1}{'.conv' * nested}"
            i, grouped = position[start], nested and activated
            rule[name] = (f"{start}.{i}.0", f"{start}.{i}.1") if grouped else (f"{start}.{i}", f"{start}.{i + 1}")
            position[start] += 1 if grouped else 2 + activated
    layers = {layer.name for layer in model.layers}
    for name in layers:
        if match := re.fullmatch(r"(head(\d)_(class|box))_pointwise", name):
            start = head.format({"class": "cls", "box": "reg"}[match[3]], int(match[2]) - 1)
            separable = f"{match[1]}_depthwise" in layers
            if separable:
                rule[f"{match[1]}_depthwise"] = f"{start}.conv.0", f"{start}.conv.1"
            rule[name] = f"{start}.conv.3" if separable else start, None
    return _targets(model, rule, None, "pytorch")


def _sequential_names(model, names: set[str]) -> dict[str, tuple[str, str]]:
    """`features.K.conv.I`: the MobileNeXt authors, PaddleClas's MobileNeXt, torchvision, and flat MobileNetV2s."""
    nested = any(re.fullmatch(r"features\.\d+\.conv\.\d+\.\d+\.\w+", n) for n in names)  # as in torchvision
    rule = {"stem": ("features.0.0", "features.0.1"), **_block_names(model, "features.{}.conv", 0, nested)}
    last = max((int(n[5:7]) for n in rule if n.startswith("block")), default=0) + 1
    head = f"features.{last}" if any(n.startswith(f"features.{last}.") for n in names) else "conv"
    return {**rule, "head": (f"{head}.0", f"{head}.1")} if "head" in dict(_convolutions(model)) else rule


def _efficient_names(model) -> dict[str, tuple[str, str | None]]:
    """`_blocks.K.features.I` and `_blocks.K._se_reduce`: the authors' MobileNeXt S and L."""
    rule = {"stem": ("_conv_stem", "_bn0"), **_block_names(model, "_blocks.{}.features", -1)}
    for layer in model.layers:
        if match := re.fullmatch(r"block(\d\d)_(se_reduce|se_expand)", layer.name):
            rule[layer.name] = f"_blocks.{int(match[1]) - 1}._{match[2]}", None
    return rule


def _block_names(model, prefix: str, offset: int, nested: bool = False) -> dict[str, tuple[str, str]]:
    """Names of the convolutions in blocks, numbered through each block: convolution, batch norm, and activation."""
    rule, position = {}, collections.Counter()
    for name, activated in _convolutions(model):
        if match := re.match(r"block(\d\d)_", name):
            start = prefix.format(int(match[1]) + offset)
            i = position[start]
            grouped = nested and activated
            rule[name] = (f"{start}.{i}.0", f"{start}.{i}.1") if grouped else (f"{start}.{i}", f"{start}.{i + 1}")
            position[start] += 1 if grouped else 2 + activated
    return rule


def _timm_names(model) -> dict[str, tuple[str, str]]:
    """`blocks.STAGE.I.conv_pw`: timm's MobileNetV2. It numbers the batch norms of a block from 1."""
    from mnext_tf.models.mobilenet_v2 import STAGES

    places = [(stage, i) for stage, (_, _, n, _) in enumerate(STAGES) for i in range(n)]
    parts = {"expand": ("conv_pw", "bn1"), "depthwise": ("conv_dw", "bn2"), "project": ("conv_pwl", "bn3")}
    rule = {"stem": ("conv_stem", "bn1"), "head": ("conv_head", "bn2")}
    first = {"depthwise": ("conv_dw", "bn1"), "project": ("conv_pw", "bn2")}  # the block without expansion
    for name, _ in _convolutions(model):
        if match := re.fullmatch(r"block(\d\d)_(\w+)", name):
            stage, i = places[int(match[1]) - 1]
            conv, bn = (first if stage == 0 else parts)[match[2]]
            rule[name] = f"blocks.{stage}.{i}.{conv}", f"blocks.{stage}.{i}.{bn}"
    return rule


def keras_targets(model, tensors: Mapping[str, np.ndarray]) -> dict[str, Target]:
    """Tensor name -> Target, for Keras files: by our layer names if the file has them, else by layer kind and order.

    Other programs choose layer names freely, but keep the order of the network.
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
        kernel, bias = theirs["conv"].pop()  # the classifier of keras.applications.MobileNet is a 1x1 convolution
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
    """Whether a Keras file contains a network of this project."""
    ends = {"logits/0", "head1_class_pointwise/0"}  # of a classifier, of a detector
    return {"stem/0", "stem_bn/0"} <= tensors.keys() and bool(ends & tensors.keys())


# DepthwiseConv2D comes first: in legacy Keras it is a subclass of Conv2D.
KINDS = {"DepthwiseConv2D": "depthwise", "Conv2D": "conv", "BatchNormalization": "norm", "Dense": "dense"}


def keras_layers(tensors: Mapping[str, np.ndarray]) -> dict[str, list[list[str]]]:
    """Layer kind -> layers in order -> names of their tensors; kinds are inferred from shapes, not names."""
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
