"""Names of TensorFlow's variables: of TF-slim's MobileNets, and of Keras networks.

TF-slim calls a kernel `MobilenetV1/Conv2d_0/weights`, and what training keeps for it `.../weights/RMSProp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from mnext_tf.checkpoints.assign import Target
from mnext_tf.checkpoints.tensor_names import has_our_names
from mnext_tf.errors import CheckpointError

SCOPES = {"MobilenetV1": "mobilenet_v1", "MobilenetV2": "mobilenet_v2"}
CLASSIFIER = "Logits/Conv2d_1c_1x1"

_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_SLIM = re.compile(
    rf"(?:^|/)((?:{'|'.join(SCOPES)})/.*?/(?:weights|depthwise_weights|biases|{'|'.join(_BATCH_NORM)}))(?=/|$)"
)
_AVERAGE = "/ExponentialMovingAverage"
# of a Keras layer's variables -> their place in layer.weights
_PLACES = {"kernel": 0, "depthwise_kernel": 0, "bias": 1} | {name: i for i, name in enumerate(_BATCH_NORM)}
_KERAS = re.compile(rf"([^/]+)/({'|'.join(_PLACES)})")


def select(path: Path, names: Iterable[str], in_order: bool = False) -> tuple[dict[str, str], list[str]]:
    """({tensor name: variable name} of the network's own variables, notes). The others belong to its training.

    Tensor names are TF-slim's without outer scopes, or those of Keras's files: "stem/0". Where TF-slim has the moving
    average of a variable, it is chosen.

    Args:
      in_order: whether the variables are in the order of the network; else Keras's names must be those of this project.

    Raises CheckpointError if two variables have the same name, or if their order is needed but unknown.
    """
    slim, keras, averages = {}, {}, {}
    for name in names:
        if match := _SLIM.search(name):
            rest = name[match.end() :]
            found = slim if not rest else averages if rest == _AVERAGE else {}
            if match[1] in found:
                raise CheckpointError(f"{path} contains {match[1]} twice, as {found[match[1]]} and {name}.")
            found[match[1]] = name
        elif match := _KERAS.fullmatch(name):
            keras[f"{match[1]}/{_PLACES[match[2]]}"] = name
    if slim or averages:
        notes = [f"used the moving averages of {len(averages)} variables"] if averages else []
        return {**slim, **averages}, notes
    if keras and not (in_order or has_our_names(keras)):
        raise CheckpointError(
            f"{path} has the variables of a Keras network, without their order: {', '.join(list(keras.values())[:3])} "
            "... Save its weights with Keras: model.save_weights('model.weights.h5')"
        )
    # not sorted: arrays of a layer need not be in their places' order
    return keras, []


def slim_targets(model) -> dict[str, Target]:
    """TF-slim's tensor name -> Target in a mobilenet_v1 or mobilenet_v2."""
    by_name = {layer.name: layer for layer in model.layers}
    scope = next(scope for scope, name in SCOPES.items() if name == model.name)
    targets = {}
    for name, layer in by_name.items():
        if f"{name}_bn" not in by_name:
            continue
        theirs = f"{scope}/{_slim_layer(scope, name)}"
        depthwise = "depthwise_" if type(layer).__name__ == "DepthwiseConv2D" else ""
        targets[f"{theirs}/{depthwise}weights"] = Target(layer.weights[0], "keras")
        for array in _BATCH_NORM:
            targets[f"{theirs}/BatchNorm/{array}"] = Target(getattr(by_name[f"{name}_bn"], array), "keras")
    kernel, bias = by_name["logits"].weights
    targets[f"{scope}/{CLASSIFIER}/weights"] = Target(kernel, "dense_1x1")
    targets[f"{scope}/{CLASSIFIER}/biases"] = Target(bias, "keras")
    return targets


def _slim_layer(scope: str, ours: str) -> str:
    """TF-slim counts the stem of V1 as its layer 0, and does not number the first block of V2."""
    first = scope == "MobilenetV1"
    if not ours.startswith("block"):
        return {"stem": "Conv2d_0" if first else "Conv", "head": "Conv_1"}[ours]
    number, part = int(ours[5:7]), ours[8:]
    if first:
        return f"Conv2d_{number}_{part}"
    return f"expanded_conv{f'_{number - 1}' if number > 1 else ''}/{part}"
