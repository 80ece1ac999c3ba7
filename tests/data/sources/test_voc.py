import numpy as np
import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data.detection_pipeline import stored_truth
from mnext_tf.data.objects import OTHER_CLASS
from mnext_tf.data.sources.layouts import list_images
from mnext_tf.data.sources.voc import parse_annotation
from mnext_tf.errors import ConfigError, DataError


def xml(*objects, size=(40, 30)):
    """objects: (class, xmin, ymin, xmax, ymax) and perhaps tags."""
    parts = [
        f"<object><name>{name}</name>{more[0] if more else ''}<bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1, *more in objects
    ]
    return f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>{''.join(parts)}</annotation>"


DOG = ("dog", 1, 1, 9, 9)


@pytest.fixture
def voc(tmp_path, encode):
    """`voc("set", {"train": ["a"], "val": ["b"]}, {"a": xml(...)})`: a folder; an image for each annotation."""

    def write(name, lists, annotations):
        root = tmp_path / name
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for split, stems in lists.items():
            (root / f"ImageSets/Main/{split}.txt").write_text("".join(f"{stem}\n" for stem in stems))
        for i, (stem, text) in enumerate(annotations.items()):
            (root / f"JPEGImages/{stem}.jpg").write_bytes(encode("JPEG", seed=i))
            (root / f"Annotations/{stem}.xml").write_text(text)
        return root

    return write


def truths(dataset, split):
    return {truth.name: truth for _, _, truth in stored_truth(dataset, split)}


def test_corners_count_from_1_and_include_the_last_pixel(voc, tmp_path):
    difficult, truncated = "<difficult>1</difficult>", "<truncated>1</truncated>"
    root = voc(
        "set",
        {"train": ["a", "e"], "val": ["b"]},
        {
            "a": xml(("dog", 1, 1, 40, 30), ("cat", 11, 7, 20, 15, difficult), ("cat", 31, 1, 50, 3, truncated)),
            "b": xml(("dog", 1, 1, 2, 2)),
            "e": xml(),
        },
    )
    dataset = open_dataset(root, tmp_path / "cache")
    assert (dataset.task, dataset.metrics, dataset.class_names) == ("detection", "voc", ("cat", "dog"))
    assert dataset.box_counts == {"train": (2, 1), "validation": (0, 1)}
    assert dataset.class_counts == {}
    train = truths(dataset, "train")
    assert len(train["JPEGImages/e.jpg"].objects) == 0
    a = train["JPEGImages/a.jpg"]
    assert (a.width, a.height) == (40, 30)
    expected = [[0, 0, 40, 30], [10, 6, 20, 15], [30, 0, 40, 3]]
    np.testing.assert_allclose(a.objects.boxes * [40, 30, 40, 30], expected, atol=1e-5)
    assert a.objects.labels.tolist() == [1, 0, 0]
    assert a.objects.difficult.tolist() == a.objects.ignored.tolist() == [False, True, False]
    assert a.objects.truncation.tolist() == [0, 0, 1]
    assert a.objects.area.tolist() == [1200, 90, 30]


def test_years_of_a_devkit_are_joined_and_tested_on_2007(voc, tmp_path):
    box = ("dog", 1, 1, 9, 9)
    voc("kit/VOC2007", {"trainval": ["a"], "test": ["b"], "train": ["a"], "val": []}, {"a": xml(box), "b": xml(box)})
    voc("kit/VOC2012", {"trainval": ["c", "d"], "train": ["c"], "val": ["d"]}, {"c": xml(box), "d": xml(box)})
    listing = list_images(tmp_path / "kit")
    names = {split: [image.name for image in images] for split, images in listing.splits.items()}
    assert names == {
        "train": ["VOC2007/JPEGImages/a.jpg", "VOC2012/JPEGImages/c.jpg", "VOC2012/JPEGImages/d.jpg"],
        "validation": ["VOC2007/JPEGImages/b.jpg"],
    }
    assert listing.metrics == "voc07"
    alone = list_images(tmp_path / "kit/VOC2012")
    assert {split: len(images) for split, images in alone.splits.items()} == {"train": 1, "validation": 1}
    assert alone.metrics == "voc"


def test_names_may_have_spaces_and_a_flag_behind_them(voc):
    root = voc("set", {"train": ["cell 01", "b  1"], "val": ["c -1"]}, dict.fromkeys(("cell 01", "b", "c"), xml(DOG)))
    listing = list_images(root)
    names = {split: [image.name for image in images] for split, images in listing.splits.items()}
    assert names == {"train": ["JPEGImages/cell 01.jpg", "JPEGImages/b.jpg"], "validation": ["JPEGImages/c.jpg"]}


def test_without_lists_a_share_is_held_out(voc, tmp_path, encode):
    root = voc("set", {}, {f"{i}": xml(("dog", 1, 1, 9, 9)) for i in range(20)})
    (root / "JPEGImages/alone.jpg").write_bytes(encode("JPEG"))
    listing = list_images(root, validation_share=0.3)
    assert listing.hash_split
    assert sum(len(images) for images in listing.splits.values()) == 20
    assert 0 < len(listing.splits["validation"]) < 15
    assert listing.skipped == (("JPEGImages/alone", "it has no annotation"),)


