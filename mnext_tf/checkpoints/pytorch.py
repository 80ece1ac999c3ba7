"""PyTorch state dicts into our networks, by name. Needs no PyTorch: tensors come as NumPy arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from mnext_tf.errors import CheckpointError

BATCH_NORM = (
    ("weight", "gamma"),
    ("bias", "beta"),
    ("running_mean", "moving_mean"),
    ("running_var", "moving_variance"),
)


def load_pytorch_state_dict(model, state_dict: Mapping[str, np.ndarray]):
    """Copy every tensor of `state_dict` into `model` (from `mnext_tf.create_model`).

    Understands the names of the MobileNeXt authors, of torchvision's MobileNetV2 and of the flat
    MobileNetV2 naming (`features.2.conv.3.weight`, last convolution `conv.0`).

    Returns:
      The model, for convenience.

    Raises:
      CheckpointError: a tensor is missing, extra, or has another shape; the text names it. Nothing
        has been changed in the model then.
    """
    targets = _targets(model, state_dict)
    missing = [name for name in targets if name not in state_dict]
    extra = [n for n in state_dict if n not in targets and not n.endswith("num_batches_tracked")]
    if missing or extra:
        raise CheckpointError(
            f"The state dict does not fit {model.name!r}: "
            + _names("missing", missing)
            + _names("extra", extra)
            + _hint(model, extra)
        )
    values = []
    for name, (variable, layout) in targets.items():
        value = np.asarray(state_dict[name])
        expected = _pytorch_shape(tuple(variable.shape), layout)
        if value.shape != expected:
            raise CheckpointError(
                f"{name} has shape {value.shape}; {model.name!r} as built here takes {expected}. "
                "Width or number of classes differ: build the model with those of the checkpoint."
            )
        values.append((variable, _to_keras(value, layout)))
    for variable, value in values:
        variable.assign(
            value.astype(variable.dtype if isinstance(variable.dtype, str) else variable.dtype.as_numpy_dtype)
        )
    return model


def _targets(model, state_dict) -> dict:
    """PyTorch tensor name -> (Keras variable, layout: "conv" | "depthwise" | "dense" | "vector")."""
    by_name = {layer.name: layer for layer in model.layers}
    convolutions = [n for n in by_name if f"{n}_bn" in by_name]
    last = max(int(n[5:7]) for n in convolutions if n.startswith("block"))
    # The naming must show even where a tensor is missing, so that the error names that tensor alone.
    nested = any(re.fullmatch(r"features\.\d+\.conv\.\d+\.\d+\.\w+", n) for n in state_dict)  # as torchvision has it
    targets, position = {}, {}
    for name in convolutions:
        activated = f"{name}_relu6" in by_name
        if name == "stem":
            conv, bn = "features.0.0", "features.0.1"
        elif name == "head":
            in_features = any(n.startswith(f"features.{last + 1}.") for n in state_dict)
            prefix = f"features.{last + 1}" if in_features else "conv"
            conv, bn = f"{prefix}.0", f"{prefix}.1"
        else:
            block = int(name[5:7])
            i = position.get(block, 0)
            prefix = f"features.{block}.conv"
            if nested and activated:
                conv, bn, step = f"{prefix}.{i}.0", f"{prefix}.{i}.1", 1
            else:
                conv, bn, step = f"{prefix}.{i}", f"{prefix}.{i + 1}", 3 if activated else 2
            position[block] = i + step
        layer = by_name[name]
        layout = "depthwise" if type(layer).__name__ == "DepthwiseConv2D" else "conv"
        targets[f"{conv}.weight"] = (layer.weights[0], layout)
        for theirs, ours in BATCH_NORM:
            targets[f"{bn}.{theirs}"] = (getattr(by_name[f"{name}_bn"], ours), "vector")
    dense = "classifier" if {"classifier.weight", "classifier.bias"} & set(state_dict) else "classifier.1"
    kernel, bias = by_name["logits"].weights
    targets[f"{dense}.weight"] = (kernel, "dense")
    targets[f"{dense}.bias"] = (bias, "vector")
    return targets


def _to_keras(value: np.ndarray, layout: str) -> np.ndarray:
    if layout == "conv":  # (out, in, h, w) -> (h, w, in, out)
        return value.transpose(2, 3, 1, 0)
    if layout == "depthwise":  # (channels, 1, h, w) -> (h, w, channels, 1)
        return value.transpose(2, 3, 0, 1)
    return value.T if layout == "dense" else value


def _pytorch_shape(shape: tuple[int, ...], layout: str) -> tuple[int, ...]:
    if layout == "conv":
        return (shape[3], shape[2], shape[0], shape[1])
    if layout == "depthwise":
        return (shape[2], shape[3], shape[0], shape[1])
    return shape[::-1] if layout == "dense" else shape


def _names(what: str, names: list[str], most: int = 5) -> str:
    if not names:
        return ""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{len(names)} {what}: {', '.join(names[:most])}{more}. "


def _hint(model, extra: list[str]) -> str:
    if model.name == "mobilenet_v2" and any(n == "features.2.conv.8.weight" for n in extra):
        return "This is the MobileNetV2 of the MobileNeXt authors: use create_model('mobilenet_v2_mnext')."
    return ""
