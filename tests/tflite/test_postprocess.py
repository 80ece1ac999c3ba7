"""The forms of a detector's file that apps take: what they give, and what MediaPipe makes of them."""

import numpy as np
import pytest
from support.detectors import (
    ABOUT,
    SIZE,
    box_iou,
    expected_detections,
    expected_scores,
    toy_decoding,
    toy_images,
    toy_priors,
)

from mnext_tf.errors import ExportError
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.detector import POSTPROCESS, order_outputs
from mnext_tf.tflite.detector_metadata import add_detector_metadata
from mnext_tf.tflite.operators import open_interpreter
from mnext_tf.tflite.postprocess import four_outputs, two_outputs
from mnext_tf.tflite.preflight import CPU, GPU, preflight

PRECISIONS, SCORINGS = ("float32", "int8"), ("softmax", "sigmoid")
every_file = pytest.mark.parametrize(("precision", "scoring"), [(p, s) for p in PRECISIONS for s in SCORINGS])


def run_file(path, images) -> list[dict[str, np.ndarray]]:
    """The outputs of a file by the names of its signature, without batch; int8 ones in real numbers."""
    interpreter = open_interpreter(path)
    image = interpreter.get_input_details()[0]
    ends, results = interpreter.get_signature_runner().get_output_details(), []
    for pixels in images:
        given = pixels - 128 if image["dtype"] == np.int8 else pixels
        interpreter.set_tensor(image["index"], given[None].astype(image["dtype"]))
        interpreter.invoke()
        real = {}
        for name, end in ends.items():
            scale, zero = end["quantization"]
            values = interpreter.get_tensor(end["index"])[0]
            real[name] = (values.astype(np.float32) - zero) * np.float32(scale) if scale else values
        results.append(real)
    return results


def packed(path, images) -> np.ndarray:
    """(n, priors, classes + 5)."""
    found = run_file(path, images)
    return np.stack([np.concatenate([f["class_logits"], f["box_regression"]], axis=1) for f in found])


@every_file
def test_two_outputs_are_those_of_the_raw_file(toy_file, precision, scoring):
    images = toy_images(4, seed=1)
    raw = packed(toy_file(precision, "raw"), images)
    for outputs, given in zip(run_file(toy_file(precision, "two", scoring), images), raw, strict=True):
        np.testing.assert_allclose(outputs["score"], expected_scores(given[:, :4], scoring), atol=2e-6)
        np.testing.assert_array_equal(outputs["location"], given[:, 4:][:, [1, 0, 3, 2]])
    assert raw[..., 4:].std() > 0.2


@every_file
def test_four_outputs_are_the_boxes_suppressed_per_class(toy_file, precision, scoring):
    images = toy_images(4, seed=1)
    raw = packed(toy_file(precision, "raw"), images)
    how, counts = toy_decoding(scoring=scoring), []
    for outputs, given in zip(run_file(toy_file(precision, "four", scoring), images), raw, strict=True):
        counts.append(len(expected := expected_detections(given, how)))
        assert outputs["number of detections"] == counts[-1]
        for (label, score, box), row in zip(expected, range(20), strict=False):
            assert outputs["category"][row] == label
            assert outputs["score"][row] == pytest.approx(score, abs=2e-6)
            np.testing.assert_allclose(outputs["location"][row][[1, 0, 3, 2]], np.clip(box, 0, 1), atol=1e-6)
    assert min(counts) > 5


def test_thresholds_are_those_of_the_record(toy_raw, toy_file, tmp_path):
    images, path = toy_images(1, seed=1), tmp_path / "x.tflite"
    (raw,) = packed(toy_file("float32", "raw"), images)
    counts = set()
    for changes in ({"score_threshold": 0.8}, {"iou_threshold": 0.2}, {"max_detections": 7}, {"size_variance": 0.3}):
        how = toy_decoding(form="four", **changes)
        path.write_bytes(four_outputs(toy_raw["float32"], how, toy_priors()))
        (found,) = run_file(path, images)
        counts.add(count := int(found["number of detections"]))
        if "size_variance" not in changes:
            assert count == len(expected_detections(raw, how))
        assert found["location"].shape == (how.max_detections, 4)
    assert len(counts) > 2


