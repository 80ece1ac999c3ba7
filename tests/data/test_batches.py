import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from mnext_tf.compression.calibration import _even_quotas, calibration_images
from mnext_tf.data import Augment, Preprocess, eval_batches, open_dataset, steps_per_epoch, tfrecord, train_batches
from mnext_tf.data.order import _shuffle_buffer
from mnext_tf.data.sources.digits import split_indices
from mnext_tf.errors import ConfigError

SMALL = Preprocess(8, 1.0)
FIRST_OF_VALIDATION = [1043, 188, 1549, 902, 3]  # indices; with another split, accuracies could no longer be compared
PLAIN = Augment(crop_scale_min=1.0, flip=False, color_jitter=0)


def epoch_of(dataset, augment=PLAIN, batch_size=100, **arguments):
    batches = list(train_batches(dataset, SMALL, augment, batch_size, **{"seed": 5, "epoch": 0, **arguments}))
    if not batches:
        return np.zeros((0, 8, 8, 3)), np.zeros(0)
    return tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))


def distinct(images):
    return len({image.tobytes() for image in np.asarray(images)})


def test_import_is_light():
    code = "import sys, mnext_tf.data; sys.exit(any(m in sys.modules for m in ('tensorflow', 'sklearn', 'PIL')))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_digits_and_their_split(digits):
    from sklearn.datasets import load_digits

    assert digits.splits == {"train": 1437, "validation": 360}
    assert digits.class_names == tuple("0123456789")
    assert (digits.num_classes, digits.label_offset, digits.skipped) == (10, 1, 0)
    assert digits.class_counts["validation"] == (36,) * 10
    source = load_digits()
    splits = split_indices(source.target)
    assert not set(splits["train"]) & set(splits["validation"])
    assert splits["validation"][:5].tolist() == FIRST_OF_VALIDATION
    images, labels = next(iter(eval_batches(digits, SMALL, 360)))
    np.testing.assert_array_equal(labels, source.target[splits["validation"]])
    expected = np.rint(source.images[splits["validation"]] * (255 / 16))
    np.testing.assert_allclose(images[..., 0], expected, atol=1e-3)


def test_digits_are_written_once(digits):
    sidecar = digits.folder / tfrecord.SIDECAR
    written = sidecar.stat().st_mtime_ns
    assert open_dataset(None, digits.folder.parent) == digits
    assert sidecar.stat().st_mtime_ns == written


def test_an_epoch_has_every_image_once(digits):
    images, labels = epoch_of(digits, batch_size=1)
    assert images.shape == (1437, 8, 8, 3)
    assert images.dtype == np.float32
    assert labels.dtype == np.int32
    assert np.bincount(labels).tolist() == list(digits.class_counts["train"])
    assert distinct(images) == 1437


def test_order_follows_from_seed_and_epoch(digits):
    import tensorflow as tf

    augment = Augment(crop_scale_min=0.5, shift=0.2)
    tf.random.set_seed(1)
    images, labels = epoch_of(digits, augment)
    tf.random.set_seed(2)
    again_images, again_labels = epoch_of(digits, augment)
    np.testing.assert_array_equal(images, again_images)
    np.testing.assert_array_equal(labels, again_labels)
    for other in (epoch_of(digits, augment, epoch=1), epoch_of(digits, augment, seed=6)):
        assert (other[1] != labels).mean() > 0.8


def test_augmentation_differs_between_epochs(digits):
    everything = [epoch_of(digits, Augment(crop_scale_min=0.3), batch_size=1437, epoch=e)[0] for e in range(2)]
    assert distinct(np.concatenate(everything)) > 2800


@pytest.mark.parametrize("start_step", [1, 9, 14])
def test_start_step_goes_on_as_undisturbed(digits, start_step):
    augment = Augment(crop_scale_min=0.5, shift=0.2)
    images, labels = epoch_of(digits, augment)
    late_images, late_labels = epoch_of(digits, augment, start_step=start_step)
    np.testing.assert_array_equal(late_images, images[100 * start_step :])
    np.testing.assert_array_equal(late_labels, labels[100 * start_step :])


def test_shuffle_is_thorough(digits, tmp_path):
    """Images stored in order of class come mixed: no batch of 100 lacks half of the classes."""
    _, labels = epoch_of(digits)
    assert min(len(set(labels[i : i + 100])) for i in range(0, 1400, 100)) >= 9


@pytest.mark.parametrize(("batch_size", "match"), [(1438, "1438 is more than the 1437"), (0, "at least 1")])
def test_batch_size_errors(digits, batch_size, match):
    with pytest.raises(ConfigError, match=match):
        train_batches(digits, SMALL, PLAIN, batch_size, seed=0, epoch=0)


def test_other_argument_errors(digits):
    with pytest.raises(ConfigError, match="14 steps; received 15"):
        epoch_of(digits, start_step=15)
    with pytest.raises(ConfigError, match="at least 0"):
        epoch_of(digits, seed=-1)
    with pytest.raises(ConfigError, match="validation"):
        eval_batches(digits, SMALL, 8, split="val")
    with pytest.raises(ConfigError, match="max_images"):
        eval_batches(digits, SMALL, 8, max_images=0)
    with pytest.raises(ConfigError, match="at least 1"):
        calibration_images(digits, SMALL, 0)
    assert steps_per_epoch(digits, 100) == 14


def test_calibration_images_are_distinct_training_images(digits):
    images = calibration_images(digits, SMALL, 100)
    assert len(images) == distinct(images) == 100
    assert images[0].shape == (8, 8, 3)
    assert images[0].dtype == np.float32
    train, labels = epoch_of(digits, batch_size=1)
    label_of = {image.tobytes(): label for image, label in zip(train, labels, strict=True)}
    assert np.bincount([label_of[image.tobytes()] for image in images]).tolist() == [10] * 10
    np.testing.assert_array_equal(images, calibration_images(digits, SMALL, 100))
    assert not np.array_equal(images, calibration_images(digits, SMALL, 100, seed=1))


def test_calibration_takes_all_where_there_are_fewer(photographs, tmp_path):
    dataset = open_dataset(photographs, tmp_path / "cache")
    images = calibration_images(dataset, SMALL, 50)
    assert len(images) == distinct(images) == 6


def test_even_quotas():
    rng = np.random.default_rng(0)
    assert _even_quotas(np.array([5, 1, 9]), 9, rng).tolist() == [4, 1, 4]
    assert _even_quotas(np.array([5, 1, 9]), 99, rng).tolist() == [5, 1, 9]
    assert sorted(_even_quotas(np.array([5, 5, 5, 0]), 2, rng).tolist()) == [0, 0, 1, 1]


def test_dataset_is_frozen(digits):
    with pytest.raises(dataclasses.FrozenInstanceError):
        digits.name = "other"


@pytest.mark.parametrize(
    ("records", "record_bytes", "expected"),
    [(1437, 200, 1437), (1_281_167, 20_000, 20_000), (1_281_167, 110_000, 9_761), (10_000, 3_500_000, 306),
     (10_000, 50_000_000, 64), (10, 50_000_000, 10)],
)  # fmt: skip
def test_shuffling_holds_a_gibibyte_at_most(records, record_bytes, expected):
    assert _shuffle_buffer(records, records * record_bytes) == expected
