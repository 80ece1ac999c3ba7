"""The networks: `create_model`, `list_models`, and what each costs."""

from mnext_tf.models.registry import (
    check_model_arguments,
    create_model,
    create_model_from,
    has_identity_tensor_multiplier,
    list_models,
    normalization_of,
    save_weights,
)

__all__ = [
    "check_model_arguments",
    "create_model",
    "create_model_from",
    "has_identity_tensor_multiplier",
    "list_models",
    "normalization_of",
    "save_weights",
]
