"""From a file with logits to the one that an app takes: uint8 or float pixels in, probabilities out."""

from __future__ import annotations

from mnext_tf.errors import ExportError
from mnext_tf.tflite import flatbuffer

OUTPUT = "probabilities"


def add_softmax(model: bytes) -> bytes:
    """The .tflite file `model` with a float32 softmax behind its logits; an int8 input becomes uint8 pixels.

    The network itself stays byte for byte what it was. Raises ExportError for a file whose signature is not
    image -> logits.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = flatbuffer.read_model(model)
    graph, signatures = tree.subgraphs[0], tree.signatureDefs or []
    if len(signatures) != 1 or len(graph.outputs) != 1 or signatures[0].outputs[0].name != b"logits":
        raise ExportError("A softmax goes behind one output named logits; this file has another signature.")
    kind = schema.TensorType
    image, logits = graph.inputs[0], graph.outputs[0]
    if graph.tensors[image].type == kind.INT8:
        taken = graph.tensors[image].quantization
        shifted = _quantization(schema, float(taken.scale[0]), int(taken.zeroPoint[0]) + 128)
        pixels = flatbuffer.add_tensor(graph, "image_uint8", graph.tensors[image].shape, kind.UINT8, shifted)
        graph.operators.insert(0, flatbuffer.make_operator(tree, "QUANTIZE", [pixels], [image]))
        graph.inputs, signatures[0].inputs[0].tensorIndex = [pixels], pixels
    if graph.tensors[logits].type != kind.FLOAT32:
        shape = graph.tensors[logits].shape
        version = 2 if graph.tensors[logits].type == kind.INT8 else 1
        real = flatbuffer.add_tensor(graph, "logits_float32", shape, kind.FLOAT32)
        graph.operators.append(flatbuffer.make_operator(tree, "DEQUANTIZE", [logits], [real], version=version))
        logits = real
    probabilities = flatbuffer.add_tensor(graph, OUTPUT, graph.tensors[logits].shape, kind.FLOAT32)
    softmax = flatbuffer.make_operator(tree, "SOFTMAX", [logits], [probabilities])
    softmax.builtinOptionsType, softmax.builtinOptions = schema.BuiltinOptions.SoftmaxOptions, schema.SoftmaxOptionsT()
    softmax.builtinOptions.beta = 1.0
    graph.operators.append(softmax)
    graph.outputs, signatures[0].outputs[0].tensorIndex = [probabilities], probabilities
    signatures[0].outputs[0].name = OUTPUT
    return flatbuffer.write_model(tree)


def _quantization(schema, scale: float, zero_point: int):
    quantization = schema.QuantizationParametersT()
    quantization.scale, quantization.zeroPoint = [scale], [zero_point]
    return quantization
