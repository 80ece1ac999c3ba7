"""PyTorch state dicts into our networks, by name. Needs no PyTorch: tensors come as NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mnext_tf.checkpoints.assign import assign
from mnext_tf.checkpoints.naming import pytorch_targets, unused_names


def load_pytorch_state_dict(model, state_dict: Mapping[str, np.ndarray]):
    """Copy every tensor of `state_dict` into `model` (from `mnext_tf.create_model`).

    Understands the names of the MobileNeXt authors (S and L too), of torchvision's and timm's MobileNetV2,
    of the flat MobileNetV2 naming (`features.2.conv.3.weight`, last convolution `conv.0`), and Paddle's.

    Returns:
      The model, for convenience.

    Raises:
      CheckpointError: a tensor is missing, extra, of another shape or not finite; the text names it.
        Nothing has been changed in the model then.
    """
    targets = pytorch_targets(model, state_dict)
    assign(model, state_dict, targets, unused=unused_names(state_dict), hint=_hint(model, targets, state_dict))
    return model


def _hint(model, targets, state_dict) -> str:
    if model.name == "mobilenet_v2" and "features.2.conv.8.weight" in state_dict.keys() - targets.keys():
        return "This is the MobileNetV2 of the MobileNeXt authors: use create_model('mobilenet_v2_mnext')."
    return ""
