"""Detectors' .tflite files through LiteRT: packed outputs of raw ones, detections of those for apps."""

import numpy as np
import pytest
from support.detectors import (
    ABOUT,
    CLASSES,
    SIZE,
    expected_detections,
    toy_decoding,
    toy_detector,
    toy_images,
    toy_priors,
)

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.detector_metadata import add_detector_metadata
from mnext_tf.tflite.postprocess import four_outputs, two_outputs

pytest.importorskip("mnext_tf.boxes", reason="detections are not here yet")

FORMS = [(p, f, s) for p in ("float32", "int8") for f in ("two", "four") for s in ("softmax", "sigmoid")]


@pytest.fixture(scope="module")
def images():
    return toy_images(5, seed=3)


def test_a_raw_file_gives_packed_outputs_as_keras_does(toy_raw, toy_file, images):
    model = toy_detector()
    keras = model(images[:1], training=False)
    network = TFLiteNetwork(toy_file("float32", "raw"))
    assert (network.output, network.num_classes, network.input_size) == ("logits", CLASSES, SIZE)
    found = network(images)
    assert found.shape == (5, 160, CLASSES + 5)
    np.testing.assert_allclose(found[0, :, :4], keras["class_logits"][0], atol=1e-4)
    np.testing.assert_allclose(found[0, :, 4:], keras["box_regression"][0], atol=1e-4)


def test_an_int8_file_has_a_scale_for_each_output(toy_file, images):
    real, rounded = (TFLiteNetwork(toy_file(precision, "raw"))(images) for precision in ("float32", "int8"))
    for columns in (slice(0, 4), slice(4, 8)):
        assert 0 < np.abs(rounded[..., columns] - real[..., columns]).mean() < 0.02 * real[..., columns].std() + 0.01


@pytest.mark.parametrize("swap", [False, True])
def test_outputs_may_come_in_either_order(toy_raw, tmp_path, images, swap):
    tree, path = flatbuffer.read_model(toy_raw["float32"]), tmp_path / "x.tflite"
    path.write_bytes(toy_raw["float32"])
    before = TFLiteNetwork(path)(images)
    if swap:
        tree.subgraphs[0].outputs = [*tree.subgraphs[0].outputs][::-1]
    made = add_detector_metadata(flatbuffer.write_model(tree), ABOUT, toy_decoding())
    path.write_bytes(made)
    np.testing.assert_array_equal(TFLiteNetwork(path)(images), before)


@pytest.mark.parametrize(("precision", "form", "scoring"), FORMS)
def test_forms_for_apps_give_the_detections_of_the_raw_file(toy_file, images, precision, form, scoring):
    from mnext_tf.inference.tflite_detector import TFLiteDetector

    packed = TFLiteNetwork(toy_file(precision, "raw"))(images)
    detector = TFLiteDetector(toy_file(precision, form, scoring))
    assert detector.decoding == toy_decoding(form=form, scoring=scoring)
    assert detector.num_classes == CLASSES
    for found, given in zip(detector(images), packed, strict=True):
        expected = expected_detections(given, detector.decoding)
        assert len(found) == len(expected) > 5
        labels, scores, boxes = (np.array(column) for column in zip(*expected, strict=True))
        np.testing.assert_array_equal(found.labels, labels)
        np.testing.assert_allclose(found.scores, scores, atol=2e-6)
        np.testing.assert_allclose(found.boxes, np.clip(boxes, 0, 1), atol=2e-6)
        assert (found.boxes.dtype, found.labels.dtype) == (np.float32, np.int32)


def test_files_of_another_form_are_refused(toy_raw, toy_file, tmp_path):
    from mnext_tf.inference.tflite_detector import TFLiteDetector

    path = tmp_path / "silent.tflite"
    path.write_bytes(toy_raw["float32"])
    with pytest.raises(ExportError, match="does not say how its outputs become boxes"):
        TFLiteDetector(path)
    with pytest.raises(ExportError, match="is of the form raw and gives"):
        TFLiteDetector(toy_file("float32", "raw"))
    with pytest.raises(ExportError, match=r"two_softmax\.tflite gives location"):
        TFLiteNetwork(toy_file("float32", "two"))
    with pytest.raises(ExportError, match=r"outputs of shape \(1, 20, 4\), \(1, 20\)"):
        TFLiteNetwork(toy_file("float32", "four"))


def test_variances_are_those_of_the_record(toy_raw, tmp_path, images):
    from mnext_tf.inference.tflite_detector import TFLiteDetector

    found = {}
    for form in ("two", "four"):
        how, path = toy_decoding(form=form, center_variance=0.3, size_variance=0.4), tmp_path / f"{form}.tflite"
        raw = toy_raw["float32"]
        made = two_outputs(raw, how) if form == "two" else four_outputs(raw, how, toy_priors())
        path.write_bytes(add_detector_metadata(made, ABOUT, how, toy_priors()))
        found[form] = TFLiteDetector(path)(images)
    for two, four in zip(found["two"], found["four"], strict=True):
        np.testing.assert_allclose(two.boxes, four.boxes, atol=2e-6)


def test_a_detector_without_its_preprocessing_takes_the_whole_image(toy_file, tmp_path, log_lines):
    path = tmp_path / "bare.tflite"
    path.write_bytes(toy_file("float32", "raw").read_bytes())
    with open_predictor(path) as network:
        assert (network.preprocess.fit, network.preprocess.input_size) == ("squash", SIZE)
    assert "whole image to 64 x 64, bilinear" in "\n".join(log_lines)
    with pytest.raises(ConfigError, match="a detector takes the whole image"):
        open_predictor(path, preprocess={"crop_fraction": 0.9})
