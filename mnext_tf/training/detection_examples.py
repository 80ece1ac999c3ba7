"""What a detector's training reads of a record, and the weights that it begins with."""

from __future__ import annotations

import math
import re

import numpy as np

from mnext_tf.data.box_augment import BoxAugment, train_example
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.tasks.detection_targets import match


def make_example(preprocess: Preprocess, augment: BoxAugment, priors):
    """What `data.detection_pipeline.train_batches` takes: from a record to an augmented image and its targets."""

    def example(encoded, boxes, labels, ignored, seed):
        boxes, labels = boxes[~ignored], labels[~ignored]
        image, boxes, labels = train_example(encoded, boxes, labels, preprocess, augment, seed)
        return image, match(boxes, labels, priors)

    return example


def expect_background(model, seed: int) -> None:
    """Make every score 0.01 at first, as for the focal loss (Lin et al. 2017, arXiv 1708.02002, section 4.1).

    Most priors have no object: from even scores, their loss would be hundreds of times that of the objects.
    """
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if re.fullmatch(r"head\d_class_pointwise", layer.name):
            kernel, bias = layer.get_weights()
            layer.set_weights([rng.normal(0, 0.01, kernel.shape), np.full(bias.shape, -math.log(99))])
