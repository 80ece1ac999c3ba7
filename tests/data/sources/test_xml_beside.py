"""Annotations beside their images, as labelImg writes them."""

import pytest

from mnext_tf.data import open_dataset
from mnext_tf.data.opening import has_boxes
from mnext_tf.data.sources.layouts import list_images

XML = (
    "<?xml version='1.0'?><annotation><size><width>40</width><height>30</height></size><object><name>dog</name>"
    "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>20</xmax><ymax>15</ymax></bndbox></object></annotation>"
)


@pytest.fixture
def pairs(tmp_path, encode):
    """`pairs("train", 3)`: images with annotations in that folder below the data's."""

    def write(below, count):
        folder = tmp_path / "set" / below
        folder.mkdir(parents=True)
        for i in range(count):
            (folder / f"{i}.jpg").write_bytes(encode("JPEG", seed=i))
            (folder / f"{i}.xml").write_text(XML)
        return tmp_path / "set"

    return write


def test_one_folder_is_divided(pairs, tmp_path, encode):
    root = pairs("", 20)
    (root / "alone.jpg").write_bytes(encode("JPEG"))
    (root / "gone.xml").write_text(XML)
    assert has_boxes(root)
    listing = list_images(root)
    assert dict(listing.skipped) == {"alone": "it has no annotation", "gone.xml": "there is no image gone in set"}
    dataset = open_dataset(root, tmp_path / "cache")
    assert (dataset.task, dataset.metrics, dataset.class_names) == ("detection", "voc", ("dog",))
    assert sum(dataset.splits.values()) == 20
    assert not dataset.has_own_splits


@pytest.mark.parametrize("validation", ["valid", "val", "test"])
def test_a_folder_for_each_split(pairs, validation):
    pairs("train", 3)
    listing = list_images(pairs(validation, 2))
    assert not listing.hash_split
    names = [image.name for image in listing.splits["validation"]]
    assert (len(listing.splits["train"]), names) == (3, [f"{validation}/0.jpg", f"{validation}/1.jpg"])


def test_other_xml_files_make_no_detector(pairs):
    root = pairs("", 2)
    for path in root.glob("*.xml"):
        path.write_text("<svg/>")
    assert not has_boxes(root)
    assert list_images(root).task == "classification"
