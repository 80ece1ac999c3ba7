"""MobileNeXt, MobileNetV2, and MobileNetV1 in TensorFlow, from training to a verified TFLite file on a phone.

Importing this package does not import TensorFlow; what needs it does.
"""

from mnext_tf.api import benchmark, evaluate, export, import_checkpoint, load, train, verify
from mnext_tf.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    ExportError,
    MnextError,
    TrainingError,
    VerificationError,
)
from mnext_tf.inference.predictor import Predictor
from mnext_tf.models import create_model, list_models
from mnext_tf.runs.run import Run
from mnext_tf.version import __version__

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "ExportError",
    "MnextError",
    "Predictor",
    "Run",
    "TrainingError",
    "VerificationError",
    "__version__",
    "benchmark",
    "create_model",
    "evaluate",
    "export",
    "import_checkpoint",
    "list_models",
    "load",
    "train",
    "verify",
]


def _callable_packages() -> None:
    """`mnext_tf.export` and `mnext_tf.benchmark` are packages too, and importing those would replace the functions:
    the packages themselves can be called instead."""
    import importlib
    import types

    for name in ("benchmark", "export"):
        function, package = globals()[name], importlib.import_module(f"mnext_tf.{name}")
        package.__class__ = type(name, (types.ModuleType,), {"__call__": staticmethod(function)})
        globals()[name] = package


_callable_packages()
