"""Image classification: one label per image; logits, or probabilities, per class."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.tflite.metadata import TensorInfo

# Largest difference of logits over the largest logit. float16 weights carry 11 bits, which costs a MobileNetV2 with
# real weights 2.3e-2 on its worst of 80 images; its top-1 is checked as that of a quantized network is.
FLOAT_TOLERANCE = {"saved_model": 1e-4, "frozen": 1e-4, "float32": 1e-4, "float16": 5e-2}
EXACT = ("saved_model", "frozen", "float32")
_FLOOR = -60.0  # of the logarithm of a probability: below it float32's smallest numbers are near
_Z = 1.96  # two-sided 95 %

# Layers that multiply or add, by the ends of their names, which is where a converter leaves such an operator
_ARITHMETIC = {
    "MUL": "normalize|_identity_mask|_swish|_se_scale",
    "ADD": "normalize|_add|_partial_sum",
    "SUB": "normalize",
}


class Classification:
    """Outputs are (n, classes) logits unless a file's last operator is a softmax."""

    name: ClassVar[str] = "classification"
    metric: ClassVar[str] = "accuracy"  # what networks are compared by, in `metrics` and in results of `Comparison`
    metric_title: ClassVar[str] = "accuracy"
    agreement: ClassVar[str] = "top1_agreement"  # in results of `Comparison`
    agreement_title: ClassVar[str] = "same top-1"

    def loss(self, model, recipe, class_weights: Sequence[float] | None = None):
        """A function of (labels, logits (n, classes)) to the mean loss, for training `model` by `recipe`.

        Labels are (n,) classes or, after mixup, (n, classes) shares. `class_weights` multiply the losses of the images
        of a class.
        """
        import tensorflow as tf

        num_classes, label_smoothing = model.output_shape[-1], recipe.label_smoothing

        # Keras's own mean is divided by the number of devices
        cross_entropy = tf.keras.losses.CategoricalCrossentropy(True, label_smoothing=label_smoothing, reduction="none")

        def loss(labels, logits):
            if len(labels.shape) == 2:
                return tf.reduce_mean(cross_entropy(labels, logits))
            losses = cross_entropy(tf.one_hot(labels, num_classes), logits)
            if class_weights is not None:
                losses *= tf.gather(tf.constant(class_weights, tf.float32), labels)
            return tf.reduce_mean(losses)

        return loss

    def distillation(self, logits, teacher, temperature: float):
        """Mean cross-entropy of the softened outputs with the teacher's, times the squared temperature."""
        import tensorflow as tf

        soft = tf.nn.softmax(teacher / temperature)
        losses = tf.nn.softmax_cross_entropy_with_logits(soft, logits / temperature)
        return temperature**2 * tf.reduce_mean(losses)

    def batch_metrics(self, labels, logits) -> dict:
        """Sums over a batch, as tensors, which may be added up over batches; `metrics` makes metrics of them."""
        import tensorflow as tf

        classes = logits.shape[-1]
        top1 = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        right = tf.cast(tf.equal(top1, labels), tf.float32)
        top5 = tf.math.in_top_k(labels, logits, min(5, classes))

        def count(which, weights=None):
            return tf.math.bincount(which, weights, minlength=classes, maxlength=classes, dtype=tf.float32)

        return {
            "images": tf.cast(tf.size(labels), tf.float32),
            "loss": tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)),
            "correct": tf.reduce_sum(right),
            "in_top5": tf.reduce_sum(tf.cast(top5, tf.float32)),
            "right_of_class": count(labels, right),
            "of_class": count(labels),
            "predicted": count(top1),
        }

    def metrics(self, sums: dict[str, np.ndarray]) -> dict[str, float]:
        """loss (without smoothing), accuracy, top5_accuracy (of more than 5 classes), and macro_f1, each in 0..1.

        macro_f1 is the mean over the classes that occur among the labels or the predictions.
        """
        images = float(sums["images"])
        occurs = np.asarray(sums["of_class"] + sums["predicted"], np.float64)
        f1 = 2 * np.asarray(sums["right_of_class"], np.float64)[occurs > 0] / occurs[occurs > 0]
        found = {"loss": float(sums["loss"]) / images, "accuracy": float(sums["correct"]) / images}
        if len(occurs) > 5:
            found["top5_accuracy"] = float(sums["in_top5"]) / images
        return {**found, "macro_f1": float(f1.mean())}

    def correct(self, labels, logits):
        """Number of images whose top-1 is the label, or the larger share of a mixed one, float32."""
        import tensorflow as tf

        if len(labels.shape) == 2:
            labels = tf.argmax(labels, axis=-1, output_type=tf.int32)
        top1 = tf.argmax(logits, axis=-1, output_type=labels.dtype)
        return tf.reduce_sum(tf.cast(tf.equal(top1, labels), tf.float32))

    def output_shape(self, num_classes: int) -> tuple[int, ...]:
        """Of what a network gives for an image."""
        return (num_classes,)

    def decode(self, outputs: np.ndarray, output: str = "logits") -> np.ndarray:
        """Outputs (n, classes) as probabilities, float64."""
        from scipy.special import softmax

        return outputs.astype(np.float64) if output == "probabilities" else softmax(outputs.astype(np.float64), axis=1)

    def describe(self, decoded: np.ndarray, labels: Sequence[str], top: int | None = None) -> list[dict]:
        """For each image of what `decode` gave {predictions: [{class, name, probability}, ...]}, most likely first.

        `top` classes, None: 5.
        """
        order = np.argsort(-decoded, axis=1, kind="stable")[:, : 5 if top is None else top]
        return [
            {"predictions": [{"class": int(c), "name": labels[c], "probability": float(p[c])} for c in classes]}
            for classes, p in zip(order, decoded, strict=True)
        ]

    def allows(self, operator: str, name: str) -> bool:
        """Whether an exported file may have this operator at the tensor `name`: no batch norm may be left over."""
        return allowed_operator(operator, name)

    def description(self, labels: Sequence[str]) -> str:
        """What a network of this task does, for the metadata of a file."""
        return f"Classifies an image as one of {len(labels)} classes"

    def output_info(self, output: str) -> list[TensorInfo]:
        """The outputs of a .tflite file, for its metadata."""
        bounds = (0.0, 1.0) if output == "probabilities" else None
        return [TensorInfo(output, f"{output.capitalize()} of the classes", bounds, labeled=True)]

    def comparison(self, output: str = "logits") -> Comparison:
        """To be filled batch by batch with outputs of this kind and the Keras logits."""
        return Comparison(output)

    def compare(self, outputs: np.ndarray, reference: np.ndarray, labels=None, *, output: str = "logits") -> dict:
        """`Comparison` of one batch."""
        comparison = self.comparison(output)
        comparison.update(outputs, reference, labels)
        return comparison.result()

    def bounds(self, precision: str, tolerance: Tolerance, *, trained: bool) -> dict[str, float]:
        """What is required of a form of a network, by name.

        Args:
          precision: one of `PRECISIONS`, "saved_model", or "frozen". trained: False asks for no accuracy.
        """
        bounds = {}
        if precision in FLOAT_TOLERANCE or not trained:
            limit = FLOAT_TOLERANCE.get(precision, tolerance.max_untrained_difference)
            bounds["max_relative_difference"] = limit
        if trained and precision not in EXACT:
            bounds |= {"max_accuracy_drop": tolerance.max_accuracy_drop, "min_agreement": tolerance.min_agreement}
        return bounds

    def failures(self, measured: dict, reference: dict, bounds: dict[str, float]) -> list[str]:
        """What is wrong with a form of a network, in words; empty if nothing is.

        Args:
          measured, reference: results of `Comparison`, of this form and of the Keras network.
        """
        if not np.isfinite(measured["max_abs_difference"]):
            return ["its logits are not numbers"]
        found, difference = [], measured["max_relative_difference"]
        limit = bounds.get("max_relative_difference", math.inf)
        if difference > limit:
            found.append(f"its logits differ by {difference:.2g} of the largest logit, allowed {limit:g}")
        if "max_accuracy_drop" in bounds and reference["accuracy"] is not None:
            found += _accuracy_failure(measured, reference, bounds["max_accuracy_drop"])
        if "min_agreement" in bounds:
            found += _agreement_failure(measured, bounds["min_agreement"])
        return found


