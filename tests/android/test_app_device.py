"""What the app says it ran on: its own classes on a desktop JVM, with stand-ins for LiteRT playing each case."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.android

ON_CPU = "cpu:4:xnnpack closed"


@pytest.mark.parametrize(
    ("asked", "scene", "ran", "refusal", "events"),
    [
        ("cpu", [], "CPU 4 0 0", "", ON_CPU),
        ("gpu", [], "GPU 4 1 1", "", "delegate gpu:4 closed delegate closed"),
        ("gpu", ["steps=7"], "GPU_IN_PART 4 7 66", "", "delegate gpu:4 cpu:-1 closed closed delegate closed"),
        ("gpu", ["steps=-1"], "GPU_UNTOLD 4 0 0", "", "delegate gpu:4 closed delegate closed"),
        ("gpu", ["supported=false"], "CPU 4 0 0", "NOT_SUPPORTED null", ON_CPU),
        ("gpu", ["making=no OpenCL"], "CPU 4 0 0", "FAILED no OpenCL", ON_CPU),
        ("gpu", ["linking=GpuDelegateFactory"], "CPU 4 0 0", "FAILED GpuDelegateFactory", ON_CPU),
        ("gpu", ["applying=cannot"], "CPU 4 0 0", "FAILED cannot", "delegate delegate closed " + ON_CPU),
        (
            "gpu",
            ["steps=66"],
            "CPU 4 0 0",
            "TOOK_NOTHING null",
            "delegate gpu:4 cpu:-1 closed closed delegate closed " + ON_CPU,
        ),
    ],
)
def test_it_says_what_really_ran_and_why(jvm, asked, scene, ran, refusal, events):
    assert jvm("open", asked, 4, *scene) == (True, [ran, refusal, events])


def test_a_photo_goes_in_as_the_tensor_takes_it_and_probabilities_come_out(jvm, app_assets):
    model = app_assets / "small.tflite"
    ok, (probabilities, fed, count) = jvm("classify", model, 200.5, "input=UINT8")
    assert ok
    assert probabilities == "[0.25, 0.5, 0.25]"
    assert fed == str([200 - 256] * 16)  # Java's bytes have a sign; a half goes to the even number
    assert 5 <= int(count) <= 50

    ok, (_, fed, _) = jvm("classify", model, 1.0, "input=FLOAT32")
    assert ok
    assert fed == str([0, 0, -128, 63] * 4)  # 1.0, the lowest byte first


def test_a_network_that_does_not_fit_its_own_labels_is_told(jvm, app_assets):
    ok, said = jvm("classify", app_assets / "small.tflite", 0, "classes=4")
    assert not ok
    assert said[0].startswith("the model's output has the shape [1, 4]; its labels and preprocess.json ask for [1, 3]")
    ok, said = jvm("classify", app_assets / "small.tflite", 0, "input=INT16")
    assert not ok
    assert "INT16" in said[0]
