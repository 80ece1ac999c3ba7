"""Where an exported network differs from the Keras network: layer by layer, and why."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np

from mnext_tf.errors import VerificationError
from mnext_tf.inference.tflite import dequantize_array, quantize_array
from mnext_tf.tflite.operators import layer_of, open_interpreter, operators

CHANNEL_FACTORS = "channel_factors.npz"  # beside a file that scales channels: by how much, by layer
NOISE_OF_SOUND_NETWORKS = 3e-5  # see `rounding_noise`; found 5e-6 after one epoch on digits


def layer_differences(model, path: Path, images: np.ndarray) -> list[dict]:
    """Error of each layer of a TFLite file against Keras, in order of computation.

    Args:
      model: the Keras network. path: the TFLite file. images: a few, float32 (n, size, size, 3).

    Returns:
      Rows of layer, operator and relative_error: the root mean square of the difference over that of
      the Keras layer's output (after batch norm and activation, which exporting fuses).
    """
    expected = _keras_outputs(model, images)
    factors = {_stem(name): factor for name, factor in channel_factors(path).items()}
    interpreter = open_interpreter(path, delegate=False, keep_all=True, threads=os.cpu_count() or 1)
    where = {}  # layer -> its last operator in the file
    for op in operators(interpreter):
        layer = layer_of(op.name, expected)
        if op.kind not in ("PAD", "PADV2", "QUANTIZE", "DEQUANTIZE", "DENSIFY", "RESHAPE") and layer:
            where[layer] = op
    if "logits" in expected:
        # the output takes the signature's name
        where["logits"] = [op for op in operators(interpreter) if op.kind != "SOFTMAX"][-1]
    details = {t["index"]: t for t in interpreter.get_tensor_details()}
    feed = interpreter.get_input_details()[0]
    actual = {layer: [] for layer in where}
    for image in images:
        interpreter.set_tensor(feed["index"], quantize_array(image, feed)[None])
        interpreter.invoke()
        for layer, op in where.items():
            tensor = interpreter.get_tensor(op.outputs[0])[0]
            actual[layer].append(dequantize_array(tensor, details[op.outputs[0]]))
    rows = []
    for layer, reference in expected.items():
        value = np.stack(actual[layer]) if layer in actual else None
        if value is None or value.size != reference.size:
            continue  # a layer that the file computes in parts
        value = value / factors.get(layer, 1.0)
        error = np.sqrt(np.mean((value.reshape(reference.shape) - reference) ** 2))
        scale = np.sqrt(np.mean(reference.astype(np.float64) ** 2))
        rows.append({"layer": layer, "operator": where[layer].kind, "relative_error": float(error / max(scale, 1e-30))})
    return rows


def channel_factors(path: Path) -> dict[str, np.ndarray]:
    """What a file multiplies the channels of each layer's output with, where its effort scales some."""
    if not (path.parent / CHANNEL_FACTORS).is_file():
        return {}
    with np.load(path.parent / CHANNEL_FACTORS) as factors:
        return dict(factors)


def rounding_noise(model, images: np.ndarray) -> float:
    """How far the Keras network's logits move, over the largest, when its weights change in their last digit."""
    from mnext_tf.inference.graphs import packed

    before = np.asarray(packed(model(images, training=False)))
    weights, rng = model.get_weights(), np.random.default_rng(0)
    model.set_weights([np.nextafter(w, rng.choice(np.array((-np.inf, np.inf), w.dtype), w.shape)) for w in weights])
    moved = np.abs(np.asarray(packed(model(images, training=False))) - before).max()
    model.set_weights(weights)
    return float(moved / max(np.abs(before).max(), 1e-30))


def worst_layer(rows: list[dict]) -> str:
    """In words: where the error grows most from one layer to the next."""
    if not rows:
        return "no layer of the file could be matched to the network"
    before = [0.0] + [row["relative_error"] for row in rows[:-1]]
    for i, row in enumerate(rows):
        if row["layer"].endswith("_se_scale"):  # its inputs: the branch of squeeze-excite, and what that started from
            before[i] = max(before[max(0, i - 3) : i + 1])
    i = max(range(len(rows)), key=lambda i: np.nan_to_num(rows[i]["relative_error"] - before[i], nan=np.inf))
    return (
        f"the error grows most at layer {rows[i]['layer']} ({rows[i]['operator']}): relative error "
        f"{before[i]:.2e} before it, {rows[i]['relative_error']:.2e} after it"
    )


def refuse(name: str, found: list[str], rows: list[dict] | None = None, noise: float = 0.0) -> None:
    """Raise VerificationError if anything was found; `rows` are those of `layer_differences`, `noise` that of
    `rounding_noise`."""
    if not found:
        return
    where = f" By layer, {worst_layer(rows)}." if rows is not None else ""
    why = ""
    if noise > NOISE_OF_SOUND_NETWORKS:
        why = (
            f" Keras' own logits move by {noise:.0e} when its weights change in their last digit, as they do after too "
            "few steps or too high a learning rate; train it longer."
        )
    elif any("max_accuracy_drop" in text or "min_agreement" in text for text in found):
        why = (
            " The network is undertrained or badly calibrated: export it again, int8 with effort=good, or with "
            "the first layers in float32 (keep_float=stem,block01), or with more calibration images that look like "
            "those it will see, or train it longer. If the loss is acceptable, allow more of it with the named bounds."
        )
    raise VerificationError(f"{name} is not the network it came from: {'; '.join(found)}.{where}{why}")


def _keras_outputs(model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Layer -> output, where `X` stands for `X`, `X_bn` and its activation, which exporting fuses."""
    import tensorflow as tf

    last = {}
    for layer in model.layers[1:]:
        if type(layer).__name__ not in ("ZeroPadding2D", "Dropout"):
            last[_stem(layer.name)] = layer.output
    outputs = tf.keras.Model(model.inputs, list(last.values()))(tf.convert_to_tensor(images), training=False)
    return {name: np.asarray(value) for name, value in zip(last, outputs, strict=True)}


def _stem(name: str) -> str:
    """The layer that a batch norm or an activation belongs to."""
    return re.sub(r"_(bn|relu6|swish|sigmoid)$", "", name)
