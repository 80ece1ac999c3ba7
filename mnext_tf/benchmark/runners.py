"""A .tflite file ready to run repeatedly through LiteRT, on the CPU or on the GPU."""

from __future__ import annotations

from pathlib import Path

import ai_edge_litert.interpreter  # noqa: F401  so that no measured initialization imports it
import numpy as np

from mnext_tf.errors import ExportError
from mnext_tf.tflite.operators import open_interpreter


def make_runner(case) -> CpuRunner | GpuRunner:
    """The runner of a `timing.Case`."""
    if case.delegate == "cpu":
        return CpuRunner(case.file, case.threads)
    return GpuRunner(case.file)


class CpuRunner:
    """An interpreter, with XNNPACK as LiteRT applies it. ExportError where the file is missing or damaged."""

    def __init__(self, file: Path, threads: int):
        self._interpreter = open_interpreter(file, threads=threads)

    def fill(self, seed: int) -> None:
        """Random pixels into the input: whole numbers of [0, 255], shifted to [-128, 127] for int8."""
        details = self._interpreter.get_input_details()[0]
        self._interpreter.set_tensor(details["index"], random_pixels(details, seed))

    def invoke(self) -> None:
        self._interpreter.invoke()

    def output(self) -> np.ndarray:
        """The output of the last inference, in the file's data type."""
        return self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])


class GpuRunner:
    """The file compiled for the GPU alone, in half precision where the adapter has it, as on phones.

    Raises ExportError where not all of the file runs on the GPU: nothing falls back to the CPU.
    """

    def __init__(self, file: Path):
        from ai_edge_litert.compiled_model import CompiledModel, HardwareAccelerator

        details = open_interpreter(file)
        self._input, self._output = details.get_input_details()[0], details.get_output_details()[0]
        try:
            self._model = CompiledModel.from_file(str(file), HardwareAccelerator.GPU)
            whole = self._model.is_fully_accelerated()
            self._inputs, self._outputs = self._model.create_input_buffers(0), self._model.create_output_buffers(0)
        except (ValueError, RuntimeError) as e:
            said = str(e).splitlines()[-1].lstrip("└ ").split(". ")[0].rstrip(".")  # without advice for programmers
            raise ExportError(f"{file} does not run on the GPU: {said}.") from e
        if not whole:
            raise ExportError(f"{file} does not run on the GPU: LiteRT leaves a part of it to the CPU.")

    def fill(self, seed: int) -> None:
        """As `CpuRunner.fill`."""
        self._pixels = random_pixels(self._input, seed)

    def invoke(self) -> None:
        """From pixels to logits in the host's memory. The call that starts the GPU returns early; only reading
        the output waits for all of the work."""
        self._inputs[0].write(self._pixels)
        self._model.run_by_index(0, self._inputs, self._outputs)
        self._read = self._outputs[0].read(int(np.prod(self._output["shape"])), self._output["dtype"])

    def output(self) -> np.ndarray:
        """As `CpuRunner.output`."""
        return self._read.reshape(self._output["shape"])


def random_pixels(details: dict, seed: int) -> np.ndarray:
    """Whole numbers of [0, 255] in the shape and data type of an input, shifted to [-128, 127] for int8."""
    pixels = np.random.default_rng(seed).integers(0, 256, details["shape"])
    if details["dtype"] == np.int8:
        pixels -= 128
    return pixels.astype(details["dtype"])
