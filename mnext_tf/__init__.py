"""MobileNeXt and its rivals in TensorFlow, from training to a verified TFLite file on a phone.

Importing this package does not import TensorFlow; building a network does.
"""

__version__ = "0.1.0"

from mnext_tf.models import create_model, list_models

__all__ = ["__version__", "create_model", "list_models"]
