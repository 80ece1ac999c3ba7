"""From a file with logits to the one that an app takes: uint8 or float pixels in, probabilities out."""

from __future__ import annotations

from mnext_tf.errors import ExportError
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.ends import add_scores, in_float32, take_uint8

OUTPUT = "probabilities"


def add_softmax(model: bytes) -> bytes:
    """The .tflite file `model` with a float32 softmax behind its logits; an int8 input becomes uint8 pixels.

    The network itself stays byte for byte what it was. Raises ExportError for a file whose signature is not
    image -> logits.
    """
    tree = flatbuffer.read_model(model)
    graph, signatures = tree.subgraphs[0], tree.signatureDefs or []
    if len(signatures) != 1 or len(graph.outputs) != 1 or signatures[0].outputs[0].name != b"logits":
        raise ExportError("A softmax goes behind one output named logits; this file has another signature.")
    logits = graph.outputs[0]
    take_uint8(tree)
    probabilities = add_scores(tree, "SOFTMAX", in_float32(tree, logits, "logits_float32"), OUTPUT)
    graph.outputs, signatures[0].outputs[0].tensorIndex = [probabilities], probabilities
    signatures[0].outputs[0].name = OUTPUT
    return flatbuffer.write_model(tree)
