"""From a float32 file to one that keeps its large weights as int8 and computes in float32."""

from __future__ import annotations

import numpy as np

from mnext_tf.tflite import flatbuffer

# Fewer weights than this stay float32: the first layers and most depthwise ones, whose rounding costs most. In a
# MobileNetV2 they are 3 % of the weights; rounding them as well takes 6.6 dB off the logits' signal over noise.
LEAST = 4096
_AXIS = {"CONV_2D": 0, "FULLY_CONNECTED": 0, "DEPTHWISE_CONV_2D": 3}  # of the output channels
_VERSION = 5  # of DEQUANTIZE, from which on channels may have scales of their own


def store_weights_as_int8(model: bytes, least: int = LEAST) -> bytes:
    """The float32 .tflite file `model` with int8 kernels of `least` weights or more, a scale for each output channel.

    A DEQUANTIZE makes each of them float32 again, which XNNPACK and TFLite's own kernel do once, before the first
    image; all else stays as it was.
    """
    tree = flatbuffer.read_model(model)
    graph = tree.subgraphs[0]
    made: dict[int, object] = {}  # tensor of a kernel -> the operator that gives it
    for op in graph.operators:
        axis = _AXIS.get(flatbuffer.operator_kind(tree, op))
        if axis is None or op.inputs[1] in made:
            continue
        kernel = graph.tensors[op.inputs[1]]
        if np.prod(kernel.shape) < least:
            continue
        ends = [_stored(tree, graph, kernel, axis)], [int(op.inputs[1])]
        made[op.inputs[1]] = flatbuffer.make_operator(tree, "DEQUANTIZE", *ends, version=_VERSION)
    graph.operators = [*made.values(), *graph.operators]
    return flatbuffer.write_model(tree)


def _stored(tree, graph, kernel, axis: int) -> int:
    """Index of a new int8 tensor with the content of `kernel`, which loses it."""
    from ai_edge_litert import schema_py_generated as schema

    values = np.frombuffer(bytes(tree.buffers[kernel.buffer].data), "<f4").reshape(kernel.shape)
    largest = np.abs(values).max(axis=tuple(i for i in range(values.ndim) if i != axis), keepdims=True)
    scale = np.where(largest > 0, largest / 127, 1).astype(np.float32)
    steps = schema.QuantizationParametersT()
    steps.scale, steps.zeroPoint, steps.quantizedDimension = scale.ravel().tolist(), [0] * scale.size, axis
    index = flatbuffer.add_tensor(graph, kernel.name + b"_int8", kernel.shape, schema.TensorType.INT8, steps)
    flatbuffer.set_content(tree, graph.tensors[index], np.rint(values / scale).astype(np.int8))
    if sum(tensor.buffer == kernel.buffer for tensor in graph.tensors) == 1:  # the converter joins equal ones
        tree.buffers[kernel.buffer].data = None
    kernel.buffer = 0
    return index
