"""Runs SavedModels and frozen graphs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import tensorflow as tf

from mnext_tf.errors import ExportError

INPUT = "image"  # node of the graph, and argument of the signature
OUTPUTS = (("logits",), ("class_logits", "box_regression"))  # nodes of a classifier, and of a detector


def output_names(names: Collection[str]) -> tuple[str, ...]:
    """Which of OUTPUTS are among `names`, in order; () where none are."""
    return next((outputs for outputs in OUTPUTS if set(outputs) <= set(names)), ())


def named(outputs, names: Sequence[str]) -> dict:
    """The outputs of a network, one tensor or a list, by their names."""
    return dict(zip(names, outputs if isinstance(outputs, list | tuple) else [outputs], strict=True))


def packed(outputs):
    """The outputs of a network, one tensor or several, as one: joined on the last axis."""
    return tf.concat(list(outputs), -1) if isinstance(outputs, list | tuple) else outputs


def load_frozen(path: Path, *, batch_size: int | None = None):
    """A concrete function from `image` to `logits`, or to a list of a detector's outputs, named by `output_names`.

    `batch_size` fixes the first dimension.

    Raises ExportError where the file is no frozen graph of ours.
    """
    graph = tf.compat.v1.GraphDef()
    try:
        graph.ParseFromString(Path(path).read_bytes())
    except Exception as e:  # protobuf's DecodeError has no public home
        raise ExportError(f"{path} is no frozen graph ({e}). python -m pipelines.freeze writes one.") from e
    nodes = {node.name for node in graph.node}
    outputs = output_names(nodes)
    if INPUT not in nodes or not outputs:
        raise ExportError(f"{path} has no nodes {INPUT!r} and 'logits'. python -m pipelines.freeze writes such a file.")
    for node in graph.node:  # swish has its own gradient: a process that knows it drops the signature on conversion
        node.attr.pop("_gradient_op_type", None)
    if batch_size:
        for node in graph.node:
            if node.name == INPUT:
                node.attr["shape"].shape.dim[0].size = batch_size
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    tensor = wrapped.graph.as_graph_element
    fetched = [tensor(f"{name}:0") for name in outputs]
    network = wrapped.prune(tensor(f"{INPUT}:0"), fetched if len(fetched) > 1 else fetched[0])
    network.input_shape, network.output_names = network.inputs[0].shape, outputs
    return network


def load_saved_model(folder: Path):
    """A function from float images (batch, size, size, 3) to what `load_frozen` gives."""
    loaded = tf.saved_model.load(str(folder))
    signature = loaded.signatures["serving_default"]
    names = output_names(signature.structured_outputs)
    if not names:
        raise ExportError(f"The signature of {folder} gives {', '.join(signature.structured_outputs)}, not 'logits'.")

    def network(images):
        given = signature(image=images)
        outputs = [given[name] for name in names]
        return outputs if len(outputs) > 1 else outputs[0]

    network.keep_alive = loaded  # the signature holds its variables weakly
    network.input_shape, network.output_names = signature.structured_input_signature[1][INPUT].shape, names
    return network
