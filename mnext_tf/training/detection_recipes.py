"""Recipes of SSDLite detectors, published ones and one for a few hundred images. `recipes` adds them to its own."""

from __future__ import annotations

from mnext_tf.training.detection_recipe import UNUSED, DetectionRecipe
from mnext_tf.training.recipe import Recipe


def _detector(detection: DetectionRecipe, **changes) -> Recipe:
    """As both published recipes have it: SGD, with all weights decayed."""
    fields = {
        "input_size": 320,
        "cooldown_epochs": 0,
        "nesterov": False,
        "decay_all": True,
        "interpolation": "bilinear",
        "monitor": "val_map50",
        "detection": detection,
    }
    return Recipe(**UNUSED | fields | changes)


def ssdlite_voc() -> Recipe:
    """SSDLite on Pascal VOC 2007 and 2012 trainval: mAP 72.6 on VOC 2007 test with mnext, 71.8 with mobilenet_v2.

    Source: mobilenext_ssd320_voc0712.yaml of the authors' detection code: 240,000 steps of 24 images, warm-up of 500
    from a third, a tenth after 160,000 and 200,000. With 16,551 images, 348 epochs are 239,772 steps, and the rate
    falls after 159,848 and 199,810. Their run.sh starts it on four GPUs: as many images, 96 a step, at four times the
    rate.

    python -m pipelines.train --recipe=ssdlite_voc --data_dir=VOC --init=runs/mnext-imported
    """
    return _detector(
        DetectionRecipe(),
        schedule="step",
        epochs=348,
        warmup_epochs=0.726,
        decay_begin=174.0,
        decay_epochs=58.0,
        decay_rate=0.1,
        batch_size=24,
        reference_batch_size=24,
        learning_rate=1e-3,
        warmup_learning_rate=1e-3 / 3,
        final_learning_rate=1e-5,
        weight_decay=5e-4,
    )


def ssdlite_coco() -> Recipe:
    """SSDLite on COCO train2017: box AP 23.3 on val2017 with mnext, 22.3 with mobilenet_v2.

    Source: mobilenext_ssd320_coco.yaml of the authors' detection code: 1,600,000 / 8 steps on eight GPUs of 32 images.
    The rate is that of its README; its train.py multiplies it by the number of GPUs. With 118,287 images, 433 epochs
    are 200,046 steps. Their warm-up of 500 steps is a factor on a cosine that has begun.

    python -m pipelines.train --recipe=ssdlite_coco --data_dir=COCO --init=runs/mnext-imported --distribute=mirrored
    """
    return _detector(
        DetectionRecipe(priors="coco", scoring="sigmoid", score_threshold=0.05, iou_threshold=0.5),
        epochs=433,
        warmup_epochs=1.08,
        batch_size=256,
        reference_batch_size=256,
        learning_rate=1e-2,
        warmup_learning_rate=1e-2 / 3,
        final_learning_rate=1e-6,
        weight_decay=4e-5,
        sync_batch_norm=True,
    )


def finetune_detector() -> Recipe:
    """SSDLite on a few hundred images of your own, from weights trained on ImageNet: AdamW, gentle changes of color.

    python -m pipelines.train --recipe=finetune_detector --data_dir=VOC --init=runs/mobilenet_v2-imported
    """
    return _detector(
        DetectionRecipe(empty_negatives=10, distortion=0.5, swap_channels=0.0, expand_ratio_max=2.0, crop_side_min=0.5),
        epochs=40,
        warmup_epochs=2,
        cooldown_epochs=2,
        batch_size=8,
        reference_batch_size=8,
        learning_rate=2e-3,
        optimizer="adamw",
        epsilon=1e-8,
        weight_decay=0.05,
        decay_all=False,
        backbone_learning_rate=0.5,
        ema_decay=0.99,
    )


def scenes() -> Recipe:
    """For the embedded scenes of digits: a detector from random weights in about ten minutes on a laptop.

    python -m pipelines.train --task=detection
    """
    return _detector(
        DetectionRecipe(distortion=0.3, swap_channels=0.0, expand=0.0, crop_side_min=0.6),
        input_size=128,
        width=0.5,
        epochs=40,
        warmup_epochs=2,
        cooldown_epochs=2,
        batch_size=16,
        reference_batch_size=16,
        learning_rate=0.05,
        warmup_learning_rate=1e-3,
        nesterov=True,
        weight_decay=1e-4,
        decay_all=False,
        ema_decay=0.99,
        flip=False,
    )


DETECTION_RECIPES = (ssdlite_voc, ssdlite_coco, finetune_detector, scenes)
