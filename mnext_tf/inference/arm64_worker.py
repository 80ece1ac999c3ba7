"""Runs under qemu, in the ARM64 Python of environments/arm64.sh: images in, tensors out, through pipes.

arm64_worker.py SITE_FOLDER FILE.tflite TENSOR...

Writes one line of JSON about itself; then, for every input tensor that it reads as raw bytes, the raw bytes
of the tensors that are named by index, or the processor's seconds for "seconds".
"""

import json
import os
import platform
import sys
import time
from pathlib import Path


def main(site: str, file: str, *tensors: str) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints must not stand between the answers
    sys.path[:0] = [site, str(Path(__file__).parents[2])]
    import importlib.metadata

    import numpy as np

    from mnext_tf.tflite.operators import delegation, open_interpreter

    interpreter = open_interpreter(Path(file), quiet=False)  # its first words say that XNNPACK took the graph
    found = delegation(Path(file))
    about = {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "litert": importlib.metadata.version("ai-edge-litert"),
        "nodes_total": found.nodes_total,
        "nodes_delegated": found.nodes_delegated,
    }
    answers.write(json.dumps(about).encode() + b"\n")
    answers.flush()

    feed = interpreter.get_input_details()[0]
    size = int(np.prod(feed["shape"])) * np.dtype(feed["dtype"]).itemsize
    while len(image := sys.stdin.buffer.read(size)) == size:
        interpreter.set_tensor(feed["index"], np.frombuffer(image, feed["dtype"]).reshape(feed["shape"]))
        started = time.process_time()
        interpreter.invoke()
        seconds = np.float64(time.process_time() - started)
        for index in tensors:
            answers.write((seconds if index == "seconds" else interpreter.get_tensor(int(index))).tobytes())
        answers.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
