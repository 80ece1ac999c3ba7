"""Rivals from keras.applications."""

import inspect

import numpy as np
import pytest

from mnext_tf.benchmark import keras_networks
from mnext_tf.benchmark.keras_networks import CLASSES, WITH_WIDTH, export_keras_network
from mnext_tf.benchmark.results import read_results
from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.suite import run_benchmark
from mnext_tf.errors import ConfigError
from mnext_tf.naming import network_of
from mnext_tf.tflite.operators import delegation, open_interpreter, size_and_precision

SMALL = {"width": 0.35, "input_size": 32}
QUICK = {"input_sizes": (32,), "rounds": 2, "runs_per_round": 2, "warmup": 1, "threads": (1,)}


def test_the_list_is_that_of_keras():
    import tensorflow as tf

    made = {name: make for name, make in vars(tf.keras.applications).items() if inspect.isfunction(make)}
    assert sorted(CLASSES) == sorted(made)
    parameters = {name: inspect.signature(make).parameters for name, make in made.items()}
    assert sorted(WITH_WIDTH) == sorted(name for name in made if "alpha" in parameters[name])
    assert all({"input_shape", "weights", "classifier_activation"} <= set(p) for p in parameters.values())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"models": ("keras:MobilenetV3large",)}, r"no network 'MobilenetV3large'.*keras:MobileNetV3Large or"),
        ({"models": ("keras:Quokka",)}, "It has ConvNeXtTiny"),
        (
            {"models": ("keras:EfficientNetB0",), "widths": (1.0, 0.5)},
            "must be 1.0; received 0.5.*MobileNetV3Large",
        ),
        ({"models": ("keras:MobileNetV2",), "widths": (0.0,)}, "width must be above 0"),
        ({"models": ("keras:Xception",), "input_sizes": (64,)}, "input_size of 71 or more; received 64"),
        ({"models": ("keras:MobileNetV2",), "precisions": ("float16",)}, "float32 and int8; received float16"),
        ({"models": ("keras_mobilenet_v2", "keras:MobileNetV2")}, "names keras:MobileNetV2 twice"),
    ],
)
def test_wrong_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        Settings(**changes).check()


@pytest.mark.slow
def test_both_precisions_are_what_they_say(tmp_path):
    folder = tmp_path / "keras_MobileNetV2_0.35_32"
    for precision in ("float32", "int8"):
        file = export_keras_network("keras:MobileNetV2", folder, precision, **SMALL)
        assert network_of(file.stem).title == "Keras MobileNetV2 0.35"
        assert size_and_precision(file) == (32, precision)
        interpreter = open_interpreter(file)
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        assert (list(taken["shape"]), list(given["shape"])) == ([1, 32, 32, 3], [1, 1000])
        assert taken["dtype"] == given["dtype"] == np.dtype(precision).type
        operators = delegation(file)
        assert operators.nodes_delegated == operators.nodes_total


def test_a_file_is_made_once(tmp_path, monkeypatch):
    made = []

    def convert(*arguments):
        made.append(arguments)
        return b"content %d" % len(made)

    def export(precision="float32", **options):
        return export_keras_network("keras:MobileNetV2", tmp_path / "it", precision, **SMALL, **options).read_bytes()

    monkeypatch.setattr(keras_networks, "_convert", convert)
    assert export() == export() == b"content 1"
    assert export("int8") == b"content 2"
    assert made == [("keras:MobileNetV2", precision, 0.35, 32) for precision in ("float32", "int8")]
    (manifest,) = (tmp_path / "it" / "tflite_float32").glob("*.json")
    manifest.write_text('{"made_of": {}, "sha256": ""}')  # of other versions
    assert export() == b"content 3"
    assert export(force=True) == b"content 4"


def test_the_old_name_is_timed_as_both_precisions(tmp_path, monkeypatch, tiny_files):
    asked = []

    def export(model, folder, precision, **options):
        asked.append((model, folder.name, precision))
        return tiny_files["small_int8" if precision == "int8" else "small"]

    monkeypatch.setattr("mnext_tf.benchmark.cases.export_keras_network", export)
    settings = Settings(**QUICK, models=("keras_mobilenet_v2",), widths=(0.5,))
    rows = read_results(run_benchmark(tmp_path / "out", settings, progress=False)).rows
    assert asked == [("keras:MobileNetV2", "keras_MobileNetV2_0.5_32", p) for p in ("float32", "int8")]
    assert [(r["model"], r["accuracy_check"]) for r in rows] == [("keras:MobileNetV2", "untrained")] * 2
