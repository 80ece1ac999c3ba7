"""The app with detectors: their outputs, the check of golden boxes, and how boxes are drawn, on a desktop JVM."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytestmark = pytest.mark.android

OUTPUTS = {
    "location": "1,3,4:0.1,0.2,0.5,0.6,0,0,1,1,0,0,0,0",  # y_min, x_min, y_max, x_max
    "category": "1,3:1,2,0",
    "score": "1,3:0.75,0.5,0.25",
    "number of detections": "1:2",
}


@pytest.fixture(scope="module")
def published(published_detector):
    """NAME.json of a detector, as Python writes it, and its detections: x_min, y_min, x_max, y_max, class, score."""
    path = published_detector("float32")
    found = json.loads(path.read_text())["golden"]["detections"]
    return path, np.array([[*d["box"], d["class"], d["score"]] for d in found], np.float32)


def scenario(**changes) -> str:
    """The outputs of a model; None leaves one out."""
    outputs = {**OUTPUTS, **changes}
    return "found=" + ";".join(f"{name}:{text}" for name, text in outputs.items() if text)


@pytest.fixture
def detect(jvm, published):
    """`detect(scenario)`: what the app shows."""
    return lambda outputs: jvm("detect", published[0].with_suffix(".tflite"), outputs)


def test_a_detectors_record_and_its_file_are_read(jvm, published):
    path, rows = published
    record = json.loads(path.read_text())
    ok, output = jvm("info", path)
    assert ok, output
    assert output[:3] == ["toy", "Toy", "toy.tflite"]
    assert output[6].count("Detection(") == len(rows) > 3
    assert [float(text) for text in output[7:]] == pytest.approx([0.3, 0.9, record["golden"]["tolerance"]])
    ok, (labels, preprocess) = jvm("model", path.with_suffix(".tflite"))
    assert (ok, labels) == (True, "cat|dog|red car")
    assert preprocess == "Preprocess(inputSize=64, cropFraction=1.0, interpolation=BILINEAR, fit=SQUASH)"


def test_the_boxes_of_four_outputs(detect):
    """Rows after the count are none, and scores below 0.3 are not shown."""
    dog = "dog:0.75:Box(xMin=0.2, yMin=0.1, xMax=0.6, yMax=0.5)"
    car = "red car:0.5:Box(xMin=0.0, yMin=0.0, xMax=1.0, yMax=1.0)"
    assert detect(scenario()) == (True, [f"{dog} {car}"])
    assert detect(scenario(score="1,3:0.75,0.29,0.25")) == (True, [dog])
    assert detect(scenario(**{"number of detections": "1:0"})) == (True, [""])
    names = list(OUTPUTS)
    swapped = "found=" + ";".join(f"{name}:{OUTPUTS[name]}" for name in reversed(names))
    assert detect(swapped) == (True, [f"{dog} {car}"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"score": None, "scores": OUTPUTS["score"]}, "no output named score; its outputs: location, category"),
        ({"location": "1,2,4:0,0,0,0,0,0,0,0"}, "location has the shape [1, 2, 4]"),
        ({"category": "1,3:1,3,0"}, "class 3.0; its labels.txt has 3"),
        ({"category": "1,3:-1,1,0"}, "class -1.0"),
        ({"number of detections": "1:4"}, "4.0 boxes; it has rows for 3"),
        ({"number of detections": "1:NaN"}, "NaN boxes"),
    ],
)
def test_outputs_that_are_no_detectors(detect, changes, reason):
    ok, output = detect(scenario(**changes))
    assert not ok
    assert reason in output[0]
    assert not output[0].startswith("class ")


def test_a_detector_runs_on_the_cpu(jvm):
    ok, output = jvm("load", "gpu", 4, "detector=true")
    assert (ok, output) == (True, ["CPU 4 0 0", "DETECTOR null", "cpu:4:xnnpack closed"])
    assert jvm("load", "cpu", 4, "detector=true")[1][1] == ""


@pytest.fixture(scope="module")
def golden(jvm, floats, published):
    """`golden(rows)`: (passed, found, expected, unexpected) of the check."""

    def golden(rows) -> tuple[str, int, int, int]:
        ok, output = jvm("golden", published[0], floats.text(rows))
        assert ok, output
        return (output[0] == "true", *map(int, output[1:4]))

    return golden


def test_the_golden_boxes_pass_in_any_order_and_with_others_of_low_scores(golden, published):
    rows, count = published[1], len(published[1])
    assert golden(rows) == golden(rows[::-1]) == (True, count, count, 0)
    near = rows + np.float32([0.002, 0, 0.002, 0, 0, -0.03])
    assert golden(near) == (True, count, count, 0)
    assert golden([*rows, [0, 0, 1, 1, 2, 0.34]]) == (True, count, count, 0)  # at most above + tolerance


@pytest.mark.parametrize(
    ("column", "change"), [(0, 0.2), (3, -0.2), (4, 1), (5, 0.06), (5, -0.06), (2, np.nan), (5, np.nan)]
)
def test_a_box_that_moved_or_has_another_class_or_score_fails(golden, published, column, change):
    rows = published[1].copy()
    rows[0, column] += change
    passed, found, expected, unexpected = golden(rows)
    assert (passed, found, expected) == (False, len(rows) - 1, len(rows))
    assert unexpected == 1  # its score is beyond 0.35


def test_missing_and_further_boxes_fail(golden, published):
    rows, count = published[1], len(published[1])
    assert golden(rows[1:]) == (False, count - 1, count, 0)
    assert golden(np.zeros((0, 6))) == (False, 0, count, 0)
    assert golden([*rows, [0, 0, 1, 1, 2, 0.36]]) == (False, count, count, 1)
    assert golden([*rows, rows[0]]) == (False, count, count, 1)  # one box is found once
    assert golden([*rows, [0, 0, 1, 1, 2, np.nan]]) == (False, count, count, 1)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"format": 2', '"format": 3', "format is 3.0"),
        ('"min_iou": 0.9', '"min_iou": null', "min_iou must be a number"),
        ('"detections": [', '"detections": [7, ', "list of objects"),
        ('"box": [', '"box": [0.5, ', "list of 4 numbers"),
    ],
)
def test_an_invalid_record_of_a_detector(jvm, published, tmp_path, old, new, reason):
    text = published[0].read_text()
    assert old in text
    (tmp_path / "x.json").write_text(text.replace(old, new))
    ok, output = jvm("info", tmp_path / "x.json")
    assert not ok
    assert reason in output[0]


@pytest.fixture(scope="module")
def place(jvm, floats):
    """`place(boxes)`: their places on a screen of 400 x 280 pixels, photo at (100, 0) to (300, 280), labels 80 x 20."""

    def place(boxes) -> tuple[np.ndarray, np.ndarray]:
        words = (np.array(boxes), [100, 0, 300, 280], [0, 0, 400, 280], [80, 20])
        ok, output = jvm("labels", *(floats.text(word) for word in words))
        assert ok, output
        return tuple(floats.array(text).reshape(-1, 4) for text in output)

    return place


def test_a_box_is_drawn_where_it_is_in_the_photo(place):
    frames, labels = place([[0.25, 0.5, 0.75, 1.0], [0, 0, 1, 1]])
    np.testing.assert_allclose(frames, [[150, 140, 250, 280], [100, 0, 300, 280]], atol=1e-4)
    above, within = [150, 120, 230, 140], [100, 0, 180, 20]
    np.testing.assert_allclose(labels, [above, within], atol=1e-4)


def test_labels_stay_in_the_view_and_do_not_cover_each_other(place):
    corner = np.float32([0.995, 0.99, 1, 1])
    rng = np.random.default_rng(0)
    for boxes in ([corner] * 4, [[0, 0, 1, 1]] * 4, np.sort(rng.uniform(0, 1, (6, 2, 2)), 1).reshape(6, 4)):
        _, labels = place(boxes)
        assert (labels[:, :2] >= 0).all()
        assert (labels[:, 2:] <= [400, 280]).all()
        for i, a in enumerate(labels):
            for b in labels[:i]:
                assert min(a[2], b[2]) <= max(a[0], b[0]) or min(a[3], b[3]) <= max(a[1], b[1]), (a, b)


def test_colors_are_those_of_python_and_labels_have_contrast(jvm):
    from mnext_tf.evaluation.detection.drawing import _OF_CLASSES

    ok, colors = jvm("colors", 8)
    assert ok
    texts, grounds = zip(*(color.split(" on ") for color in colors), strict=True)
    assert grounds == (*_OF_CLASSES, _OF_CLASSES[0])
    for text, ground in zip(texts, grounds, strict=True):
        low, high = sorted((luminance(text), luminance(ground)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, ground  # WCAG's level AA


def luminance(color: str) -> float:
    channels = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])
