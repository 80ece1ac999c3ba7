import numpy as np
import pytest

from mnext_tf.data import Augment, Preprocess, open_dataset
from mnext_tf.data.box_augment import BoxAugment
from mnext_tf.data.preview import write_box_preview, write_preview
from mnext_tf.errors import ConfigError, DataError

CELL, LINE = 116, 132  # pixels from one cell to the next
SQUASHED = Preprocess(112, interpolation="bilinear", fit="squash")


def cells(path):
    """uint8 (rows, 7, 112, 112, 3)"""
    from PIL import Image

    sheet = np.asarray(Image.open(path))
    rows = range(20, sheet.shape[0] - 112, LINE)
    return np.array([[sheet[y : y + 112, x : x + 112] for x in range(4, 4 + 7 * CELL, CELL)] for y in rows])


def test_rows_of_draws(photographs, tmp_path):
    """The first column is evaluation's, the others differ from it, from each other and from row to row."""
    dataset = open_dataset(photographs, tmp_path / "cache")
    augment = Augment(crop_scale_min=1.0, flip=False, color_jitter=0, erasing=1.0, erasing_mode="constant")
    path = write_preview(tmp_path / "new" / "folder", dataset, Preprocess(112), augment, seed=3, images=4)
    assert path == tmp_path / "new" / "folder" / "preview.png"
    shown = cells(path).astype(int)
    assert shown.shape[:2] == (4, 7)
    changed = (shown[:, 1:] != shown[:, :1]).any(-1)  # (rows, draws, height, width): the rectangles
    assert (changed.mean((2, 3)) > 0.01).all()
    assert (changed.mean((2, 3)) < 0.36).all()
    assert len({rectangle.tobytes() for row in changed for rectangle in row}) == 24
    again = write_preview(tmp_path, dataset, Preprocess(112), augment, seed=3, images=4)
    assert again.read_bytes() == path.read_bytes()


def test_mixed_batches_follow(photographs, tmp_path):
    """Six images, so that an epoch is one batch; of small images each pixel is several."""
    dataset = open_dataset(photographs, tmp_path / "cache")
    plain = {"crop_scale_min": 1.0, "flip": False, "color_jitter": 0}
    shown = cells(write_preview(tmp_path, dataset, Preprocess(16), Augment(**plain, mixup=5.0), seed=0, images=3))
    assert shown.shape[:2] == (4, 7)
    np.testing.assert_array_equal(shown[0, 1], shown[0, 0])
    np.testing.assert_array_equal(shown[0, 0, ::7, ::7], shown[0, 0, 6::7, 6::7])
    assert (shown[3, 0] == 255).all()
    assert np.abs(shown[3, 1].astype(int) - shown[0, 0]).max() > 10


def test_errors(photographs, tmp_path):
    dataset = open_dataset(photographs, tmp_path / "cache")
    with pytest.raises(ConfigError, match="at least 1; received 0"):
        write_preview(tmp_path, dataset, Preprocess(16), Augment(), seed=0, images=0)
    (shard,) = dataset.shard_paths("train")
    shard.write_bytes(shard.read_bytes()[:-20])
    with pytest.raises(DataError, match=shard.name):
        write_preview(tmp_path, dataset, Preprocess(16), Augment(), seed=0)
    assert not (tmp_path / "preview.png").exists()


def test_boxes_are_drawn_where_objects_are(tmp_path, encode):
    """With nothing changed all cells are alike: the image, and a box of two pixels in the color of its class."""
    augment = BoxAugment(distortion=0, swap_channels=0, expand=0, crop_side_min=1.0, flip=False)
    boxes = np.array([[0.25, 0.5, 0.75, 1.0], [0.0, 0.0, 0.2, 0.2]], np.float32)
    examples = [(encode("PNG"), boxes, np.array([1, 0])), (encode("PNG"), boxes[:0], np.zeros(0))]
    path = write_box_preview(tmp_path, iter(examples), ["cat", "dog"], SQUASHED, augment, seed=0)
    shown = cells(path).astype(int)
    assert shown.shape[:2] == (2, 7)
    drawn = (shown[0, 0] != shown[1, 0]).any(-1)
    rows, columns = np.flatnonzero(drawn[:, 60]), np.flatnonzero(drawn[80])
    assert rows.tolist() == [55, 56, 110, 111]
    assert columns.tolist() == [27, 28, 82, 83]
    assert (shown[0, 0, 80, 28] != shown[0, 0, 10, 0]).any()
    np.testing.assert_allclose(shown[0, 1:], shown[0, :1].repeat(6, 0), atol=1)
    with pytest.raises(ConfigError, match="no image"):
        write_box_preview(tmp_path, [], ["cat"], SQUASHED, augment, seed=0)
