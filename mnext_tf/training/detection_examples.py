"""What a detector's training reads of a record."""

from __future__ import annotations

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
