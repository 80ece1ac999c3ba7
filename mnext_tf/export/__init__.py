"""From a trained network to verified files: SavedModel, frozen graph, TFLite, and what an app needs."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.callable_package import make_callable


def export_tflite(run, precision: str = "float32", *, output: str = "logits", **options) -> Path:
    """The verified .tflite file of a run, made with all it needs; see `mnext_tf.export.stages.tflite`.

    output: "logits", or a form for apps: see `mnext_tf.export.app_assets.for_apps`.
    """
    from mnext_tf.export import app_assets, stages

    if output == "logits":
        stage = stages.tflite(run, precision, **options)
    else:
        stage = app_assets.for_apps(run, precision, output=output, **options)
    return stage.folder / stage.result["file"]


make_callable(__name__)
