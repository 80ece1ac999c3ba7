"""Mixup (Zhang et al. 2017, arXiv 1710.09412) and CutMix (Yun et al. 2019, arXiv 1905.04899) of a batch, as in timm.

One draw is for a whole batch. Images 2k and 2k + 1 are mixed with each other, so that a batch that is divided into
parts of even size is mixed as it would be whole.
"""

from __future__ import annotations

import numpy as np

from mnext_tf.data.augment import Augment


def draw_mixes(augment: Augment, side: int, count: int, rng: np.random.Generator) -> np.ndarray:
    """What `mix` needs for `count` batches, float32 (count, 6): share of the own image, its weight outside the
    rectangle, and the rectangle (top, left, bottom, right), which comes from the other image.

    The share is Beta(alpha, alpha). Mixup: the weight is the share, and the rectangle is empty. CutMix: the weight is
    1, the rectangle has the aspect ratio of the image and is cut off at its edges, and the share is the area left.
    """
    cuts = rng.random(count) < 0.5 if augment.mixup and augment.cutmix else np.full(count, augment.cutmix > 0)
    blended, kept = (rng.beta(alpha or 1, alpha or 1, count) for alpha in (augment.mixup, augment.cutmix))
    half = (side * np.sqrt(1 - kept)).astype(int)[:, None] // 2
    middle = rng.integers(0, side, (count, 2))
    begin, end = np.clip(middle - half, 0, side), np.clip(middle + half, 0, side)
    area = np.prod(end - begin, 1) / side**2
    rows = np.column_stack([np.where(cuts, 1 - area, blended), np.where(cuts, 1, blended), begin, end])
    rows[~cuts, 2:] = 0
    return rows.astype(np.float32)


def mix(images, labels, draw, num_classes: int):
    """float32 (B, S, S, 3) and int32 (B,) to mixed images and targets, float32 (B, num_classes) that sum to 1.

    `draw`: a row of `draw_mixes`. The last image of an odd batch stays as it is.
    """
    import tensorflow as tf

    batch, side = images.shape[:2]
    partner = np.arange(batch) ^ 1
    partner[partner == batch] -= 1
    share, outside, top, left, bottom, right = tf.unstack(draw)
    place = tf.range(side, dtype=tf.float32)
    rows, columns = (place >= top) & (place < bottom), (place >= left) & (place < right)
    weight = tf.where(rows[:, None] & columns, 0.0, outside)[..., None]
    targets = tf.one_hot(labels, num_classes)
    # x + w (y - x): exact where an image is its own partner
    images += (1 - weight) * (tf.gather(images, partner) - images)
    return images, targets + (1 - share) * (tf.gather(targets, partner) - targets)
