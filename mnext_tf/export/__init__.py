"""From a trained network to a verified TFLite file."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.naming import IO_TYPES, QUANTIZE, stage_name

__all__ = ["IO_TYPES", "QUANTIZE", "create_random_run", "export_tflite", "stage_name"]


def create_random_run(*args, **kwargs):
    """See `mnext_tf.training.random_weights.create_random_run`."""
    from mnext_tf.training.random_weights import create_random_run

    return create_random_run(*args, **kwargs)


def export_tflite(run, quantize: str = "float32", **kwargs) -> Path:
    """The verified .tflite file of a run, made with all it needs; see `mnext_tf.export.stages.tflite`."""
    from mnext_tf.export.stages import tflite

    stage = tflite(run, quantize, **kwargs)
    return stage.folder / stage.result["file"]
