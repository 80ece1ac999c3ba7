"""How good a detector is: average precision as the benchmarks define it, tables, and pictures of its mistakes.

Importing this package does not import TensorFlow.
"""

from mnext_tf.evaluation.detection.evaluate import METRICS, evaluate_detections

__all__ = ["METRICS", "evaluate_detections"]
