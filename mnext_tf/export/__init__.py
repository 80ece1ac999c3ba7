"""From a trained network to verified files: SavedModel, frozen graph, TFLite, and what an app needs."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.callable_package import make_callable


def export_tflite(run, precision: str = "float32", **options) -> Path:
    """The verified .tflite file of a run, made with all it needs; see `mnext_tf.export.stages.tflite`."""
    from mnext_tf.export.stages import tflite

    stage = tflite(run, precision, **options)
    return stage.folder / stage.result["file"]


make_callable(__name__)
