import dataclasses
import json

import numpy as np
import pytest

from mnext_tf.data import Augment, Preprocess, input_pipeline, open_dataset
from mnext_tf.data.dataset import read_dataset
from mnext_tf.data.detection_pipeline import eval_batches, parse_objects, stored_truth, train_batches
from mnext_tf.data.sources import digits, scenes
from mnext_tf.errors import ConfigError, DataError

SMALL = Preprocess(32, interpolation="bilinear", fit="squash")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return open_dataset("scenes", tmp_path_factory.mktemp("cache"))


def example(encoded, boxes, labels, ignored, seed):
    """What stands for augmentation and targets: sums that tell one image from another, and its seed."""
    import tensorflow as tf

    return tf.strings.length(encoded), tf.reduce_sum(boxes), tf.reduce_sum(labels), seed


def epoch(dataset, **options):
    batches = train_batches(dataset, example, 16, seed=3, epoch=1, **options)
    return [[np.asarray(part) for part in batch] for batch in batches]


def test_scenes_have_no_digit_in_both_splits(data, monkeypatch):
    assert (data.task, data.metrics, data.splits) == ("detection", "coco", {"train": 960, "validation": 120})
    assert all(min(counts) > 20 for counts in data.box_counts.values())
    pasted = {}
    monkeypatch.setattr(scenes, "COUNTS", {"train": 3, "validation": 3})
    real = scenes._scenes
    monkeypatch.setattr(scenes, "_scenes", lambda d, k, split, n: pasted.update({split: d}) or real(d, k, split, n))
    scenes.write_scenes(data.folder.parent / "few")
    train, validation = ({image.tobytes() for image in pasted[split]} for split in ("train", "validation"))
    assert (len(pasted["train"]), len(pasted["validation"])) == (1437, 10 * digits.VALIDATION_PER_CLASS)
    assert not train & validation


def test_scenes_are_the_same_each_time(data):
    scenes.write_scenes(data.folder.parent / "again")
    assert read_dataset(data.folder.parent / "again").fingerprint == data.fingerprint


def test_boxes_of_scenes_are_tight(monkeypatch):
    """On plain ground all that is drawn is inside the boxes, and reaches each of their sides."""
    from sklearn.datasets import load_digits

    from mnext_tf.data.preprocess import decode

    monkeypatch.setattr(scenes, "_ground", lambda rng: np.full((120, 150, 3), 128.0))
    digits = load_digits()
    count = 0
    for one in scenes._scenes(digits.images / 16, digits.target, "train", 20):
        contrast = np.abs(decode(one.encoded).numpy().astype(float) - 128).max(2)
        assert contrast.shape == (one.height, one.width) == (120, 150)
        outside = contrast.copy()
        for box in np.rint(one.objects.boxes * [150, 120, 150, 120]).astype(int):
            x0, y0, x1, y1 = box
            inside = contrast[y0:y1, x0:x1]
            for side in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
                assert side.max() > 0.15 * inside.max()
            outside[max(0, y0 - 16) : y1 + 16, max(0, x0 - 16) : x1 + 16] = 0  # JPEG's blocks
            count += 1
        assert outside.max() < 3
    assert count > 40


def test_records_hold_what_was_written(data):
    import tensorflow as tf

    from mnext_tf.data.tfrecord import read_records

    records = (r for shard in data.shard_paths("validation") for r in read_records(shard))
    for record, (_, encoded, truth) in zip(records, stored_truth(data, "validation"), strict=True):
        parsed = [np.asarray(part) for part in parse_objects(tf.constant(record), data)]
        assert parsed[0].item() == encoded
        np.testing.assert_array_equal(parsed[1], truth.objects.boxes)
        np.testing.assert_array_equal(parsed[2], truth.objects.labels)
        np.testing.assert_array_equal(parsed[3], truth.objects.ignored)
    assert read_dataset(data.folder, verify=True) == data


def test_a_changed_box_changes_the_fingerprint(data, tmp_path):
    import shutil

    shutil.copytree(data.folder, tmp_path / "scenes")
    sidecar = tmp_path / "scenes/dataset.json"
    record = json.loads(sidecar.read_text())
    assert set(record["objects"]["train"]) == {"boxes"}
    shard = next(name for name in record["shards"] if name.startswith("validation"))
    import tensorflow as tf

    from mnext_tf.data.tfrecord import read_records, sample

    held = [tf.train.Example.FromString(r) for r in read_records(tmp_path / "scenes" / shard)]
    held[5].features.feature["image/object/bbox/xmin"].float_list.value[0] = 0.0
    with tf.io.TFRecordWriter(str(tmp_path / "scenes" / shard)) as writer:
        for one in held:
            writer.write(one.SerializeToString(deterministic=True))
    record["samples"][shard] = sample(tmp_path / "scenes" / shard)
    record["shards"][shard] = (tmp_path / "scenes" / shard).stat().st_size
    sidecar.write_text(json.dumps(record))
    with pytest.raises(DataError, match="are not those that"):
        read_dataset(tmp_path / "scenes", verify=True)


