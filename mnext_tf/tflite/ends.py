"""The ends of a file as an app wants them: uint8 or float pixels in, float32 out. The network itself stays as it is."""

from __future__ import annotations

from mnext_tf.tflite import flatbuffer


def take_uint8(tree) -> None:
    """An int8 image of the `ModelT` tree becomes uint8 pixels; a float one stays."""
    from ai_edge_litert import schema_py_generated as schema

    graph, kind = tree.subgraphs[0], schema.TensorType
    image = graph.inputs[0]
    if graph.tensors[image].type != kind.INT8:
        return
    taken, shifted = graph.tensors[image].quantization, schema.QuantizationParametersT()
    shifted.scale, shifted.zeroPoint = [float(taken.scale[0])], [int(taken.zeroPoint[0]) + 128]
    pixels = flatbuffer.add_tensor(graph, "image_uint8", graph.tensors[image].shape, kind.UINT8, shifted)
    graph.operators.insert(0, flatbuffer.make_operator(tree, "QUANTIZE", [pixels], [image]))
    graph.inputs = [pixels]
    for signature in tree.signatureDefs or []:
        signature.inputs[0].tensorIndex = pixels


def in_float32(tree, tensor: int, name: str) -> int:
    """The index of a tensor of the `ModelT` tree as float32: itself, or a new one of that name behind it."""
    from ai_edge_litert import schema_py_generated as schema

    graph, kind = tree.subgraphs[0], schema.TensorType
    given = graph.tensors[tensor]
    if given.type == kind.FLOAT32:
        return tensor
    real = flatbuffer.add_tensor(graph, name, given.shape, kind.FLOAT32)
    version = 2 if given.type == kind.INT8 else 1
    graph.operators.append(flatbuffer.make_operator(tree, "DEQUANTIZE", [tensor], [real], version=version))
    return real


def add_scores(tree, kind: str, logits: int, name: str) -> int:
    """The index of a new tensor: the "SOFTMAX" over the last axis of `logits`, float32, or their "LOGISTIC"."""
    from ai_edge_litert import schema_py_generated as schema

    graph = tree.subgraphs[0]
    scores = flatbuffer.add_tensor(graph, name, graph.tensors[logits].shape, schema.TensorType.FLOAT32)
    operator = flatbuffer.make_operator(tree, kind, [logits], [scores])
    if kind == "SOFTMAX":
        operator.builtinOptionsType = schema.BuiltinOptions.SoftmaxOptions
        operator.builtinOptions = schema.SoftmaxOptionsT()
        operator.builtinOptions.beta = 1.0
    graph.operators.append(operator)
    return scores
