"""A Keras model that somebody trained with model.fit becomes a run that every stage takes."""

import dataclasses

import numpy as np
import pytest

from mnext_tf.boxes import DETECTION_SETTINGS, DetectionSettings
from mnext_tf.errors import ConfigError
from mnext_tf.export.of_model import run_of_model
from mnext_tf.export.stages import tflite
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.tasks import Classification


@pytest.fixture(scope="module")
def model(randomise):
    from mnext_tf.models import create_model

    return randomise(create_model("mobilenet_v1", width=0.05, num_classes=3, input_size=32))


@pytest.fixture
def images():
    """Patches of flat color, which the network tells apart."""
    coarse = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3), dtype=np.uint8)
    return coarse.repeat(8, axis=1).repeat(8, axis=2)


def test_the_file_is_the_model_with_its_labels(model, images, tmp_path):
    run = run_of_model(model, str(tmp_path / "run"), labels=["a", "b", "c"], calibration=images)
    stage = tflite(run, "float32")
    with open_predictor(stage.folder / stage.result["file"]) as network:
        assert network.labels == ("a", "b", "c")
        assert network.preprocess == run.config.preprocess
        expected = np.asarray(model(images.astype(np.float32), training=False))
        np.testing.assert_allclose(network.logits(images), expected, atol=1e-4 * np.abs(expected).max())
    assert stage.result["verify"]["images"] > 4  # about half of 24; the others calibrate
    assert sorted(p.name for p in tmp_path.iterdir()) == ["run"]  # all that it needs is inside


@pytest.mark.slow
def test_int8_is_calibrated_on_the_images_that_were_given(model, images, tmp_path):
    run = run_of_model(model, tmp_path / "run", calibration=images // 2)
    stage = tflite(run, "int8")
    assert stage.result["calibration_images"] == 24 - stage.result["verify"]["images"]
    assert run.config.class_names == ("class 0", "class 1", "class 2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"labels": ["a", "b"]}, "2 labels were given; the model has 3 classes"),
        ({"labels": ["a", "b", "c\nd"]}, "line break"),
        ({"calibration": np.zeros((4, 16, 16, 3))}, r"shape \(n, 32, 32, 3\)"),
        ({"calibration": np.full((4, 32, 32, 3), np.nan)}, r"in \[0, 255\]"),
        ({"calibration": np.zeros((1, 32, 32, 3))}, "at least 2 images"),
    ],
)
def test_what_does_not_fit_is_named(model, tmp_path, change, said):
    with pytest.raises(ConfigError, match=said):
        run_of_model(model, tmp_path / "run", **change)
    assert not (tmp_path / "run" / "config.json").exists()


def test_models_of_others_and_folders_in_use_are_refused(model, images, tmp_path):
    import tensorflow as tf

    with pytest.raises(ConfigError, match=r"Only networks that mnext_tf\.create_model or create_detector built"):
        run_of_model(tf.keras.Sequential([tf.keras.Input((32, 32, 3))]), tmp_path / "run")
    run_of_model(model, tmp_path / "run", calibration=images)
    with pytest.raises(ConfigError, match="holds a run already"):
        run_of_model(model, tmp_path / "run", calibration=images)


@pytest.fixture(scope="module")
def detector(randomise):
    from mnext_tf.models import create_detector

    return randomise(create_detector("mobilenet_v1", 3, width=0.05, input_size=32, priors="coco"))


def test_a_detector_becomes_a_run_that_says_how_it_is_decoded(detector, images, tmp_path):
    run = run_of_model(detector, tmp_path / "run", labels=["a", "b", "c"], calibration=images)
    assert (run.config.task, run.config.detection) == ("detection", DETECTION_SETTINGS["coco"])
    assert (run.config.preprocess.fit, run.config.preprocess.crop_fraction) == ("squash", 1.0)
    other = DetectionSettings("softmax", score_threshold=0.2)
    assert run_of_model(detector, tmp_path / "other", detection=other).config.detection == other


@pytest.mark.slow
def test_the_api_exports_opens_and_describes_a_detector(detector, images, tmp_path):
    import mnext_tf

    path = mnext_tf.export(detector, output="detections", calibration=images, path=tmp_path / "a.tflite", labels="abc")
    with mnext_tf.load(path) as network:
        assert (network.task.name, network.output, network.labels) == ("detection", "detections", ("a", "b", "c"))
        assert network.preprocess.fit == "squash"
        found = network.predict(images)
        assert len(found) == len(images)
        assert all(len(each) and each.boxes.shape == (len(each), 4) for each in found)
        with pytest.raises(ConfigError, match="Classifiers and detectors have nothing to compare"):
            mnext_tf.evaluate([network, dataclasses.replace(network, task=Classification())], tmp_path)


def test_detection_is_for_detectors(model, tmp_path):
    import mnext_tf

    with pytest.raises(ConfigError, match="create_detector built; this one classifies"):
        run_of_model(model, tmp_path / "run", detection=DetectionSettings())
    with pytest.raises(ConfigError, match="detection are for a model"):
        mnext_tf.export(tmp_path, detection=DetectionSettings())