def test_the_same_content_gives_the_same_bytes(toy_raw):
    how = toy_decoding(form="four")
    for precision in PRECISIONS:
        for make in (lambda raw: two_outputs(raw, how), lambda raw: four_outputs(raw, how, toy_priors())):
            assert make(toy_raw[precision]) == make(toy_raw[precision])


@pytest.mark.parametrize("form", ["two", "four"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_network_is_not_changed(toy_raw, toy_file, precision, form):
    """All weights are there, and the operators are the same between those for the app."""
    path = toy_file(precision, form)
    before, after = (flatbuffer.read_model(data) for data in (toy_raw[precision], path.read_bytes()))
    a, b = ([bytes(x.data) for x in tree.buffers if x.data is not None] for tree in (before, after))
    assert len(a) > 8
    assert set(a) <= set(b)
    kinds = [[flatbuffer.operator_kind(t, op) for op in t.subgraphs[0].operators] for t in (before, after)]
    start = 1 if precision == "int8" else 0
    assert kinds[1][:start] == ["QUANTIZE"] * start
    assert kinds[1][start:][: len(kinds[0])] == kinds[0]
    ends = {
        "two": ["FULLY_CONNECTED", "SOFTMAX", "SLICE"],
        "four": ["FULLY_CONNECTED", "SOFTMAX", "CUSTOM", "RELU_0_TO_1"],
    }
    assert kinds[1][start + len(kinds[0]) :] == ["DEQUANTIZE"] * 2 * start + ends[form]


@every_file
def test_gpus_and_xnnpack_take_all_but_the_custom_operator(toy_file, precision, scoring):
    assert preflight(toy_file(precision, "two", scoring)).on(GPU) == []
    for form in ("two", "four"):
        found = preflight(toy_file(precision, form, scoring))
        allowed = {"QUANTIZE"} if precision == "int8" else set()  # uint8 to int8
        allowed |= {POSTPROCESS, "RELU_0_TO_1"} if form == "four" else set()
        assert {left.operator for left in found.on(CPU)} == allowed
    (left,) = found.on(GPU)
    assert (left.operator, left.index) == (POSTPROCESS, found.operators - 2)
    assert "CPU alone" in left.reason


def test_outputs_are_told_by_name_then_by_shape():
    four, six = (1, 9, 4), (1, 9, 6)
    assert order_outputs([("box_regression", four), ("class_logits", four)]) == (1, 0)
    assert order_outputs([("a;class_logits/concat", four), ("b", four)]) == (0, 1)
    assert order_outputs([("x", four), ("y", six)]) == (1, 0)
    for wrong in (
        [("x", four), ("y", four)],
        [("box_regression", six), ("class_logits", six)],
        [("box_regression", four)],
        [("box_regression", four), ("class_logits", (1, 8, 4))],
        [("logits", (1, 10)), ("box_regression", four)],
    ):
        with pytest.raises(ExportError, match="gives class_logits"):
            order_outputs(wrong)


def test_files_and_priors_that_do_not_fit_are_refused(toy_raw, toy_file):
    two, how = toy_file("float32", "two").read_bytes(), toy_decoding(form="two")
    with pytest.raises(ExportError, match="gives class_logits"):
        four_outputs(toy_file("float32", "four").read_bytes(), how, toy_priors())
    with pytest.raises(ExportError, match="this file gives location"):
        two_outputs(two, how)
    with pytest.raises(ExportError, match=r"160 boxes; received priors of shape \(159, 4\)"):
        four_outputs(toy_raw["int8"], how, toy_priors()[1:])
    with pytest.raises(ExportError, match=r"160 boxes; received priors of shape \(159, 4\)"):
        add_detector_metadata(two, ABOUT, how, toy_priors()[1:])
    with pytest.raises(ExportError, match="the form four"):
        add_detector_metadata(two, ABOUT, toy_decoding(form="four"))


@pytest.fixture(scope="module")
def detect():
    """`detect(path, image, **options)`: MediaPipe's [(class name, score, box as shares of the image), ...]."""
    mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe is not installed: make extras")
    from mediapipe.tasks.python import BaseOptions, vision

    def detect(path, image, **options):
        options = vision.ObjectDetectorOptions(base_options=BaseOptions(model_asset_path=str(path)), **options)
        with vision.ObjectDetector.create_from_options(options) as detector:
            given = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image))
            found = detector.detect(given).detections
        sides, results = np.array([*image.shape[1::-1]] * 2), []
        for detection in found:  # boxes of several classes that are equal in pixels are one detection
            at = detection.bounding_box
            box = np.array([at.origin_x, at.origin_y, at.origin_x + at.width, at.origin_y + at.height]) / sides
            results += [(c.category_name, c.score, box) for c in detection.categories]
        return sorted(results, key=lambda item: -item[1])

    return detect


