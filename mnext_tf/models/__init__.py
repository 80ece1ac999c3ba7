"""The networks: `create_model`, `list_models`, and what each costs."""

from mnext_tf.models.registry import check_model_arguments, create_model, create_model_from, describe_model, list_models

__all__ = ["check_model_arguments", "create_model", "create_model_from", "describe_model", "list_models"]
