"""The networks: `create_model`, `create_detector`, `list_models`, and what each costs."""

from mnext_tf.models.config import check_model_arguments
from mnext_tf.models.create import create_detector, create_model, save_weights
from mnext_tf.models.registry import has_identity_tensor_multiplier, list_models

__all__ = [
    "check_model_arguments",
    "create_detector",
    "create_model",
    "has_identity_tensor_multiplier",
    "list_models",
    "save_weights",
]
