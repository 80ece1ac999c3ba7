"""What an int8 .tflite file of ours rounds, read and written by the names of our layers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mnext_tf.errors import ConfigError
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.operators import layer_of

_SHARES_RANGE = ("PAD", "PADV2", "RESHAPE", "QUANTIZE", "CONCATENATION")  # output as (first) input
WITH_KERNEL = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_WITH_RANGE = (*WITH_KERNEL, "ADD", "MUL", "MEAN", "LOGISTIC")


def fused_names(kernel: str) -> tuple[str, ...]:
    """The layers, as far as there are such, that one operator computes with that of a kernel, in order."""
    return kernel, f"{kernel}_bn", f"{kernel}_relu6"


@dataclass
class LayerTensors:
    """The tensors of one layer: inputs and outputs of its operators, in order; weights and bias of a kernel."""

    kind: str = ""  # of the operator with the kernel
    inputs: list = field(default_factory=list)
    outputs: list = field(default_factory=list)
    weights: Any = None
    bias: Any = None


class Int8File:
    """A .tflite file as an object: its tensors by layer.

    layers: the names of the network's layers, in order of computation. Raises ConfigError for a file with an operator
    whose range is not known to belong to one of them.
    """

    def __init__(self, content: bytes, layers: Sequence[str]):
        from ai_edge_litert import schema_py_generated as schema

        self.tree = flatbuffer.read_model(content)
        self.graph = self.tree.subgraphs[0]
        self.uint8 = schema.TensorType.UINT8
        self.layers = defaultdict(LayerTensors)
        self.sharing = []  # (from, to): tensors whose range follows another's
        for op in self.graph.operators:
            kind = flatbuffer.operator_kind(self.tree, op)
            output = self.graph.tensors[op.outputs[0]]
            if kind in WITH_KERNEL and op.inputs[2] < 0:  # the converter leaves out a bias of zeros
                shape, steps = [int(output.shape[-1])], schema.QuantizationParametersT()
                bias = flatbuffer.add_tensor(self.graph, "bias", shape, schema.TensorType.INT32, steps)
                op.inputs = [*op.inputs[:2], bias]
            tensors = [self.graph.tensors[i] for i in op.inputs]
            if kind == "DEQUANTIZE" or (op.inputs[0] == self.graph.inputs[0] and kind == "QUANTIZE"):
                continue  # ends of files that take or give other types
            if kind in _SHARES_RANGE:
                self.sharing.append((tensors[0], output))
                continue
            name = layer_of(output.name.decode(), layers)
            if name is None and kind == "FULLY_CONNECTED":  # its output has a name of the signature
                name = layers[-1]
            if name is None or kind not in _WITH_RANGE:
                raise ConfigError(
                    f"The int8 file has an operator {kind} ({output.name.decode()[:60]}) whose range cannot be fitted. "
                    "Export it with --effort=fast."
                )
            entry = self.layers[name]
            entry.outputs.append(output)
            entry.inputs.append(tensors[0])
            if kind in WITH_KERNEL:
                entry.kind, entry.weights, entry.bias = kind, *tensors[1:]

    def ranges(self) -> dict[str, list[tuple[float, float]]]:
        """Of the outputs of each layer."""
        return {name: [_range(t) for t in entry.outputs] for name, entry in self.layers.items()}

    def set_range(self, name: str, which: int, low: float, high: float) -> None:
        """Of output number `which` of a layer; 0 becomes one of the 256 values, as `fake_quant` has it."""
        tensor = self.layers[name].outputs[which]
        scale = np.float32((high - low) / 255)
        zero = int(np.clip(np.rint(-128 - low / scale), -128, 127))
        tensor.quantization.scale, tensor.quantization.zeroPoint = [float(scale)], [zero]
        tensor.quantization.min = tensor.quantization.max = None

    def with_kernel(self, name: str) -> LayerTensors:
        """The tensors of a layer with a kernel. The file names an operator after the last layer that it computes."""
        return next(self.layers[n] for n in fused_names(name) if n in self.layers and self.layers[n].kind)

    def set_kernel(self, name: str, kernel: np.ndarray, scale: np.ndarray, bias: np.ndarray) -> None:
        """Weights in whole steps of `scale`, one for each output channel; after the range of the layer's input is set.

        `kernel` is as Keras has it.
        """
        entry = self.with_kernel(name)
        depthwise = entry.kind == "DEPTHWISE_CONV_2D"
        whole = np.rint(kernel / (scale[:, None] if depthwise else scale)).astype(np.int8)
        whole = np.moveaxis(whole, -1, 0)  # for depthwise, whose last axis is 1, too
        self._fill(entry.weights, whole, scale, axis=3 if depthwise else 0)
        steps = scale.astype(np.float64) * entry.inputs[0].quantization.scale[0]
        self._fill(entry.bias, np.rint(bias / steps).astype(np.int32), steps, axis=0)

    def _fill(self, tensor, values: np.ndarray, scale: np.ndarray, *, axis: int) -> None:
        flatbuffer.set_content(self.tree, tensor, values)
        q = tensor.quantization
        q.scale, q.zeroPoint, q.quantizedDimension = scale.tolist(), [0] * len(scale), axis
        q.min = q.max = None

    def kernel(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What `set_kernel` takes: (kernel, scale, bias) of a layer, float32, as the file holds them."""
        entry = self.with_kernel(name)
        whole = np.moveaxis(self._values(entry.weights, np.int8), 0, -1)
        bias = self._values(entry.bias, np.int32).astype(np.float64)
        scale = np.broadcast_to(np.float32(entry.weights.quantization.scale), bias.shape)
        kernel = whole * (scale[:, None] if entry.kind == "DEPTHWISE_CONV_2D" else scale)
        steps = scale.astype(np.float64) * entry.inputs[0].quantization.scale[0]
        return kernel.astype(np.float32), scale, (bias * steps).astype(np.float32)

    def _values(self, tensor, dtype) -> np.ndarray:
        data = self.tree.buffers[tensor.buffer].data
        return np.zeros(tensor.shape, dtype) if data is None else data.view(dtype).reshape(tensor.shape)

    def share_ranges(self) -> None:
        """Where an operator's output has the range of its input, give it that."""
        for source, target in self.sharing:
            target.quantization.scale = list(source.quantization.scale)
            shift = 128 if target.type == self.uint8 else 0
            target.quantization.zeroPoint = [int(zero) + shift for zero in source.quantization.zeroPoint]

    def content(self) -> bytes:
        return flatbuffer.write_model(self.tree)


def _range(tensor) -> tuple[float, float]:
    scale, zero = float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
    return (-128 - zero) * scale, (127 - zero) * scale


def write_twin(content: bytes, twin) -> bytes:
    """The int8 file `content` with ranges, weights, and biases of its twin."""
    from mnext_tf.compression.twin import kernels

    names = [layer.name for layer in twin.layers]
    file = Int8File(content, names)
    for layer in twin.layers:
        for i, (low, high) in enumerate(zip(getattr(layer, "low", ()), getattr(layer, "high", ()), strict=True)):
            file.set_range(layer.name, i, float(low.numpy()), float(high.numpy()))
    file.share_ranges()
    for layer in kernels(twin):
        file.set_kernel(layer.name, layer.rounded_kernel().numpy(), layer.scale.numpy(), layer.bias.numpy())
    return file.content()
