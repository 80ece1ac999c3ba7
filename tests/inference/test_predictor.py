"""One way to open and run every form of a network."""

from __future__ import annotations

import numpy as np
import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.inference.sidecars import read_labels
from mnext_tf.tflite.operators import Operator, output_kind


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def forms(exported):
    """Path and expected format of each form of one network."""
    folder, file = exported.folder, exported.manifest("tflite_float32")["result"]["file"]
    return {
        "keras": folder,
        "saved_model": folder / "saved_model",
        "frozen": folder / "frozen/frozen.pb",
        "tflite": folder / "tflite_float32" / file,
    }


def test_every_form_is_detected_and_gives_the_same(forms, images):
    expected = None
    for format, path in forms.items():
        for source in (path, str(path)):
            with open_predictor(source) as network:
                assert (network.format, network.output, network.preprocess.input_size) == (format, "logits", 32)
                logits = network.logits(images)
                expected = logits if expected is None else expected
                np.testing.assert_allclose(logits, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
                np.testing.assert_allclose(network.predict(images).sum(1), 1, rtol=1e-6)
                assert network.outputs(images[:0]).shape == (0, len(network.labels))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((32, 32, 3)), r"received float64 \(32, 32, 3\)"),
        (np.zeros((1, 16, 16, 3)), r"shape \(n, 32, 32, 3\)"),
        (np.full((1, 32, 32, 3), 300), "values from 300 to 300"),
        (np.full((1, 32, 32, 3), -1.0), "in \\[0, 255\\]"),
        (np.full((1, 32, 32, 3), np.nan), "in \\[0, 255\\]"),
        (np.full((1, 32, 32, 3), "x"), "array of numbers"),
    ],
)
def test_images_of_another_kind_are_refused(forms, wrong, said):
    with open_predictor(forms["tflite"]) as network, pytest.raises(ConfigError, match=said):
        network.predict(wrong)


def test_what_cannot_be_detected_is_named(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ConfigError, match="no network that is known"):
        open_predictor(tmp_path / "notes.txt")
    with pytest.raises(ConfigError, match="neither a run folder"):
        open_predictor(tmp_path)


def test_a_closed_network_does_not_answer(forms, images):
    network = open_predictor(forms["tflite"])
    network.close()
    with pytest.raises(RuntimeError):
        network.predict(images)


def operators_of(*kinds: str) -> list[Operator]:
    return [Operator(kind, kind, ("float32",), ("float32",), (0,)) for kind in kinds]


def test_the_last_operator_says_what_comes_out():
    assert output_kind(operators_of("CONV_2D", "SOFTMAX")) == "probabilities"
    assert output_kind(operators_of("FULLY_CONNECTED", "SOFTMAX", "QUANTIZE")) == "probabilities"
    assert output_kind(operators_of("SOFTMAX", "FULLY_CONNECTED", "DEQUANTIZE")) == "logits"


def test_a_sigmoid_is_shown_as_it_is_with_a_warning(tmp_path, log_lines):
    """A softmax of scores such as 0.9 and 0.8 would call both unlikely."""
    import tensorflow as tf

    image = tf.keras.Input((8, 8, 3), 1)
    pooled = tf.keras.layers.GlobalAveragePooling2D()(tf.keras.layers.Rescaling(1 / 255)(image))
    scores = tf.keras.layers.Dense(2, "sigmoid", kernel_initializer="zeros", bias_initializer="ones")(pooled)
    path = tmp_path / "several_labels.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, scores)).convert())
    with open_predictor(path) as network:
        np.testing.assert_allclose(network.predict(np.zeros((1, 8, 8, 3))), [[0.731, 0.731]], atol=1e-3)
    assert any("ends in a sigmoid" in line and line.startswith("warning") for line in log_lines)


def test_damaged_files_are_skipped_with_a_warning(forms, tmp_path, log_lines):
    from PIL import Image

    Image.new("RGB", (40, 30), (200, 10, 10)).save(tmp_path / "a.png")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff\xe0 no image")
    with open_predictor(forms["tflite"]) as network:
        (row,) = network.predict_files(str(tmp_path), top=2)
    assert len(row["predictions"]) == 2
    assert [line for line in log_lines if "b.jpg: skipped" in line and line.startswith("warning")]


def test_a_uint8_softmax_of_1001_classes_keeps_its_confidence(tmp_path):
    """Steps of 1/256 do not add up to 1 over 1,001 classes, so that sums cannot tell what these outputs are."""
    import tensorflow as tf

    image = tf.keras.Input((8, 8, 3), 1)
    flat = tf.keras.layers.Flatten()(tf.keras.layers.Rescaling(1 / 255)(image))
    dense = tf.keras.layers.Dense(1001, kernel_initializer="zeros", bias_initializer=_confident)
    converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(image, tf.keras.layers.Softmax()(dense(flat))))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[np.full((1, 8, 8, 3), v, np.float32)] for v in (0, 128, 255)]
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.uint8
    path = tmp_path / "foreign.tflite"
    path.write_bytes(converter.convert())
    with open_predictor(path) as network:
        assert network.output == "probabilities"
        assert network.predict(np.zeros((1, 8, 8, 3)))[0].max() == pytest.approx(0.97, abs=0.01)


def _confident(shape, dtype=None):
    bias = np.zeros(shape, np.float32)
    bias[7] = np.log(0.97 / 0.03 * 1000)
    return bias


def test_a_name_with_a_line_separator_is_one_name(tmp_path):
    (tmp_path / "labels.txt").write_text("a\u2028b\nc\x0bd\n", encoding="utf-8")
    assert read_labels(tmp_path / "labels.txt") == ("a\u2028b", "c\x0bd")
