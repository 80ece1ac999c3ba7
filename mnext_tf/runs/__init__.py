"""Run folders: configuration, stages, weights and data of a network. Importing this does not import TensorFlow."""

from mnext_tf.runs.run import Run, create_run, latest_run, list_runs, open_run
from mnext_tf.runs.stages import StageResult, is_current, run_stage
from mnext_tf.runs.weights import load_network, require_weights

__all__ = [
    "Run",
    "StageResult",
    "create_run",
    "is_current",
    "latest_run",
    "list_runs",
    "load_network",
    "open_run",
    "require_weights",
    "run_stage",
]
