"""Which images a detector is evaluated on."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mnext_tf.evaluation.detection.evaluate_networks import truths_for

NETWORKS = [SimpleNamespace(labels=("Car",))]


@pytest.fixture
def folder(tmp_path):
    """KITTI's layout, which has no splits unless there are lists: 12 images with a box each."""
    root = tmp_path / "kitti"
    for part in ("image_2", "label_2"):
        (root / part).mkdir(parents=True)
    for i in range(12):
        Image.fromarray(np.full((30, 40, 3), 20 * i, np.uint8)).save(root / f"image_2/{i:06d}.png")
        (root / f"label_2/{i:06d}.txt").write_text("Car 0 0 0 5 5 20 20 0 0 0 0 0 0 0\n")
    return root


def test_all_images_of_a_folder_without_splits(folder, tmp_path):
    data = truths_for(NETWORKS, folder, cache_dir=tmp_path / "cache")
    assert sorted(truth.name for truth in data.truths) == [f"image_2/{i:06d}.png" for i in range(12)]
    assert [data.truths[item.label].name for item in data.images.items()] == [t.name for t in data.truths]
    parts = [truths_for(NETWORKS, folder, split=s, cache_dir=tmp_path / "cache") for s in ("train", "validation")]
    assert [truth.name for part in parts for truth in part.truths] == [truth.name for truth in data.truths]
    assert all(part.truths for part in parts)


def test_the_validation_images_where_there_are_splits(folder, tmp_path):
    (folder / "train.txt").write_text("\n".join(f"{i:06d}" for i in range(9)))
    (folder / "val.txt").write_text("\n".join(f"{i:06d}" for i in range(9, 12)))
    data = truths_for(NETWORKS, folder, cache_dir=tmp_path / "cache")
    assert sorted(truth.name for truth in data.truths) == [f"image_2/{i:06d}.png" for i in range(9, 12)]
