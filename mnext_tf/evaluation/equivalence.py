"""Is the exported network still the same network? Logits, decisions and layers, side by side."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from scipy.special import log_softmax

from mnext_tf.errors import VerificationError
from mnext_tf.evaluation.tolerance import Tolerance
from mnext_tf.inference.tflite import dequantize_array, quantize_array
from mnext_tf.tflite.operators import layer_of, open_interpreter, operators

# Largest difference of logits over largest logit. float16 weights carry 11 bits, which costs a MobileNetV2 with real
# weights 2.3e-2 on its worst of 80 photographs; its decisions are checked as those of a quantized network are.
FLOAT_TOLERANCE = {"saved_model": 1e-4, "frozen": 1e-4, "float32": 1e-4, "float16": 5e-2}

NOISE_OF_SOUND_NETWORKS = 3e-5  # see `rounding_noise`; found 5e-6 after one epoch on digits


def compare(outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray | None, *, gives: str = "logits") -> dict:
    """Numbers that compare outputs (images, classes) with the reference's logits for the same images.

    gives: logits or probabilities; the latter are compared as logarithms, with those of the reference's softmax.
    accuracy (None without labels) and top1_agreement are shares in 0..1; max_relative_difference is the
    largest difference over the largest reference value.
    """
    if gives == "probabilities":
        floor = -60  # below it float32's smallest numbers are not far
        outputs = np.log(np.maximum(outputs.astype(np.float64), np.exp(floor)))
        reference = np.maximum(log_softmax(reference.astype(np.float64), axis=1), floor)
    difference = np.abs(outputs.astype(np.float64) - reference)
    return {
        "accuracy": None if labels is None else float((outputs.argmax(1) == labels).mean()),
        "top1_agreement": float((outputs.argmax(1) == reference.argmax(1)).mean()),
        "max_abs_difference": float(difference.max()),
        "max_relative_difference": float(difference.max() / max(np.abs(reference).max(), 1e-30)),
    }


def failures(kind: str, measured: dict, reference: dict, tolerance: Tolerance, *, trained: bool) -> list[str]:
    """What is wrong with a network of `kind` (a stage or a quantization), in words; empty if nothing is."""
    found = []
    if not np.isfinite(measured["max_abs_difference"]):
        return ["its logits are not numbers"]
    if kind in FLOAT_TOLERANCE:
        if measured["max_relative_difference"] > FLOAT_TOLERANCE[kind]:
            found.append(
                f"its logits differ by {measured['max_relative_difference']:.2e} of the largest logit, "
                f"allowed {FLOAT_TOLERANCE[kind]:.0e}"
            )
    elif not trained and measured["max_relative_difference"] > tolerance.max_untrained_difference:
        found.append(
            f"its logits differ by {measured['max_relative_difference']:.2f} of the largest logit, "
            f"allowed {tolerance.max_untrained_difference} untrained"
        )
    if not trained or kind in ("saved_model", "frozen", "float32"):
        return found
    labelled = reference["accuracy"] is not None
    drop = 100 * (reference["accuracy"] - measured["accuracy"]) if labelled else 0.0
    if drop > tolerance.max_accuracy_drop + 1e-9:
        found.append(
            f"its accuracy is {100 * measured['accuracy']:.2f} %, {drop:.2f} points below "
            f"{100 * reference['accuracy']:.2f} %, allowed {tolerance.max_accuracy_drop:g} (--max_accuracy_drop)"
        )
    if measured["top1_agreement"] < tolerance.min_agreement:
        found.append(
            f"it agrees on {100 * measured['top1_agreement']:.1f} % of the images, "
            f"at least {100 * tolerance.min_agreement:g} % is asked (--min_agreement)"
        )
    return found


def layer_differences(model, path: Path, images: np.ndarray) -> list[dict]:
    """Error of each layer of a TFLite file against Keras, in order of computation.

    Args:
      model: the Keras network. path: the TFLite file. images: a few, float32 (n, size, size, 3).

    Returns:
      Rows of layer, operator and relative_error: the root mean square of the difference over that of
      the Keras layer's output (after batch norm and activation, which exporting fuses).
    """
    expected = _keras_outputs(model, images)
    interpreter = open_interpreter(path, delegate=False, keep_all=True, threads=os.cpu_count() or 1)
    where = {}  # layer -> its last operator in the file
    for op in operators(interpreter):
        layer = layer_of(op.name, expected)
        if op.kind not in ("PAD", "PADV2", "QUANTIZE", "DEQUANTIZE", "RESHAPE") and layer:
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
        error = np.sqrt(np.mean((value.reshape(reference.shape) - reference) ** 2))
        scale = np.sqrt(np.mean(reference.astype(np.float64) ** 2))
        rows.append({"layer": layer, "operator": where[layer].kind, "relative_error": float(error / max(scale, 1e-30))})
    return rows


def rounding_noise(model, images: np.ndarray) -> float:
    """How far the Keras network's own logits move, over the largest, when its weights change in their last digit."""
    before = np.asarray(model(images, training=False))
    weights, rng = model.get_weights(), np.random.default_rng(0)
    model.set_weights([np.nextafter(w, rng.choice(np.array((-np.inf, np.inf), w.dtype), w.shape)) for w in weights])
    moved = np.abs(np.asarray(model(images, training=False)) - before).max()
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
        f"it goes wrong at layer {rows[i]['layer']} ({rows[i]['operator']}): relative error "
        f"{before[i]:.2e} before it, {rows[i]['relative_error']:.2e} after it"
    )


def refuse(name: str, found: list[str], rows: list[dict] | None = None, noise: float = 0.0) -> None:
    """Raise VerificationError if anything was found; `noise` is that of `rounding_noise`."""
    if found:
        where = f" By layers, {worst_layer(rows)}." if rows is not None else ""
        why = (
            f" Keras' own logits move by {noise:.0e} when its weights change in their last digit, as they do after too "
            "few steps or too high a learning rate; train it longer."
        )
        raise VerificationError(
            f"{name} is not the network it came from: {'; '.join(found)}.{where}"
            f"{why if noise > NOISE_OF_SOUND_NETWORKS else ''} No file was kept."
        )


def _keras_outputs(model, images: np.ndarray) -> dict[str, np.ndarray]:
    """Layer -> output, where `X` stands for `X`, `X_bn` and its activation, which exporting fuses."""
    import tensorflow as tf

    last = {}
    for layer in model.layers[1:]:
        if type(layer).__name__ not in ("ZeroPadding2D", "Dropout"):
            last[re.sub(r"_(bn|relu6|swish|sigmoid)$", "", layer.name)] = layer.output
    outputs = tf.keras.Model(model.inputs, list(last.values()))(tf.convert_to_tensor(images), training=False)
    return {name: np.asarray(value) for name, value in zip(last, outputs, strict=True)}
