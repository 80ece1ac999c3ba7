"""Zeros in the weights of a .tflite file's 1x1 convolutions, stored one by one or in TFLite's sparse encoding.

A weight tensor in that encoding has only what is not zero; an operator DENSIFY stands between it and its convolution.
XNNPACK unpacks it once, and takes the encoding as the hint to use its sparse kernels: a file that stores the zeros
themselves is computed by dense ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mnext_tf.tflite import flatbuffer

NEEDED = 2 / 3  # of the 1x1 weights: with fewer zeros XNNPACK stays with its dense kernels

_UNPACKING = ("DENSIFY", "DEQUANTIZE")


def zero_share(content: bytes) -> float:
    """The share of zeros in the weights of all 1x1 convolutions, grouped ones left out; 0 for a file without any."""
    tree = flatbuffer.read_model(content)
    zeros = total = 0
    for stored in _stored_weights(tree):
        size = int(np.prod(stored.shape))
        total += size
        zeros += size - np.count_nonzero(_values(tree, stored))
    return zeros / total if total else 0.0


def without_zeros(path: Path) -> bytes:
    """The file with small random numbers for the zeros of its 1x1 convolutions, all stored: for what zeros save.

    Of a file with float weights.
    """
    tree, rng = flatbuffer.read_model(Path(path).read_bytes()), np.random.default_rng(0)
    graph, unpacked = tree.subgraphs[0], _unpacked(path)
    weights = {id(tensor): _values(tree, tensor) for tensor in _stored_weights(tree) if tensor.sparsity is None}
    for i, tensor in enumerate(graph.tensors):
        values = unpacked.get(i, weights.get(id(tensor)))
        if values is None:
            continue
        filled = np.where(values == 0, rng.uniform(1e-4, 1e-3, values.shape), values).astype(values.dtype)
        flatbuffer.set_content(tree, tensor, filled)
    graph.operators = [op for op in graph.operators if flatbuffer.operator_kind(tree, op) != "DENSIFY"]
    return flatbuffer.write_model(tree)


def _stored_weights(tree) -> Iterator:
    """The tensors that hold the weights of the 1x1 convolutions, before they are unpacked."""
    graph = tree.subgraphs[0]
    made_by = {int(op.outputs[0]): op for op in graph.operators if flatbuffer.operator_kind(tree, op) in _UNPACKING}
    for op in graph.operators:
        if flatbuffer.operator_kind(tree, op) != "CONV_2D":
            continue
        index = int(op.inputs[1])
        _, height, width, channels = graph.tensors[index].shape
        if (height, width) != (1, 1) or channels != graph.tensors[op.inputs[0]].shape[-1]:
            continue
        while index in made_by:
            index = int(made_by[index].inputs[0])
        yield graph.tensors[index]


def _unpacked(path: Path) -> dict[int, np.ndarray]:
    """Tensor index -> values of what each DENSIFY gives."""
    from mnext_tf.tflite.operators import open_interpreter, operators

    interpreter = open_interpreter(path, delegate=False, keep_all=True)
    interpreter.invoke()
    found = [op.outputs[0] for op in operators(interpreter) if op.kind == "DENSIFY"]
    return {index: interpreter.get_tensor(index) for index in found}


def _values(tree, tensor) -> np.ndarray:
    """What a tensor of weights stores: all of them, or those that the sparse encoding keeps."""
    from ai_edge_litert import schema_py_generated as schema

    kind = schema.TensorType
    dtype = {kind.FLOAT32: "<f4", kind.FLOAT16: "<f2", kind.INT8: "i1"}[tensor.type]
    return np.frombuffer(bytes(tree.buffers[tensor.buffer].data), dtype)