def allowed_operator(operator: str, name: str) -> bool:
    """Whether no batch norm is left over in this operator at the tensor `name` of an exported file."""
    layers = _ARITHMETIC.get(operator)
    return layers is None or bool(re.search(rf"({layers})(_\d+)?(/|;|$)", name))


class Comparison:
    """Accumulates, batch by batch, how the outputs of a form of a network differ from those of the Keras network.

    output: "logits" or "probabilities"; the latter are compared as logarithms with those of the reference's softmax.
    """

    def __init__(self, output: str = "logits"):
        self._output = output
        self._images = self._correct = self._same = self._lost = self._gained = 0
        self._difference = self._largest = 0.0
        self._labeled = True

    def update(self, outputs: np.ndarray, reference: np.ndarray, labels: np.ndarray | None) -> None:
        """outputs, reference (the Keras logits): (n, classes); labels: (n,), or None where there are none."""
        top1, expected = outputs.argmax(1), reference.argmax(1)
        if self._output == "probabilities":
            from scipy.special import log_softmax

            outputs = np.log(np.maximum(outputs.astype(np.float64), math.exp(_FLOOR)))
            reference = np.maximum(log_softmax(reference.astype(np.float64), axis=1), _FLOOR)
        difference = np.abs(outputs.astype(np.float64) - reference).max()
        self._difference = float(np.maximum(self._difference, difference))  # NaN stays
        self._largest = max(self._largest, float(np.abs(reference).max()))
        self._images += len(top1)
        self._same += int((top1 == expected).sum())
        self._labeled = self._labeled and labels is not None
        if labels is not None:
            right, was_right = top1 == labels, expected == labels
            self._correct += int(right.sum())
            self._lost += int((was_right & ~right).sum())
            self._gained += int((right & ~was_right).sum())

    def result(self) -> dict:
        """accuracy (None without labels) and top1_agreement are in 0..1; max_relative_difference is over the largest
        reference value; lost and gained count images that only the reference, or only this form, gets right."""
        return {
            "images": self._images,
            "accuracy": self._correct / self._images if self._labeled else None,
            "top1_agreement": self._same / self._images,
            "max_abs_difference": self._difference,
            "max_relative_difference": self._difference / max(self._largest, 1e-30),
            "lost": self._lost if self._labeled else None,
            "gained": self._gained if self._labeled else None,
        }


