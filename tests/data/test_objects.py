import io

import numpy as np
import pytest

from mnext_tf.data.image_files import read_listed
from mnext_tf.data.objects import OTHER_CLASS, REGION, annotation, annotation_row, place
from mnext_tf.data.sources.listing import ImageListing, ListedImage


def test_boxes_are_relative_and_each_kind_is_counted():
    rows = [
        annotation_row((10, 5, 30, 15), 1, difficult=True, truncation=0.5, occlusion=2),
        annotation_row((0, 0, 40, 20), 0, crowd=True, area=123),
        annotation_row((5, 5, 6, 6), REGION),
    ]
    objects, tally = place(annotation(rows), 40, 20)
    np.testing.assert_allclose(objects.boxes[0], [0.25, 0.25, 0.75, 0.75])
    assert objects.labels.tolist() == [1, 0, -1]
    assert objects.ignored.tolist() == [True, True, True]
    np.testing.assert_allclose(objects.area, [200, 123, 1], rtol=1e-6)
    assert (objects.truncation[0], objects.occlusion[0]) == (0.5, 2)
    assert [a.dtype for a in (objects.boxes, objects.labels, objects.ignored)] == [np.float32, np.int32, bool]
    assert tally == {
        "boxes": 3, "difficult": 1, "crowd": 1, "regions to ignore": 1, "truncated": 1, "occluded": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("box", "kept", "kind"),
    [
        ((-5, -5, 10, 10), (0, 0, 0.25, 0.5), "clipped to the image"),
        ((30, 10, 90, 90), (0.75, 0.5, 1, 1), "clipped to the image"),
        ((0, 0, 40.001, 20), (0, 0, 1, 1), None),
        ((41, 0, 50, 10), None, "dropped: outside the image"),
        ((-9, 0, 0, 10), None, "dropped: outside the image"),
        ((10, 10, 10, 15), None, "dropped: without an area"),
        ((20, 10, 10, 15), None, "dropped: without an area"),
        ((10, 10, 10 + 1e-9, 15), None, "dropped: outside the image"),  # nothing is left of it in float32
        ((float("nan"), 0, 1, 1), None, "dropped: not four numbers"),
        ((0, 0, float("inf"), 1), None, "dropped: not four numbers"),
    ],
)
def test_boxes_that_are_not_inside(box, kept, kind):
    objects, tally = place(annotation([annotation_row(box, 0)]), 40, 20)
    np.testing.assert_allclose(objects.boxes, np.reshape(kept or (), (-1, 4)))
    assert {k for k in tally if "boxes" not in k} == ({kind} if kind else set())
    assert tally["images without boxes"] == (0 if kept else 1)


def test_a_class_that_is_left_out():
    objects, tally = place(annotation([annotation_row((0, 0, 5, 5), OTHER_CLASS)]), 40, 20)
    assert len(objects) == 0
    assert tally == {"dropped: another class": 1, "images without boxes": 1}


def test_an_image_of_another_size_than_annotated():
    rows = [annotation_row((10, 5, 30, 15), 0, area=100)]
    smaller, tally = place(annotation(rows, 40, 20), 20, 10)  # resized after it was annotated
    np.testing.assert_allclose(smaller.boxes, [[0.25, 0.25, 0.75, 0.75]])
    assert smaller.area.tolist() == [25]
    assert tally["images of another size than annotated"] == 1
    other, tally = place(annotation(rows, 20, 20), 40, 20)  # the annotation's size is wrong
    np.testing.assert_allclose(other.boxes, [[0.25, 0.25, 0.75, 0.75]])
    assert tally["images of another size than annotated"] == 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("said", ["as stored", "upright", "nothing"])
def test_boxes_of_images_that_exif_turns(tmp_path, orientation, said):
    """A white rectangle in a black image is where its box says, whichever way the image was annotated."""
    from PIL import Image, ImageOps

    pixels = np.zeros((30, 50, 3), np.uint8)
    pixels[5:11, 20:45] = 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(tmp_path / "a.png")))
    ys, xs = np.nonzero(upright[..., 0])
    box, size = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1), upright.shape[1::-1]
    if said == "as stored" and orientation >= 5:
        box, size = (20, 5, 45, 11), (50, 30)
    about = annotation([annotation_row(box, 0)], *(size if said != "nothing" else ()))
    image = ListedImage("a.png", None, None, about)
    listing = ImageListing(tmp_path, ("a",), {"train": [image]}, task="detection", metrics="coco")
    example = read_listed(listing, image)
    decoded = np.asarray(Image.open(io.BytesIO(example.encoded)))
    sides = np.tile((example.width, example.height), 2)
    x0, y0, x1, y1 = np.rint(example.objects.boxes[0] * sides).astype(int)
    assert decoded[y0:y1, x0:x1].min() == 255
    assert (decoded > 0).all(2).sum() == (x1 - x0) * (y1 - y0)
    assert example.tally["boxes turned with the image"] == (said == "as stored" and orientation >= 5)
