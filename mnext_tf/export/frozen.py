"""SavedModel to one GraphDef with the variables as constants."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from mnext_tf.inference.graphs import INPUT


def write_frozen(saved_model: Path, path: Path) -> int:
    """Freeze the SavedModel's signature into `path` (.pb) with nodes named as its input and outputs.

    Returns the number of nodes.
    """
    # The public way to this function is inside the TFLite converter only.
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    loaded = tf.saved_model.load(str(saved_model))
    signature = loaded.signatures["serving_default"]
    frozen = convert_variables_to_constants_v2(signature)
    graph = frozen.graph.as_graph_def()
    _rename(graph, frozen.inputs[0].op.name, INPUT)
    for name, output in zip(sorted(signature.structured_outputs), frozen.outputs, strict=True):
        _rename(graph, output.op.name, name)
    Path(path).write_bytes(graph.SerializeToString())
    return len(graph.node)


def _rename(graph, old: str, new: str) -> None:
    if old == new:
        return
    for node in graph.node:
        if node.name == old:
            node.name = new
        for i, name in enumerate(node.input):
            if name.split(":")[0].lstrip("^") == old:
                node.input[i] = name.replace(old, new, 1)
