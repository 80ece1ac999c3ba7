"""MobileNeXt, MobileNetV2, and MobileNetV1 in TensorFlow, from training to a verified TFLite file on a phone.

Importing this package imports nothing else; each name below is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from mnext_tf.version import __version__

if TYPE_CHECKING:
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
    from mnext_tf.models import create_detector, create_model, list_models
    from mnext_tf.runs.run import Run

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
    "create_detector",
    "create_model",
    "evaluate",
    "export",
    "import_checkpoint",
    "list_models",
    "load",
    "train",
    "verify",
]

_HOMES = {  # module -> what it offers here; `export` and `benchmark` are packages that can be called
    "mnext_tf.api": ("evaluate", "import_checkpoint", "load", "train", "verify"),
    "mnext_tf.errors": tuple(name for name in __all__ if name.endswith("Error")),
    "mnext_tf.inference.predictor": ("Predictor",),
    "mnext_tf.models": ("create_detector", "create_model", "list_models"),
    "mnext_tf.runs.run": ("Run",),
}


def __getattr__(name: str):
    if name in ("benchmark", "export"):
        return importlib.import_module(f"mnext_tf.{name}")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(module), name)
    raise AttributeError(f"module 'mnext_tf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
