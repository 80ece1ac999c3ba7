"""How far the operators of an int8 file are from its twin's layers, each on the same input, in steps of its output.

Over a whole network the two drift apart: a value that one of them rounds the other way changes others behind it, and
after fifty layers the difference is as large as all rounding errors together. Layer by layer it is a step at most.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mnext_tf.compression.int8_file import Int8File, fused_names
from mnext_tf.compression.twin import kernels
from mnext_tf.errors import ExportError
from mnext_tf.inference.tflite import dequantize_array, quantize_array
from mnext_tf.tflite.operators import open_interpreter

ALLOWED = 2.0  # steps: one by either side's rounding


def layer_steps(content: bytes, twin, images: np.ndarray) -> dict[str, float]:
    """The largest difference of each layer with a kernel on images (n, size, size, 3), by name."""
    by_name = {layer.name: layer for layer in twin.layers}
    file = Int8File(content, list(by_name))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.tflite"
        path.write_bytes(content)
        interpreter = open_interpreter(path, delegate=False, keep_all=True)
    details = {t["name"]: t for t in interpreter.get_tensor_details()}
    feed, found = interpreter.get_input_details()[0], {}

    def value(tensor) -> np.ndarray:
        about = details[tensor.name.decode()]
        return dequantize_array(interpreter.get_tensor(about["index"]), about)

    for image in images:
        interpreter.set_tensor(feed["index"], quantize_array(image, feed)[None])
        interpreter.invoke()
        for layer in kernels(twin):
            entry = file.with_kernel(layer.name)
            wanted, y = value(entry.outputs[0]), value(entry.inputs[0])
            for name in fused_names(layer.name):
                if name in by_name:
                    y = by_name[name](y, training=False)
            step = entry.outputs[0].quantization.scale[0]
            steps = float(np.abs(np.reshape(y, wanted.shape) - wanted).max() / step)
            found[layer.name] = max(steps, found.get(layer.name, 0.0))
    return found


def check_steps(content: bytes, twin, images: np.ndarray) -> float:
    """The largest of `layer_steps`; ExportError where it is more than rounding explains."""
    found = layer_steps(content, twin, images)
    worst = max(found, key=found.get)
    if not found[worst] <= ALLOWED:
        raise ExportError(
            f"The int8 file is not what was fitted: layer {worst} differs by {found[worst]:.1f} steps on equal input; "
            f"{ALLOWED:g} are allowed. This is an error of mnext_tf; --effort=fast does without."
        )
    return found[worst]
