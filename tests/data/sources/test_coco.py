import json

import numpy as np
import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data.detection_pipeline import stored_truth
from mnext_tf.data.sources.coco import read_instances
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.errors import DataError

CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat"}, {"id": 4, "name": "cow"}]


def instances(names, *boxes, categories=CATEGORIES):
    """boxes: (number of the image, category, [x, y, w, h]) and perhaps more entries."""
    images = [{"id": 100 + i, "file_name": name, "width": 40, "height": 30} for i, name in enumerate(names)]
    annotations = [
        {"id": k, "image_id": 100 + i, "category_id": category, "bbox": box, "iscrowd": 0, **(more[0] if more else {})}
        for k, (i, category, box, *more) in enumerate(boxes)
    ]
    return {"info": {}, "images": images, "annotations": annotations, "categories": categories}


@pytest.fixture
def coco(tmp_path, encode):
    """`coco({"annotations/instances_val2017.json": content}, ["val2017/a.jpg"])`: a folder with these files."""

    def write(files, images):
        root = tmp_path / "set"
        for i, name in enumerate(images):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(encode("JPEG", seed=i))
        for name, content in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content if isinstance(content, str) else json.dumps(content))
        return root

    return write


def truths(dataset, split):
    return {truth.name: truth for _, _, truth in stored_truth(dataset, split)}


def test_splits_crowds_gaps_and_images_without_boxes(coco, tmp_path):
    rle = {"segmentation": {"counts": [1, 2], "size": [30, 40]}, "iscrowd": 1, "area": 55.5}
    train = instances(["a.jpg", "b.jpg"], (0, 90, [4, 3, 8, 6], {"area": 20}), (0, 3, [0, 0, 40, 30], rle))
    root = coco(
        {
            "annotations/instances_train2017.json": train,
            "annotations/instances_val2017.json": instances(["c.jpg"], (0, 90, [0, 0, 40, 30])),
            "annotations/captions_train2017.json": {"images": [], "annotations": []},
        },
        ["train2017/a.jpg", "train2017/b.jpg", "val2017/c.jpg", "val2017/unlisted.jpg"],
    )
    dataset = open_dataset(root, tmp_path / "cache")
    assert (dataset.task, dataset.metrics, dataset.class_names) == ("detection", "coco", ("cat", "cow", "dog"))
    assert dataset.box_counts == {"train": (1, 0, 1), "validation": (0, 0, 1)}
    a = truths(dataset, "train")["train2017/a.jpg"].objects
    np.testing.assert_allclose(a.boxes, [[0.1, 0.1, 0.3, 0.3], [0, 0, 1, 1]])
    assert a.labels.tolist() == [2, 0]
    assert a.crowd.tolist() == a.ignored.tolist() == [False, True]
    assert a.area.tolist() == [20, 55.5]
    assert len(truths(dataset, "train")["train2017/b.jpg"].objects) == 0
    assert truths(dataset, "validation")["val2017/c.jpg"].objects.area.tolist() == [1200]
    record = json.loads((dataset.folder / "dataset.json").read_text())
    assert record["objects"]["train"] == {"boxes": 2, "crowd": 1, "images without boxes": 1}
    assert record["ignored"] == 1


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/all.json", "images"),
        ("result.json", "photos"),
        ("result.json", ""),
        ("train/_annotations.coco.json", "train"),
    ],
)
def test_a_single_file_is_divided(coco, file, images):
    names = [f"{i}.jpg" for i in range(20)]
    content = instances(names, *((i, 3, [1, 1, 5, 5]) for i in range(20)))
    listing = list_images(coco({file: content}, [f"{images}/{n}".lstrip("/") for n in names]), validation_share=0.3)
    assert listing.hash_split
    assert sum(map(len, listing.splits.values())) == 20
    assert all((listing.root / image.name).is_file() for image in listing.images)


def test_folders_of_splits(coco):
    one = instances(["a.jpg"], (0, 3, [1, 1, 5, 5]))
    files = {f"{split}/_annotations.coco.json": one for split in ("train", "valid", "test")}
    listing = list_images(coco(files, ["train/a.jpg", "valid/a.jpg", "test/a.jpg"]))
    names = {split: [image.name for image in images] for split, images in listing.splits.items()}
    assert names == {"train": ["train/a.jpg"], "validation": ["valid/a.jpg"]}


