"""MobileNeXt, MobileNetV2 and MobileNetV1 in TensorFlow, from training to a verified TFLite file on a phone.

Importing this package does not import TensorFlow; building a network does.
"""

from mnext_tf.models import create_model, list_models
from mnext_tf.version import __version__

__all__ = ["__version__", "create_model", "list_models"]