def test_training_resumes_where_it_was_and_workers_share_it(data):
    whole = epoch(data)
    assert len(whole) == 60
    assert len({tuple(seed) for batch in whole for seed in batch[3].tolist()}) == 960
    for ours, resumed in zip(whole[58:], epoch(data, start_step=58), strict=True):
        for a, b in zip(ours, resumed, strict=True):
            np.testing.assert_array_equal(a, b)
    streams = epoch(data, streams=2)
    parts = [epoch(data, streams=2, share=(worker, 2)) for worker in range(2)]
    for batch, first, second in zip(streams, *parts, strict=True):
        for a, b, c in zip(batch, first, second, strict=True):
            np.testing.assert_array_equal(a, np.concatenate([b, c]))


def test_the_order_is_that_of_classification(data):
    """Both read the same positions, so that a seed means the same for both."""
    from mnext_tf.data.order import AUGMENT_KEY, derive_seed

    seeds = np.concatenate([batch[3] for batch in epoch(data)])
    assert (seeds[:, 0] == derive_seed(3, 1, AUGMENT_KEY)).all()
    assert seeds[:, 1].tolist() == list(range(960))


def test_evaluation_squashes_and_fills_up(data):
    from mnext_tf.data.preprocess import eval_image

    stored = list(stored_truth(data, "validation"))
    seen = 0
    for images, labels in eval_batches(data, SMALL, 50):
        own = stored[seen : seen + len(images)]
        seen += len(images)
        assert labels.shape == (len(own), max(len(truth.objects) for _, _, truth in own), 6)
        for image, rows, (_, encoded, truth) in zip(images, labels.numpy(), own, strict=True):
            n = len(truth.objects)
            np.testing.assert_array_equal(rows[:n, :4], truth.objects.boxes)
            np.testing.assert_array_equal(rows[:n, 4], truth.objects.labels)
            np.testing.assert_array_equal(rows[n:], np.tile([0, 0, 0, 0, -1, 0], (len(rows) - n, 1)))
            np.testing.assert_array_equal(image, eval_image(encoded, SMALL))
    assert seen == 120
    few = [labels for _, labels in eval_batches(data, SMALL, 50, max_images=7, share=(1, 2))]
    assert sum(map(len, few)) == 3


def test_tasks_are_not_mixed_up(data, few_images):
    with pytest.raises(DataError, match="scenes is a data set for detection; one for classification is needed"):
        input_pipeline.train_batches(data, SMALL, Augment(), 8, seed=0, epoch=0)
    with pytest.raises(DataError, match="for detection; one for classification"):
        input_pipeline.eval_batches(data, SMALL, 8)
    for call in (lambda d: list(stored_truth(d, "train")), lambda d: eval_batches(d, SMALL, 8)):
        with pytest.raises(DataError, match="few is a data set for classification; one for detection is needed"):
            call(few_images)
    with pytest.raises(ConfigError, match="start_step must be between 0 and the epoch's 60 steps"):
        epoch(data, start_step=61)


def test_older_descriptions_are_of_classes(few_images):
    sidecar = few_images.folder / "dataset.json"
    assert "task" not in json.loads(sidecar.read_text())
    dataset = read_dataset(few_images.folder)
    assert (dataset.task, dataset.metrics, dataset.box_counts) == ("classification", "", {})
    assert dataclasses.replace(dataset, task="classification") == dataset


def test_images_of_one_color(tmp_path):
    from PIL import Image

    for folder in ("image_2", "label_2"):
        (tmp_path / "set" / folder).mkdir(parents=True)
    for i in range(4):
        Image.new("RGB", (40, 30), (9 * i, 0, 0)).save(tmp_path / f"set/image_2/{i}.png")
        (tmp_path / f"set/label_2/{i}.txt").write_text("Car 0 0 0 4 3 12 9\n")
    dataset = open_dataset(tmp_path / "set", tmp_path / "cache", validation_share=0.5)
    images, labels = next(iter(eval_batches(dataset, SMALL, 4)))
    assert len(np.unique(images[0])) <= 2
    np.testing.assert_allclose(labels[0, 0], [0.1, 0.1, 0.3, 0.3, 0, 0], rtol=1e-6)
