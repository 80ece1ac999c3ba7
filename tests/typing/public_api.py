"""Checked by mypy, never run: what an editor knows about the public API."""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np

import mnext_tf

run = mnext_tf.train("photos", model="mnext", epochs=3)
assert_type(run, mnext_tf.Run)
assert_type(run.folder, Path)
assert_type(run.config.model.num_classes, int)
assert_type(mnext_tf.import_checkpoint("weights.pth"), mnext_tf.Run)
assert_type(mnext_tf.export(run, "int8"), Path)
assert_type(mnext_tf.list_models(), list[str])

with mnext_tf.load(Path("file.tflite")) as network:
    assert_type(network, mnext_tf.Predictor)
    assert_type(network.labels, tuple[str, ...])
    assert_type(network.preprocess.input_size, int)
    probabilities = network.predict(np.zeros((1, 32, 32, 3), np.uint8))

mnext_tf.load(3)  # type: ignore[arg-type]
mnext_tf.export(run, precision=8)  # type: ignore[arg-type]
