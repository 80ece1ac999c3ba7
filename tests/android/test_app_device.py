"""The backend that the app reports: its classes on a desktop JVM, with stubs of LiteRT."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.android

ON_CPU = "cpu:4:xnnpack closed"


@pytest.mark.parametrize(
    ("requested", "scenario", "ran_on", "fallback", "events"),
    [
        ("cpu", [], "CPU 4 0 0", "", ON_CPU),
        ("gpu", [], "GPU 4 1 1", "", "delegate gpu:4 closed delegate closed"),
        ("gpu", ["nodes=7"], "GPU_PARTIAL 4 7 66", "", "delegate gpu:4 cpu:-1 closed closed delegate closed"),
        ("gpu", ["nodes=-1"], "GPU_UNKNOWN 4 0 0", "", "delegate gpu:4 closed delegate closed"),
        ("gpu", ["supported=false"], "CPU 4 0 0", "NOT_SUPPORTED null", ON_CPU),
        ("gpu", ["creation_error=no OpenCL"], "CPU 4 0 0", "FAILED no OpenCL", ON_CPU),
        ("gpu", ["link_error=GpuDelegateFactory"], "CPU 4 0 0", "FAILED GpuDelegateFactory", ON_CPU),
        ("gpu", ["apply_error=cannot"], "CPU 4 0 0", "FAILED cannot", "delegate delegate closed " + ON_CPU),
        (
            "gpu",
            ["nodes=66"],
            "CPU 4 0 0",
            "NO_OPERATORS null",
            "delegate gpu:4 cpu:-1 closed closed delegate closed " + ON_CPU,
        ),
    ],
)
def test_the_backend_and_why_it_fell_back(jvm, requested, scenario, ran_on, fallback, events):
    assert jvm("load", requested, 4, *scenario) == (True, [ran_on, fallback, events])


def test_input_and_output_tensors(jvm, app_assets):
    model = app_assets / "small.tflite"
    ok, (probabilities, input_bytes, count) = jvm("classify", model, 200.5, "input=UINT8")
    assert ok
    assert probabilities == "[0.25, 0.5, 0.25]"
    assert input_bytes == str([200 - 256] * 16)  # Java's bytes are signed; rounds half to even
    assert 5 <= int(count) <= 50

    ok, (_, input_bytes, _) = jvm("classify", model, 1.0, "input=FLOAT32")
    assert ok
    assert input_bytes == str([0, 0, -128, 63] * 4)  # 1.0 in little-endian order


def test_a_model_that_does_not_match_its_labels(jvm, app_assets):
    ok, output = jvm("classify", app_assets / "small.tflite", 0, "classes=4")
    assert not ok
    assert output[0].startswith(
        "the model's output has the shape [1, 4]; its labels.txt and preprocess.json require [1, 3]"
    )
    ok, output = jvm("classify", app_assets / "small.tflite", 0, "input=INT16")
    assert not ok
    assert "INT16" in output[0]
