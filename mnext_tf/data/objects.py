"""What is in an image: the record that all sources of detection data give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image."""

    boxes: np.ndarray  # float32 (n, 4), relative
    labels: np.ndarray  # int32 (n,); -1: a region to ignore (KITTI's DontCare)
    difficult: np.ndarray  # bool (n,) (VOC)
    crowd: np.ndarray  # bool (n,) (COCO)
    area: np.ndarray  # float32 (n,), pixels of the original image
    truncation: np.ndarray  # float32 (n,), 0..1 (KITTI)
    occlusion: np.ndarray  # int32 (n,), 0..3 (KITTI)

    @property
    def ignored(self) -> np.ndarray:
        """bool (n,): left out of training, and neither right nor wrong in evaluation."""
        return self.difficult | self.crowd | (self.labels < 0)


@dataclass(frozen=True, eq=False)
class Truth:
    """An image's name, its size in pixels, and its objects."""

    name: str
    width: int
    height: int
    objects: Objects
