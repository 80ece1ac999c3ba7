import numpy as np
import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data.detection_pipeline import stored_truth
from mnext_tf.data.objects import OTHER_CLASS
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

CAR = "Car 0.25 2 1.85 4.00 3.00 12.00 9.00 1.67 1.87 3.69 -16.53 2.39 58.49 1.57\n"
REGION = "DontCare -1 -1 -10 20.00 0.00 45.00 15.00 -1 -1 -1 -1000 -1000 -1000 -10\n"


@pytest.fixture
def kitti(tmp_path, encode):
    """`kitti({"000000": CAR}, {"train.txt": "000000"}, below="training")`."""

    def write(labels, lists=None, below="training"):
        root = tmp_path / "set"
        for name in ("image_2", "label_2"):
            (root / below / name).mkdir(parents=True)
        for i, (stem, text) in enumerate(labels.items()):
            (root / below / f"image_2/{stem}.png").write_bytes(encode("PNG", seed=i))
            (root / below / f"label_2/{stem}.txt").write_text(text)
        for name, stems in (lists or {}).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(stems.replace(" ", "\n"))
        return root

    return write


@pytest.mark.parametrize("below", ["training", ""])
@pytest.mark.parametrize("lists", ["{}.txt", "ImageSets/{}.txt"])
def test_labels_and_regions_to_ignore(kitti, tmp_path, below, lists):
    labels = {"000000": CAR + REGION, "000001": "", "000002": CAR.replace("Car", "Cyclist")}
    named = {lists.format("train"): "000000 000001", lists.format("val"): "000002"}
    dataset = open_dataset(kitti(labels, named, below), tmp_path / "cache")
    assert (dataset.task, dataset.metrics, dataset.class_names) == ("detection", "kitti", ("Car", "Cyclist"))
    assert dataset.splits == {"train": 2, "validation": 1}
    assert dataset.box_counts == {"train": (1, 0), "validation": (0, 1)}
    train = {truth.name.rsplit("/", 1)[-1]: truth.objects for _, _, truth in stored_truth(dataset, "train")}
    assert len(train["000001.png"]) == 0
    objects = train["000000.png"]
    np.testing.assert_allclose(objects.boxes, [[0.1, 0.1, 0.3, 0.3], [0.5, 0, 1, 0.5]], rtol=1e-6)
    assert objects.labels.tolist() == [0, -1]
    assert objects.ignored.tolist() == [False, True]
    assert (objects.truncation.tolist(), objects.occlusion.tolist()) == ([0.25, 0], [2, 0])


def test_neighbors_of_the_chosen_classes_are_ignored(kitti, tmp_path):
    root = kitti({"000000": CAR + CAR.replace("Car", "Van") + CAR.replace("Car", "Tram"), "000001": CAR})
    (root / "labels.txt").write_text("Pedestrian\nCar\n")
    first = next(image for image in list_images(root).images if image.name.endswith("000000.png"))
    rows = first.annotation.rows
    assert rows[:, 4].tolist() == [1, 1, OTHER_CLASS]
    assert rows[:, 5].tolist() == [0, 1, 0]  # difficult


def test_without_lists_a_share_is_held_out(kitti):
    listing = list_images(kitti({f"{i:06d}": CAR for i in range(20)}), validation_share=0.3)
    assert listing.hash_split
    assert 0 < len(listing.splits["validation"]) < 15


def test_what_cannot_be_used_is_skipped_with_a_reason(kitti, encode):
    broken = "Car 0.00 0 -1.57 599.41 156.40\n"
    labels = {"000000": CAR, "000001": CAR + broken, "000002": CAR.replace("4.00", "x"), "000003": CAR}
    root = kitti(labels)
    (root / "training/image_2/000004.png").write_bytes(encode("PNG"))
    (root / "training/label_2/000005.txt").write_text(CAR)
    listing = list_images(root)
    assert sorted(image.name[-10:] for image in listing.images) == ["000000.png", "000003.png"]
    reasons = dict(listing.skipped)
    assert reasons["training/label_2/000001.txt"].startswith("line 2 is not `type truncated")
    assert reasons["training/label_2/000002.txt"].startswith("line 1 is not `type truncated")
    assert reasons["training/label_2/000004.txt"] == "No such file or directory"
    assert reasons["label_2/000005.txt"] == "there is no such image"


def test_one_list_only_and_only_regions(kitti):
    root = kitti({"000000": REGION, "000001": REGION}, {"train.txt": "000000"})
    with pytest.raises(DataError, match=r"has .*train\.txt but no val\.txt"):
        list_images(root)
    (root / "val.txt").write_text("000001\n")
    with pytest.raises(DataError, match="has no box in any image"):
        list_images(root)


def test_images_in_both_splits_are_told(kitti):
    listing = list_images(kitti({"000000": CAR}, {"train.txt": "000000", "val.txt": "000000"}))
    assert "1 images are in both splits, training/image_2/000000.png" in listing.notes[0]


@pytest.mark.shared
def test_three_frames(detection_data, tmp_path):
    dataset = open_dataset(detection_data / "kitti", tmp_path / "cache", validation_share=0.34)
    assert sum(dataset.splits.values()) == 3
    assert dataset.class_names == ("Car", "Cyclist", "Misc", "Pedestrian", "Truck")
    lines = "".join(p.read_text() for p in (detection_data / "kitti/training/label_2").glob("*.txt")).splitlines()
    assert sum(map(sum, dataset.box_counts.values())) == sum(not line.startswith("DontCare") for line in lines)
    every = [truth.objects for split in dataset.splits for _, _, truth in stored_truth(dataset, split)]
    assert sum((objects.labels < 0).sum() for objects in every) == sum(line.startswith("DontCare") for line in lines)


def test_writing_that_was_stopped_goes_on_with_the_same_bytes(kitti, tmp_path, contents, monkeypatch):
    from mnext_tf.data import prepare as module

    listing = list_images(kitti({f"{i:06d}": CAR + REGION * (i % 3) for i in range(20)}))
    options = {"shard_bytes": 8_000}
    record = module.prepare(listing, tmp_path / "whole", workers=1, **options)
    assert len(record["shards"]) > 3
    real, written = module._write_shard, []

    def stops(*arguments):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(arguments[2].name)
        return real(*arguments)

    monkeypatch.setattr(module, "_write_shard", stops)
    with pytest.raises(KeyboardInterrupt):
        module.prepare(listing, tmp_path / "resumed", workers=3, **options)
    monkeypatch.setattr(module, "_write_shard", real)
    assert module.prepare(listing, tmp_path / "resumed", workers=2, **options) == record
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


def test_an_edited_label_is_other_data(kitti, tmp_path):
    root = kitti({"000000": CAR, "000001": CAR}, {"train.txt": "000000", "val.txt": "000001"})
    before = open_dataset(root, tmp_path / "cache")
    (root / "training/label_2/000000.txt").write_text(CAR.replace("4.00", "5.00"))
    after = open_dataset(root, tmp_path / "cache")
    assert before.folder != after.folder
    assert before.fingerprint != after.fingerprint
