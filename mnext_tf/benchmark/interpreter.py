"""A .tflite file ready to be run again and again through LiteRT, with XNNPACK as LiteRT applies it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from mnext_tf.errors import ExportError


class LiteRTRunner:
    """Builds the interpreter and allocates its tensors. ExportError where the file is missing or no model."""

    def __init__(self, file: Path, threads: int):
        try:
            self._interpreter = Interpreter(str(file), num_threads=threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as e:
            raise ExportError(
                f"{file} cannot be run: {e}. `python -m pipelines.export_tflite --force` makes a run's file again."
            ) from e

    def fill(self, seed: int) -> None:
        """Random pixels into the input: whole numbers of [0, 255], shifted to [-128, 127] for int8."""
        details = self._interpreter.get_input_details()[0]
        pixels = np.random.default_rng(seed).integers(0, 256, details["shape"])
        if details["dtype"] == np.int8:
            pixels -= 128
        self._interpreter.set_tensor(details["index"], pixels.astype(details["dtype"]))

    def invoke(self) -> None:
        self._interpreter.invoke()
