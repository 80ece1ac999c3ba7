"""A Keras model that somebody trained with model.fit becomes a run that every stage takes."""

import numpy as np
import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.export.of_model import run_of_model
from mnext_tf.export.stages import tflite
from mnext_tf.inference.predictor import open_predictor


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