def enlarged(image: np.ndarray) -> np.ndarray:
    """uint8, ten times the size, so that MediaPipe's whole pixels are small; shrunk it is `image` again."""
    return image.astype(np.uint8).repeat(10, 0).repeat(10, 1)


def clipped(detections):
    return [(label, score, np.clip(box, 0, 1)) for label, score, box in detections]


def moved(detections):
    """MediaPipe moves a box that begins left of the image or above it into the image, and keeps its size."""
    inside = [(label, score, np.maximum(box[:2], 0), box[2:] - box[:2]) for label, score, box in detections]
    return [(label, score, np.concatenate([start, start + size])) for label, score, start, size in inside]


def assert_same_detections(found, expected):
    """Each has its like in the other, and classes, scores and boxes agree."""
    assert len(found) == len(expected)
    left = list(expected)
    for name, score, box in found:
        alike = [i for i, (label, s, _) in enumerate(left) if ABOUT.labels[label] == name and abs(s - score) < 0.02]
        overlaps = box_iou(box, np.array([left[i][2] for i in alike]).reshape(-1, 4))
        assert overlaps.max(initial=0) > 0.95
        left.pop(alike[int(overlaps.argmax())])


@pytest.mark.mediapipe
@every_file
def test_mediapipe_gives_our_boxes(toy_file, detect, precision, scoring):
    images = toy_images(3, seed=2)
    raw = packed(toy_file(precision, "raw"), images)
    how = toy_decoding(scoring=scoring)
    for image, given in zip(images, raw, strict=True):
        found = detect(toy_file(precision, "four", scoring), enlarged(image))
        assert_same_detections(found, clipped(expected_detections(given, how)))
        found = detect(toy_file(precision, "two", scoring), enlarged(image), score_threshold=0.3, max_results=20)
        assert_same_detections(found, moved(expected_detections(given, how, per_class=False, overlap=0.3)))
        assert len({name for name, _, _ in found}) > 1


@pytest.mark.mediapipe
def test_mediapipe_takes_no_threshold_from_a_file_of_two_outputs(toy_file, detect):
    """The metadata has it, and its score_threshold, 0 unless given, goes before it; suppression is at 0.3, always."""
    image = toy_images(1, seed=2)[0]
    found = detect(toy_file("float32", "two"), enlarged(image))
    assert min(score for _, score, _ in found) < 0.3
    (raw,) = packed(toy_file("float32", "raw"), [image])
    everything = toy_decoding(score_threshold=0.0, max_detections=1000)
    assert_same_detections(found, moved(expected_detections(raw, everything, per_class=False, overlap=0.3)))


@pytest.mark.mediapipe
def test_mediapipe_refuses_a_raw_file(toy_file, detect):
    with pytest.raises(ValueError, match="BoundingBoxProperties"):
        detect(toy_file("float32", "raw"), enlarged(toy_images(1)[0]))


@pytest.mark.mediapipe
@pytest.mark.shared
@pytest.mark.parametrize("precision", PRECISIONS)
def test_mediapipe_on_photographs(toy_file, detect, detection_photographs, precision):
    from PIL import Image

    for path in detection_photographs[:3]:
        image = np.asarray(Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.float32)
        (raw,) = packed(toy_file(precision, "raw"), [image])
        found = detect(toy_file(precision, "four"), enlarged(image))
        assert_same_detections(found, clipped(expected_detections(raw, toy_decoding())))
        found = detect(toy_file(precision, "two"), enlarged(image), score_threshold=0.3, max_results=20)
        expected = expected_detections(raw, toy_decoding(), per_class=False, overlap=0.3)
        assert_same_detections(found, moved(expected))