def test_what_cannot_be_used_is_skipped_with_a_reason(voc):
    bomb = '<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;">]><annotation>&z;</annotation>'
    good = xml(("dog", 1, 1, 9, 9))
    texts = {"a": good, "b": good, "cut": good[:50], "bomb": bomb, "other": "<html/>", "noname": xml(("", 1, 1, 9, 9))}
    root = voc("set", {"train": ["a", "a", "gone", *list(texts)[2:]], "val": ["b"]}, texts)
    (root / "Annotations/gone.xml").write_text(good)
    listing = list_images(root)
    assert [image.name for image in listing.splits["train"]] == ["JPEGImages/a.jpg"]
    reasons = dict(listing.skipped)
    assert "a is listed twice" in reasons["train.txt:2"]
    assert reasons["Annotations/gone.xml"] == "there is no image gone in JPEGImages"
    assert "not a sound XML file" in reasons["Annotations/cut.xml"]
    assert "it has a DOCTYPE" in reasons["Annotations/bomb.xml"]
    assert "begins with <html>" in reasons["Annotations/other.xml"]
    assert reasons["Annotations/noname.xml"] == "an object in it has no name"
    assert len(reasons) == 6


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_a_doctype_is_refused_in_every_encoding(encoding):
    laughs = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
    doctype = f'<!DOCTYPE a [<!ENTITY e0 "ha">{laughs}]>'
    text = f'<?xml version="1.0" encoding="{encoding}"?>{doctype}<annotation>&e12;</annotation>'
    with pytest.raises(DataError, match="it has a DOCTYPE"):
        parse_annotation(text.encode(encoding))


def test_numbers_that_are_none():
    parsed = parse_annotation(xml(("dog", "a", 1, 2, 3), ("dog", "", 1, 2, 3), size=("", -3)).encode())
    assert all(np.isnan(values["box"][0]) for _, values in parsed.objects)
    assert (parsed.width, parsed.height) == (0, 0)


def test_classes_of_a_network_and_of_a_list(voc, tmp_path):
    root = voc(
        "set",
        {"train": ["a"], "val": ["b"]},
        {"a": xml(("dog", 1, 1, 9, 9), ("cow", 1, 1, 5, 5)), "b": xml(("dog", 1, 1, 9, 9))},
    )
    assert list_images(root, class_names=["cow", "cat", "Dog"]).splits["train"][0].annotation.rows[:, 4].tolist() == [
        2,
        0,
    ]
    listing = list_images(root, class_names=["cat", "dog"])
    assert listing.splits["train"][0].annotation.rows[:, 4].tolist() == [1, OTHER_CLASS]
    assert "warning" in listing.notes[-1]
    assert "boxes of cow are left out: the network does not have them" in listing.notes[-1]
    with pytest.raises(DataError, match=r"has boxes of cow, dog, but the network has cat, horse"):
        list_images(root, class_names=["cat", "horse"])
    with pytest.raises(ConfigError, match="label_offset is for labels that are numbers"):
        list_images(root, label_offset=1)
    (root / "labels.txt").write_text("dog\n")
    listing = list_images(root)
    assert "boxes of cow are left out" in " ".join(listing.notes)
    dataset = open_dataset(root, tmp_path / "cache")
    assert (dataset.class_names, dataset.box_counts["train"]) == (("dog",), (1,))
    (root / "labels.txt").write_text("horse\n")
    with pytest.raises(DataError, match=r"has boxes of cow, dog, but its list of class names has horse"):
        list_images(root)


def test_a_thousand_classes_and_ten_thousand_boxes(voc, tmp_path):
    boxes = [(f"c{i % 1000:03d}", 1 + i % 30, 1 + i % 20, 5 + i % 30, 6 + i % 20) for i in range(10_000)]
    dataset = open_dataset(
        voc("set", {"train": ["a"], "val": ["b"]}, {"a": xml(*boxes), "b": xml()}), tmp_path / "cache"
    )
    assert dataset.box_counts["train"] == (10,) * 1000
    assert len(truths(dataset, "train")["JPEGImages/a.jpg"].objects) == 10_000


@pytest.mark.parametrize(
    ("lists", "annotations", "message"),
    [
        ({"train": ["a"], "val": ["b"]}, {"a": xml(), "b": xml()}, "has no box in any image"),
        ({"train": ["a"]}, {"a": xml(("dog", 1, 1, 9, 9))}, r"val\.txt does not exist"),
        ({"train": ["a"], "val": []}, {"a": xml(("dog", 1, 1, 9, 9))}, r"val\.txt is empty"),
        ({"train": ["a"], "val": ["b"]}, {"a": xml(("dog", 1, 1, 9, 9))}, r"no validation image with an annotation"),
        ({}, {"a": xml(("dog", 1, 1, 9, 9))}, "has no validation images"),
        (
            {"train": ["a"], "val": ["b"]},
            {"a": xml(("dog", 90, 1, 99, 9)), "b": xml(("dog", 1, 1, 9, 9))},
            "no training image has a box",
        ),
    ],
)
def test_folders_that_do_not_do(voc, tmp_path, lists, annotations, message):
    with pytest.raises(DataError, match=message):
        open_dataset(voc("set", lists, annotations), tmp_path / "cache")


@pytest.mark.shared
def test_blood_cells(detection_data, tmp_path):
    """Counted with a regular expression over the files."""
    import re

    root = detection_data / "bccd"
    dataset = open_dataset(root, tmp_path / "cache")
    assert (dataset.splits, dataset.skipped) == ({"train": 205, "validation": 87}, 0)
    for split, name in (("train", "train"), ("validation", "val")):
        stems = (root / f"ImageSets/Main/{name}.txt").read_text().split()
        texts = "".join((root / f"Annotations/{stem}.xml").read_text() for stem in stems)
        counts = tuple(len(re.findall(f"<name>{cell}</name>", texts)) for cell in ("Platelets", "RBC", "WBC"))
        assert dataset.box_counts[split] == counts
    first = truths(dataset, "validation")["JPEGImages/BloodImage_00000.jpg"]
    np.testing.assert_allclose(first.objects.boxes[0] * [640, 480, 640, 480], [259, 176, 491, 376], atol=1e-4)
