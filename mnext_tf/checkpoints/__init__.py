"""Weights that come from elsewhere."""

from mnext_tf.checkpoints.pytorch import load_pytorch_state_dict

__all__ = ["load_pytorch_state_dict"]
