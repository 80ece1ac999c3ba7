"""Object detection: boxes with classes and scores, from the outputs of an SSDLite network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from mnext_tf.boxes import BESIDE_CLASSES, Detections, DetectionSettings
from mnext_tf.errors import ConfigError
from mnext_tf.tasks.binned_ap import binned_counts, mean_ap
from mnext_tf.tasks.classification import EXACT, FLOAT_TOLERANCE, allowed_operator, wilson_interval
from mnext_tf.tasks.detection_comparison import DetectionComparison, drop_interval
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.tflite.metadata import TensorInfo


class Detection:
    """Outputs are packed, float32 (n, priors, classes + 5): logits, background first, and the box regression.

    In training, labels are the targets of every prior, float32 (n, priors, 5); elsewhere the objects of an image,
    float32 (n, most, 6): x_min, y_min, x_max, y_max, label, ignored. Rows of label -1 that are not ignored are padding.

    priors: (priors, 4), center form. settings: how outputs become detections.
    """

    name: ClassVar[str] = "detection"
    metric: ClassVar[str] = "map50"
    metric_title: ClassVar[str] = "mAP50"
    agreement: ClassVar[str] = "same_boxes"
    agreement_title: ClassVar[str] = "same boxes"

    def __init__(self, priors: np.ndarray, settings: DetectionSettings):
        self.priors, self.settings = priors, settings

    def loss(self, model, recipe, class_weights: Sequence[float] | None = None):
        """A function of (targets, packed outputs) to the loss, for training. ConfigError for class weights."""
        from mnext_tf.tasks.detection_loss import detection_loss

        if class_weights is not None:
            raise ConfigError("class_balance=weights is for classifiers; detectors count all objects alike.")
        return detection_loss(self.settings.scoring, recipe.detection.empty_negatives if recipe else 0)

    def batch_metrics(self, objects, packed) -> dict:
        """Sums over a batch, as tensors, which may be added up over batches; `metrics` makes metrics of them."""
        import tensorflow as tf

        classes = packed.shape[-1] - BESIDE_CLASSES
        images = tf.cast(tf.shape(packed)[0], tf.float32)

        def counts(outputs, rows):
            outputs = outputs if np.isfinite(outputs).all() else np.zeros_like(outputs)  # the loss tells of it
            found = binned_counts(self.settings.detect(outputs, self.priors), rows, classes)
            return [found[name].astype(np.float32) for name in ("right", "wrong", "objects")]

        right, wrong, present = tf.numpy_function(counts, [packed, objects], [tf.float32] * 3)
        return {
            "images": images,
            "loss": images * self.loss(None, None)(self._targets(objects), packed),
            "right": right,
            "wrong": wrong,
            "objects": present,
        }

    def _targets(self, objects):
        import tensorflow as tf

        from mnext_tf.tasks.detection_targets import match

        def one(rows):
            real = rows[(rows[:, 4] >= 0) & (rows[:, 5] == 0)]
            return match(real[:, :4], tf.cast(real[:, 4], tf.int32), self.priors)

        return tf.map_fn(one, objects)

    def metrics(self, sums: dict[str, np.ndarray]) -> dict[str, float]:
        """loss, and map50: the mean over the classes with objects of the average precision at IoU 0.5."""
        return {"loss": float(sums["loss"]) / float(sums["images"]), "map50": mean_ap(sums)}

    def correct(self, targets, packed):
        """Images times the share of the priors with an object whose class is right, float32."""
        import tensorflow as tf

        wanted = tf.cast(targets[..., 0], tf.int32)
        first = 0 if self.settings.scoring == "softmax" else 1
        best = tf.argmax(packed[..., first:-4], -1, tf.int32) + first
        has_object = tf.cast(wanted > 0, tf.float32)
        right = tf.reduce_sum(has_object * tf.cast(tf.equal(best, wanted), tf.float32))
        share = tf.math.divide_no_nan(right, tf.reduce_sum(has_object))
        return share * tf.cast(tf.shape(packed)[0], tf.float32)

    def output_shape(self, num_classes: int) -> tuple[int, ...]:
        """Of what a network gives for an image."""
        return len(self.priors), num_classes + BESIDE_CLASSES

    def decode(self, outputs: np.ndarray, output: str = "logits") -> list[Detections]:
        """Packed outputs as the detections of each image."""
        return self.settings.detect(outputs, self.priors)

    def describe(self, decoded: Sequence[Detections], labels: Sequence[str], top: int | None = None) -> list[dict]:
        """For each image {detections: [{class, name, score, box: [x_min, y_min, x_max, y_max]}, ...]}, best first.

        Boxes are relative to the image; `top` detections at most, None: all.
        """
        return [
            {
                "detections": [
                    {"class": int(k), "name": labels[k], "score": float(score), "box": [float(x) for x in box]}
                    for box, score, k in zip(found.boxes[:top], found.scores[:top], found.labels[:top], strict=True)
                ]
            }
            for found in decoded
        ]

    def allows(self, operator: str, name: str) -> bool:
        """Whether an exported file may have this operator at the tensor `name`: no batch norm may be left over."""
        return allowed_operator(operator, name)

    def description(self, labels: Sequence[str]) -> str:
        """What a network of this task does, for the metadata of a file."""
        return f"Finds objects of {len(labels)} classes in an image"

    def output_info(self, output: str = "logits") -> list[TensorInfo]:
        """The outputs of a raw .tflite file, for its metadata."""
        return [
            TensorInfo("class_logits", "For each prior the logits of background and classes"),
            TensorInfo("box_regression", "For each prior dx, dy, dw, dh"),
        ]

    def comparison(self, output: str = "logits") -> DetectionComparison:
        """To be filled batch by batch with packed outputs and those of the Keras network."""
        return DetectionComparison(self, output)

    def bounds(self, precision: str, tolerance: Tolerance, *, trained: bool) -> dict[str, float]:
        """What is required of a form of a network, by name; see `Classification.bounds`."""
        bounds = {}
        if precision in EXACT or precision == "float16" or not trained:
            limit = FLOAT_TOLERANCE.get(precision, tolerance.max_untrained_difference)
            bounds["max_relative_difference"] = limit
        if trained and precision not in EXACT:  # theirs differ where suppression has to choose between equal scores
            bounds |= {"max_accuracy_drop": tolerance.max_accuracy_drop, "min_agreement": tolerance.min_agreement}
        return bounds

    def failures(self, measured: dict, reference: dict, bounds: dict[str, float]) -> list[str]:
        """What is wrong with a form of a network, in words; empty if nothing is.

        Args:
          measured, reference: results of `DetectionComparison`, of this form and of the Keras network.
        """
        found, difference = [], measured["max_relative_difference"]
        if difference is None:  # a file of detections alone
            difference = 0.0
        if not np.isfinite(difference):
            return ["its outputs are not numbers"]
        if difference > (limit := bounds.get("max_relative_difference", np.inf)):
            found.append(f"its outputs differ by {difference:.2g} of the largest, allowed {limit:g}")
        if "max_accuracy_drop" in bounds and reference["map50"] is not None:
            drop = 100 * (reference["map50"] - measured["map50"])
            half = 100 * drop_interval(measured, reference)
            if drop > bounds["max_accuracy_drop"] + 1e-9 and drop > half:
                found.append(
                    f"its mAP50 is {100 * measured['map50']:.2f} %, {drop:.2f} points (95 % interval +- {half:.2f}) "
                    f"below {100 * reference['map50']:.2f} %, allowed {bounds['max_accuracy_drop']:g} "
                    "(max_accuracy_drop)"
                )
        required = bounds.get("min_agreement", 0.0)
        if measured["boxes"] and measured["same_boxes"] < required:
            low, high = wilson_interval(measured["same_boxes"], measured["boxes"])
            if high < required:
                found.append(
                    f"it finds {100 * measured['same_boxes']:.1f} % of the Keras network's {measured['boxes']} boxes "
                    f"(95 % interval {100 * low:.1f} to {100 * high:.1f}), at least {100 * required:g} % is required "
                    "(min_agreement)"
                )
        return found
