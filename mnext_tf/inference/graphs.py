"""Runs SavedModels and frozen graphs."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from mnext_tf.errors import ExportError

INPUT, OUTPUT = "image", "logits"  # nodes of the graph


def load_frozen(path: Path, *, batch_size: int | None = None):
    """A concrete function from `image` to `logits`; `batch_size` fixes the first dimension.

    Raises ExportError where the file is no frozen graph of ours.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(Path(path).read_bytes())
    except Exception as e:  # protobuf's DecodeError has no public home
        raise ExportError(f"{path} is no frozen graph ({e}). python -m pipelines.freeze writes one.") from e
    if not {INPUT, OUTPUT} <= {node.name for node in graph.node}:
        raise ExportError(
            f"{path} has no nodes {INPUT!r} and {OUTPUT!r}. python -m pipelines.freeze writes such a file."
        )
    for node in graph.node:  # swish has its own gradient: a process that knows it drops the signature on conversion
        node.attr.pop("_gradient_op_type", None)
    if batch_size:
        for node in graph.node:
            if node.name == INPUT:
                node.attr["shape"].shape.dim[0].size = batch_size
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    tensor = wrapped.graph.as_graph_element
    logits = wrapped.prune(tensor(f"{INPUT}:0"), tensor(f"{OUTPUT}:0"))
    logits.input_shape = logits.inputs[0].shape
    return logits


def load_saved_model(folder: Path):
    """A function from float images (batch, size, size, 3) to logits as a tensor."""
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]

    def logits(images):
        return signature(image=images)[OUTPUT]

    logits.keep_alive = loaded  # the signature holds its variables weakly
    logits.input_shape = signature.structured_input_signature[1][INPUT].shape
    return logits
