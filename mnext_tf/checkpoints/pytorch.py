"""Loads PyTorch state dicts by tensor name, without PyTorch: tensors are NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mnext_tf.checkpoints.assign import assign
from mnext_tf.checkpoints.tensor_names import pytorch_targets, unused_names


def load_pytorch_state_dict(model, state_dict: Mapping[str, np.ndarray]):
    """Copy every tensor of `state_dict` into `model` (from `mnext_tf.create_model`).

    Supports the tensor names of the MobileNeXt authors (including S and L), of torchvision's and timm's MobileNetV2,
    of flat MobileNetV2 implementations (`features.2.conv.3.weight`, last convolution `conv.0`), and of Paddle.

    Returns:
      The model, for convenience.

    Raises:
      CheckpointError: a tensor is missing, unexpected, misshapen, or not finite; the text names it. The model is
        unchanged then.
    """
    targets = pytorch_targets(model, state_dict)
    assign(model, state_dict, targets, unused=unused_names(state_dict), hint=_hint(model, targets, state_dict))
    return model


def _hint(model, targets, state_dict) -> str:
    if model.name == "mobilenet_v2" and "features.2.conv.8.weight" in state_dict.keys() - targets.keys():
        return "This is the MobileNetV2 of the MobileNeXt authors: use create_model('mobilenet_v2_mnext')."
    return ""
