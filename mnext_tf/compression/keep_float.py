"""Some layers of an int8 file in float32: those whose rounding costs most."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from mnext_tf.compression.int8_file import WITH_KERNEL, fused_names
from mnext_tf.errors import ConfigError
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.operators import Operator, layer_of

Weights = Mapping[str, tuple[np.ndarray, np.ndarray]]  # kernel and bias by layer, batch norms folded, as Keras has them
IMAGES = 40  # on which `rounding_costs` is measured
_FLOAT = "/float32"  # ends the names of what the layers here compute


def kernel_layers(network) -> list[str]:
    """The names of the layers that can be kept, in order of computation."""
    return [layer.name for layer in network.layers if hasattr(layer, "kernel")]


def named_layers(names: str, allowed: Sequence[str]) -> list[str]:
    """Those of `allowed` that begin with one of `names`, "a,b". Raises ConfigError for one that none begins with."""
    starts = [name for name in map(str.strip, names.split(",")) if name]
    for start in starts:
        if not any(layer.startswith(start) for layer in allowed):
            raise ConfigError(
                f"keep_float={start!r} fits no layer with a kernel. Use the names of such layers, or starts of them: "
                f"{', '.join(allowed)}."
            )
    return [layer for layer in allowed if layer.startswith(tuple(starts))]


def rounding_costs(twin, images: np.ndarray, progress: Callable = lambda layers: layers) -> dict[str, float]:
    """By layer with a kernel: squared error of the logits over their square, where it alone is rounded."""
    from mnext_tf.compression.effects import Effects
    from mnext_tf.compression.twin import kernels

    effects = Effects(twin, images[:IMAGES])
    return {layer.name: effects.noise(layer) for layer in progress(kernels(twin))}


def keep_float(content: bytes, weights: Weights, layers: Sequence[str]) -> bytes:
    """The int8 .tflite file `content`, whose layers of `weights` compute in float32 with those.

    Their inputs are dequantized and their outputs quantized as the file has them, but not between two of them.

    layers: the names of all layers of the network, in order of computation. Raises ConfigError for a layer that the
    file does not compute in one operator.
    """
    from ai_edge_litert import schema_py_generated as schema

    tree = flatbuffer.read_model(content)
    graph, kind = tree.subgraphs[0], schema.TensorType
    kept = _operators_of(tree, weights, layers)
    integer = {int(i) for op in graph.operators if id(op) not in kept for i in op.inputs} | set(graph.outputs)
    floats: dict[int, int] = {}  # int8 tensor -> the same as float32
    ordered = []
    for op in graph.operators:
        if id(op) not in kept:
            ordered.append(op)
            continue
        layer = kept[id(op)]
        taken, made = int(op.inputs[0]), int(op.outputs[0])
        if taken not in floats:
            shape = graph.tensors[taken].shape
            floats[taken] = flatbuffer.add_tensor(graph, f"{layer}{_FLOAT}_input", shape, kind.FLOAT32)
            ordered.append(flatbuffer.make_operator(tree, "DEQUANTIZE", [taken], [floats[taken]], version=2))
        op.inputs = [floats[taken], *_store(tree, op, *weights[layer])]
        ordered.append(op)
        if made in integer:
            shape = graph.tensors[made].shape
            floats[made] = flatbuffer.add_tensor(graph, layer + _FLOAT, shape, kind.FLOAT32)
            op.outputs = [floats[made]]
            ordered.append(flatbuffer.make_operator(tree, "QUANTIZE", [floats[made]], [made]))
        else:
            floats[made], tensor = made, graph.tensors[made]
            tensor.name, tensor.type, tensor.quantization = layer + _FLOAT, kind.FLOAT32, None
    graph.operators = ordered
    return flatbuffer.write_model(tree)


def kept_operators(ops: Sequence[Operator], layers: Collection[str]) -> set[int]:
    """Which of a file's operators, by number, `keep_float` makes float32, and those that convert for these alone."""
    names = {layer + _FLOAT for layer in layers}
    kept = {
        i
        for i, op in enumerate(ops)
        if op.kind in WITH_KERNEL and op.name in names and set(op.input_types + op.output_types) == {"float32"}
    }
    made = {ops[i].outputs[0] for i in kept}
    others = {tensor for i, op in enumerate(ops) if i not in kept for tensor in op.inputs}
    taken = {ops[i].inputs[0] for i in kept} - others
    return kept | {
        i
        for i, op in enumerate(ops)
        if (op.kind == "DEQUANTIZE" and op.outputs[0] in taken) or (op.kind == "QUANTIZE" and made & set(op.inputs))
    }


def _operators_of(tree, weights: Weights, layers: Sequence[str]) -> dict[int, str]:
    """id of an operator -> its layer in `weights`"""
    graph, found = tree.subgraphs[0], {}
    for op in graph.operators:
        kind = flatbuffer.operator_kind(tree, op)
        name = layer_of(graph.tensors[op.outputs[0]].name.decode(), layers)
        if name is None and kind == "FULLY_CONNECTED":  # its output has a name of the signature
            name = layers[-1]
        layer = next((layer for layer in weights if name in fused_names(layer)), None)
        if kind in WITH_KERNEL and layer:
            found[id(op)] = layer
    computed = list(found.values())
    if other := [layer for layer in weights if computed.count(layer) != 1]:
        raise ConfigError(
            f"keep_float: the int8 file does not compute {', '.join(other)} in one operator. Leave it out."
        )
    return found


def _store(tree, op, kernel: np.ndarray, bias: np.ndarray) -> list[int]:
    """The tensors of an operator's weights and bias, with these values as float32."""
    shape = tree.subgraphs[0].tensors[op.inputs[1]].shape
    values = np.moveaxis(kernel, -1, 0).reshape(shape)  # for depthwise kernels, whose last axis is 1, too
    return [_constant(tree, int(op.inputs[1]), values), _constant(tree, int(op.inputs[2]), bias)]


def _constant(tree, index: int, values: np.ndarray) -> int:
    """The tensor with float32 `values`: `index`, or a new one where others take that as well, or it is below 0."""
    from ai_edge_litert import schema_py_generated as schema

    graph = tree.subgraphs[0]
    if index < 0 or sum(int(i) == index for op in graph.operators for i in op.inputs) > 1:
        index = flatbuffer.add_tensor(graph, "float_bias", values.shape, schema.TensorType.FLOAT32)
    tensor = graph.tensors[index]
    tensor.type, tensor.shape, tensor.quantization = schema.TensorType.FLOAT32, list(values.shape), None
    flatbuffer.set_content(tree, tensor, values.astype("<f4"))
    return index
