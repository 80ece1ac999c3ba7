"""Pictures: boxes where they are, in colors of their meaning, and the worst images first."""

import numpy as np
import pytest
from PIL import Image, ImageColor
from support.detection_data import bccd
from support.detections import detected, guesses, objects, scene

from mnext_tf.data.objects import Truth
from mnext_tf.evaluation.detection import evaluate_detections
from mnext_tf.evaluation.detection.drawing import BLUE, GREEN, ORANGE, SKY, VERMILION, Mark, draw_boxes, draw_marks
from mnext_tf.evaluation.detection.mistakes import contact_sheet, mark_mistakes, worst_images
from mnext_tf.evaluation.detection.plots import precision_recall

GRAY = np.full((300, 500, 3), 128, np.uint8)
NAMES = ("cat", "dog")


def shows(picture, color) -> np.ndarray:
    """Where a picture has a color."""
    return (picture == ImageColor.getrgb(color)).all(-1)


def test_a_box_is_drawn_on_its_edges_with_a_label_above():
    found = detected([[0.2, 0.4, 0.6, 0.8]], [0.5], [0])
    picture = draw_boxes(GRAY, found, NAMES)
    assert picture.shape == GRAY.shape
    orange = shows(picture, ORANGE)
    assert orange[120, 100:301].all()  # y 0.4 of 300, from x 0.2 to 0.6 of 500
    assert orange[120:241, 100].all()
    rows, columns = np.nonzero(orange)
    assert (columns.min(), columns.max(), rows.max()) == (100, 300, 240)
    assert 95 < rows.min() < 110  # the label
    assert not orange[130:230, 110:290].any()
    assert (picture[rows.min() : 120, 100:200] == 0).any()  # its letters
    assert (GRAY == 128).all()


def test_small_images_are_enlarged_and_nothing_found_leaves_an_image():
    empty = detected(np.zeros((0, 4)), [], [])
    assert draw_boxes(GRAY[:30, :50], empty, NAMES).shape == (240, 400, 3)
    np.testing.assert_array_equal(draw_boxes(GRAY, empty, NAMES), GRAY)


def test_labels_avoid_each_other_and_stay_in_the_image():
    marks = [Mark([0.0, 0.0, 1.0, 1.0], color, "a long label") for color in (ORANGE, SKY, GREEN)]
    picture = draw_marks(GRAY, marks)
    areas = [shows(picture, color).sum() for color in (SKY, GREEN)]
    assert min(areas) > 800  # their boxes lie below the first one; their labels do not
    odd = [Mark([0.9, 0.9, 1.2, 1.3], ORANGE, "a very long label, wider than its box"), Mark([0.5, 0.5, 0.5, 0.5], SKY)]
    assert shows(draw_marks(GRAY, odd), ORANGE).sum() > 800


def test_worst_images_come_first_and_good_ones_not_at_all():
    box, other = [0.1, 0.1, 0.5, 0.5], [0.6, 0.6, 0.9, 0.9]
    two = Truth("two", 100, 100, objects([box, other], [0, 1]))
    region = Truth("region", 100, 100, objects([box], [-1]))
    detections = [
        detected([box, other], [0.9, 0.8], [0, 1]),  # good
        detected([box, other], [0.9, 0.8], [1, 1]),  # one wrong, one missed
        detected([box, other], [0.9, 0.1], [1, 1]),  # one wrong, two missed
        detected([box], [0.9], [1]),  # in a region to ignore
    ]
    worst = worst_images([two, two, two, region], detections)
    assert [(m.image, m.missed, m.wrong) for m in worst] == [(2, 2, 1), (1, 1, 1)]
    assert len(worst_images([two, two, two, region], detections, most=1)) == 1
    marks = mark_mistakes(two, detections[1], NAMES)
    assert [(m.color, m.label, m.dashed) for m in marks] == [
        (VERMILION, "dog 0.90", False),
        (BLUE, "cat", True),
        (GREEN, "", False),
        (SKY, "", True),
    ]


@pytest.mark.parametrize("metrics", ["coco", "kitti"])
def test_precision_recall_plot(tmp_path, metrics):
    truths, detections = scene(0)
    precision_recall(tmp_path / "pr.png", evaluate_detections(truths, detections, "abcde", metrics), "$a$")
    picture = np.asarray(Image.open(tmp_path / "pr.png").convert("RGB"))
    assert shows(picture, BLUE).sum() > 50
    nothing = [Truth("a", 10, 10, objects(np.zeros((0, 4)), []))]
    result = evaluate_detections(nothing, [detected(np.zeros((0, 4)), [], [])], "a", metrics)
    precision_recall(tmp_path / "none.png", result, "nothing")
    assert Image.open(tmp_path / "none.png").size[0] > 1000


@pytest.mark.shared
def test_contact_sheet_of_photographs(tmp_path, detection_data):
    truths, names = bccd(detection_data / "bccd", 8)
    rng = np.random.default_rng(0)
    detections = [guesses(rng, t.objects, 3) for t in truths]
    chosen = [m.image for m in worst_images(truths, detections, most=4)]
    assert len(chosen) == 4
    truths, detections = [truths[i] for i in chosen], [detections[i] for i in chosen]
    images = [np.asarray(Image.open(detection_data / "bccd/JPEGImages" / t.name)) for t in truths]
    contact_sheet(tmp_path / "sheet.png", images, truths, detections, names, "worst")
    picture = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert shows(picture, VERMILION).sum() > 1000
    assert shows(picture, BLUE).sum() > 1000
