"""From a detector's file with class logits and box regression to those that an app takes: MediaPipe's two forms.

The network itself stays byte for byte what it was. An int8 image becomes uint8 pixels, and all outputs are float32.
"""

from __future__ import annotations

import numpy as np

from mnext_tf.errors import ExportError
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.detector import CATEGORY, COUNT, LOCATION, POSTPROCESS, SCORE, Decoding, order_outputs, outputs_of
from mnext_tf.tflite.ends import add_scores, in_float32, take_uint8

_YXHW = [1, 0, 3, 2]  # of columns x, y, w, h
_KINDS = {"softmax": "SOFTMAX", "sigmoid": "LOGISTIC"}


def two_outputs(model: bytes, decoding: Decoding) -> bytes:
    """The raw file `model` with `location` (1, P, 4), dy, dx, dh, dw, and `score` (1, P, C), without the background.

    Scores are from 0 to 1, by the operators that phones compute fastest: every one is for GPUs, too. Raises ExportError
    for a file with other outputs.
    """
    tree, logits, boxes = _opened(model)
    location = _reordered(tree, boxes)
    if decoding.scoring == "softmax":  # over all columns; a sigmoid has no need of the background's
        score = _foreground(tree, add_scores(tree, _KINDS["softmax"], logits, "probabilities"), SCORE)
    else:
        score = add_scores(tree, _KINDS["sigmoid"], _foreground(tree, logits, "foreground"), SCORE)
    return _closed(tree, {LOCATION: location, SCORE: score})


def four_outputs(model: bytes, decoding: Decoding, priors: np.ndarray) -> bytes:
    """The raw file `model` with the boxes of an image, suppressed per class, by a custom operator for the CPU.

    `location` (1, N, 4) as y_min, x_min, y_max, x_max, from 0 to 1; `category` (1, N) from 0; `score` (1, N), best
    first; and `number of detections` (1,), all float32; N is the most of `decoding`. priors: (P, 4), center form.
    Raises ExportError for a file with other outputs.
    """
    from ai_edge_litert.schema_py_generated import TensorType

    tree, logits, boxes = _opened(model)
    graph = tree.subgraphs[0]
    location = _reordered(tree, boxes)
    scores = add_scores(tree, _KINDS[decoding.scoring], logits, "probabilities")
    count, classes = graph.tensors[logits].shape[1:]
    if np.shape(priors) != (count, 4):
        raise ExportError(f"The file has {count} boxes; received priors of shape {np.shape(priors)}.")
    anchors = _constant(tree, "priors", np.asarray(priors, np.float32)[:, _YXHW])
    most = decoding.max_detections
    shapes = {LOCATION: [1, most, 4], CATEGORY: [1, most], SCORE: [1, most], COUNT: [1]}
    made = {name: flatbuffer.add_tensor(graph, name, shape, TensorType.FLOAT32) for name, shape in shapes.items()}
    # MediaPipe moves a box that begins left of the image or above it into the image, whole; so none does.
    whole = flatbuffer.add_tensor(graph, "whole_boxes", shapes[LOCATION], TensorType.FLOAT32)
    found = [whole, made[CATEGORY], made[SCORE], made[COUNT]]
    operator = flatbuffer.make_operator(tree, POSTPROCESS, [location, scores, anchors], found, custom=True)
    operator.customOptions = np.frombuffer(_options(decoding, int(classes) - 1), np.uint8)
    graph.operators.append(operator)
    graph.operators.append(flatbuffer.make_operator(tree, "RELU_0_TO_1", [whole], [made[LOCATION]]))
    return _closed(tree, made)


def _options(decoding: Decoding, classes: int) -> bytes:
    """What the operator reads. Of the scores it takes the last `classes` columns, so it passes over the background."""
    from flatbuffers import flexbuffers

    centers, sizes = decoding.scales
    builder = flexbuffers.Builder()
    with builder.Map():
        builder.Int("max_detections", decoding.max_detections)
        builder.Int("max_classes_per_detection", 1)
        builder.Int("detections_per_class", decoding.max_detections)
        builder.Bool("use_regular_nms", True)  # per class; the fast one keeps one class a box
        builder.Float("nms_score_threshold", decoding.score_threshold)
        builder.Float("nms_iou_threshold", decoding.iou_threshold)
        builder.Int("num_classes", classes)
        for name, scale in (("y", centers), ("x", centers), ("h", sizes), ("w", sizes)):
            builder.Float(f"{name}_scale", scale)
    return bytes(builder.Finish())


def _opened(model: bytes):
    """(tree, logits, boxes): the tree takes pixels, and both tensors are float32."""
    tree = flatbuffer.read_model(model)
    logits, boxes = (int(tree.subgraphs[0].outputs[i]) for i in order_outputs(outputs_of(tree)))
    take_uint8(tree)
    return tree, in_float32(tree, logits, "logits_float32"), in_float32(tree, boxes, "boxes_float32")


def _closed(tree, outputs: dict[str, int]) -> bytes:
    from ai_edge_litert.schema_py_generated import TensorMapT

    tree.subgraphs[0].outputs = [*outputs.values()]
    for signature in tree.signatureDefs or []:
        signature.outputs = []
        for name, index in outputs.items():
            end = TensorMapT()
            end.name, end.tensorIndex = name, index
            signature.outputs.append(end)
    return flatbuffer.write_model(tree)


def _reordered(tree, boxes: int) -> int:
    """dx, dy, dw, dh to dy, dx, dh, dw: by a matrix of zeros and ones, which is exact.

    XNNPACK has no GATHER, and slices and their concatenation would be five operators.
    """
    from ai_edge_litert import schema_py_generated as schema

    graph = tree.subgraphs[0]
    matrix = _constant(tree, "to_yxhw", np.eye(4, dtype=np.float32)[_YXHW])
    location = flatbuffer.add_tensor(graph, LOCATION, graph.tensors[boxes].shape, schema.TensorType.FLOAT32)
    operator = flatbuffer.make_operator(tree, "FULLY_CONNECTED", [boxes, matrix, -1], [location], version=5)
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()
    operator.builtinOptions.keepNumDims = True
    graph.operators.append(operator)
    return location


def _foreground(tree, scores: int, name: str) -> int:
    """All columns but the first."""
    from ai_edge_litert import schema_py_generated as schema

    graph = tree.subgraphs[0]
    shape = [int(n) for n in graph.tensors[scores].shape]
    size = [*shape[:2], shape[2] - 1]
    ends = [_constant(tree, f"{name}_{end}", np.int32(v)) for end, v in (("begin", [0, 0, 1]), ("size", size))]
    sliced = flatbuffer.add_tensor(graph, name, size, schema.TensorType.FLOAT32)
    operator = flatbuffer.make_operator(tree, "SLICE", [scores, *ends], [sliced])
    operator.builtinOptionsType, operator.builtinOptions = schema.BuiltinOptions.SliceOptions, schema.SliceOptionsT()
    graph.operators.append(operator)
    return sliced


def _constant(tree, name: str, values: np.ndarray) -> int:
    from ai_edge_litert.schema_py_generated import TensorType

    kind = TensorType.INT32 if values.dtype == np.int32 else TensorType.FLOAT32
    index = flatbuffer.add_tensor(tree.subgraphs[0], name, list(values.shape), kind)
    flatbuffer.set_content(tree, tree.subgraphs[0].tensors[index], values)
    return index