def _accuracy_failure(measured: dict, reference: dict, allowed: float) -> list[str]:
    """A drop above the allowed one counts where its 95 % interval leaves out that there is none at all."""
    drop = 100 * (reference["accuracy"] - measured["accuracy"])
    low, high = accuracy_drop_interval(measured)
    if drop <= allowed + 1e-9 or low <= 0:
        return []
    return [
        f"its accuracy is {100 * measured['accuracy']:.2f} %, {drop:.2f} points below "
        f"{100 * reference['accuracy']:.2f} % (95 % interval {low:.2f} to {high:.2f} on {measured['images']} images), "
        f"allowed {allowed:g} (max_accuracy_drop)"
    ]


def _agreement_failure(measured: dict, required: float) -> list[str]:
    """A low agreement counts where its 95 % interval leaves out what is required."""
    agreement, images = measured["top1_agreement"], measured["images"]
    low, high = wilson_interval(agreement, images)
    if high >= required or agreement >= required:
        return []
    return [
        f"its top-1 agrees on {100 * agreement:.1f} % of the images (95 % interval {100 * low:.1f} to {100 * high:.1f} "
        f"on {images}), at least {100 * required:g} % is required (min_agreement)"
    ]


def accuracy_drop_interval(measured: dict, confidence: float = 0.95) -> tuple[float, float]:
    """Interval of a drop in percentage points, paired on the same images.

    Of the images on which just one of the two networks is right, the number of lost ones is binomial (McNemar); the
    interval of its share is Clopper and Pearson's, which is exact.
    """
    from scipy.special import betaincinv

    lost, gained, n = measured["lost"], measured["gained"], measured["images"]
    tail = (1 - confidence) / 2
    low = float(betaincinv(lost, gained + 1, tail)) if lost else 0.0
    high = float(betaincinv(lost + 1, gained, 1 - tail)) if gained else 1.0
    return tuple(100 * (2 * share - 1) * (lost + gained) / n for share in (low, high))


def mcnemar_p(lost: int, gained: int) -> float:
    """McNemar's exact test, two-sided: how probable counts this uneven, or more, are of equally accurate networks."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(lost, gained), lost + gained, 0.5)))


def wilson_interval(share: float, n: int, z: float = _Z) -> tuple[float, float]:
    """Wilson's 95 % interval of a share measured on n images: what another sample of that size might give."""
    center = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, center - half), min(1.0, center + half)