def test_what_does_not_fit_is_counted(coco, tmp_path):
    content = instances(
        ["a.jpg", "b.jpg", "a.jpg", "gone.jpg", "cut.jpg"],
        (0, 3, [1, 1, 5, 5]),
        (0, 7, [1, 1, 5, 5]),  # no such category
        (0, 3, [1, 1, 0, 5]),
        (0, 3, [1, 1, -4, 5]),
        (0, 3, [41, 1, 5, 5]),
        (0, 3, [30, 20, 50, 50]),
        (0, 3, [1, 1, 5]),
        (0, 3, None),
        (1, 90, [1, 1, 5, 5]),
        (9, 3, [1, 1, 5, 5]),  # no such image
    )
    names = [f"{i}.jpg" for i in range(20)]
    more = instances(names, *((i, 3, [1, 1, 5, 5]) for i in range(20)))
    root = coco({"train.json": content, "val.json": more}, ["a.jpg", "b.jpg", "cut.jpg", *names])
    (root / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    dataset = open_dataset(root, tmp_path / "cache")
    record = json.loads((dataset.folder / "dataset.json").read_text())
    assert record["objects"]["train"] == {
        "boxes": 3,
        "clipped to the image": 1,
        "dropped: another class": 1,
        "dropped: not four numbers": 2,
        "dropped: outside the image": 1,
        "dropped: without an area": 2,
    }
    reasons = dict(record["skipped"])
    assert reasons["a.jpg"].startswith("train.json lists it twice")
    assert reasons["train.json, image 109"] == "1 boxes, but no such image is listed"
    assert reasons["gone.jpg"] == "No such file or directory"
    assert set(reasons) == {"a.jpg", "train.json, image 109", "gone.jpg", "cut.jpg"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [{"bbox"', "is damaged, or not as COCO's instances are"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": []}]}', "has no 'categories'"),
        ('{"images": [1], "annotations": [], "categories": [], "bbox": 0}', "has no id or file_name"),
        ('{"images": [], "annotations": [{"image_id": [], "bbox": 1}], "categories": []}', "unhashable"),
        ('{"images": [], "annotations": ' + "[" * 100_000 + '"bbox"', "is damaged, or not"),
        ('{"images": [], "annotations": [{"image_id": 1, "bbox": []}], "categories": []}', "has no box in any image"),
    ],
)
def test_files_that_are_not_coco(coco, content, message):
    with pytest.raises(DataError, match=message):
        list_images(coco({"x.json": content}, []))


def test_json_without_boxes_does_not_make_it_detection(coco):
    classes = instances(["train/x/a.jpg"])
    images = [f"{split}/{name}/a.jpg" for split in ("train", "val") for name in "xy"]
    assert list_images(coco({"train2019.json": classes, "empty.json": ""}, images)).task == "classification"


def test_several_files_for_one_split(coco):
    one = instances(["a.jpg"], (0, 3, [1, 1, 5, 5]))
    names = ("train2014", "train2017", "val2017")
    with pytest.raises(DataError, match=r"train2014\.json, .* one file for training and one for validation"):
        list_images(coco({f"annotations/instances_{name}.json": one for name in names}, ["train2017/a.jpg"]))


def test_outlines_are_not_kept(tmp_path):
    content = instances(["a.jpg"], (0, 3, [1, 1, 5, 5], {"segmentation": [[1.5] * 1000], "keypoints": [1] * 1000}))
    (tmp_path / "x.json").write_text(json.dumps(content))
    read = read_instances(tmp_path / "x.json")
    assert read.images == [(100, "a.jpg", 40, 30)]
    assert dict(read.boxes) == {100: [(3, [1, 1, 5, 5], 0, None)]}
    assert read.categories == {3: "cat", 4: "cow", 90: "dog"}


@pytest.mark.slow
def test_a_hundred_megabytes_take_memory_for_about_two_copies(tmp_path, python):
    outline = ", ".join(["123.45, 67.89"] * 20)
    one = (
        '{"segmentation": [[' + outline + ']], "area": 100.5, "iscrowd": 0, "image_id": 1, '
        '"bbox": [10.5, 20.25, 30.5, 40.75], "category_id": 3}'
    )
    rest = '"images": [{"id": 1, "file_name": "a.jpg"}], "categories": [{"id": 3, "name": "cat"}]'
    count = 100_000_000 // len(one)
    (tmp_path / "x.json").write_text('{"annotations": [' + ", ".join([one] * count) + "], " + rest + "}")
    done = python(
        "-c",
        "import resource, sys, pathlib\n"
        "from mnext_tf.data.sources.coco import read_instances\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024\n"
        "before = peak()\n"
        "boxes = read_instances(pathlib.Path(sys.argv[1])).boxes\n"
        "print(len(boxes[1]), peak() - before)",
        tmp_path / "x.json",
    )
    assert done.returncode == 0, done.stderr
    boxes, megabytes = map(int, done.stdout.split())
    assert boxes == count
    assert megabytes < 350


@pytest.mark.shared
def test_coco128(detection_data, tmp_path):
    root = detection_data / "coco128"
    held = json.loads((root / "annotations/instances_val2017.json").read_text())
    dataset = open_dataset(root, tmp_path / "cache")
    assert sum(dataset.splits.values()) == len(held["images"]) == 128
    assert len(dataset.class_names) == len(held["categories"]) == 80
    assert sum(map(sum, dataset.box_counts.values())) == len(held["annotations"])
    name_of = {c["id"]: c["name"] for c in held["categories"]}
    for name in ("person", "toothbrush", "zebra"):
        k = dataset.class_names.index(name)
        expected = sum(name_of[a["category_id"]] == name for a in held["annotations"])
        assert sum(counts[k] for counts in dataset.box_counts.values()) == expected
    crowds = sum(truth.objects.crowd.sum() for s in dataset.splits for _, _, truth in stored_truth(dataset, s))
    assert crowds == sum(a["iscrowd"] for a in held["annotations"])
