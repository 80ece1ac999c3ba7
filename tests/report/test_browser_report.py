"""Sessions of browsers in the report: rows of their own, compared among themselves."""

from __future__ import annotations

import json

import pytest
from support.browsers import browser_model, browser_run, browser_session
from support.phone_sessions import pixel
from support.reports import report, table

from mnext_tf.device.browser import parse_session
from mnext_tf.report.browser_rows import browser_rows

V2, OURS = "mobilenet_v2_1.0_224_float32_probabilities", "mnext_1.0_224_float32_probabilities"


def write(folder, record):
    folder.mkdir(parents=True)
    (folder / "browser.json").write_text(json.dumps(record))
    return folder


def phone(**changes) -> dict:
    runs = [
        browser_run(model=OURS, rounds=[[11.0], [24.0], [33.0]]),  # measured first; MobileNetV2 is the reference
        browser_run(model=V2, rounds=[[10.0], [20.0], [30.0]]),
        browser_run(model=OURS, backend="webgpu", ran_on="webgpu", rounds=[[5.0], [5.0], [5.0]]),
        browser_run(model=V2, backend="webgpu", ran_on="webgpu_partial", rounds=[[4.0], [4.0], [4.0]]),
    ]
    return browser_session(runs, **changes)


def test_a_row_has_its_processor_ratio_and_quartiles(tmp_path):
    text = report(tmp_path, [write(tmp_path / "browser-1", phone())])
    header, _, *rows = table(text, "#### Chrome 150 on Pixel 8, Android 14, 8 cores, arm valhall")
    found = {(row[0], row[header.index("asked for")]): row for row in rows}
    ratio = header.index("ratio (quartiles)")
    assert found["MobileNetV2 1.0", "wasm"][ratio] == "reference"
    assert found["MobileNeXt 1.0", "wasm"][ratio] == "1.100 (1.100 .. 1.150)"
    assert found["MobileNeXt 1.0", "wasm"][header.index("ran on")] == "the CPU, as WebAssembly"
    assert found["MobileNeXt 1.0", "webgpu"][header.index("ran on")] == "the GPU, by WebGPU"
    assert found["MobileNetV2 1.0", "webgpu"][header.index("ran on")] == "partly the GPU, by WebGPU"
    assert (tmp_path / "report/browser.png").is_file()
    summary = text.split("\n\n")[1]
    assert "Browser (Chrome 150 on Pixel 8, Android 14" in summary
    assert "MobileNeXt 1.0 24 ms (×1.10)" in summary


def test_it_never_stands_among_native_numbers(tmp_path):
    sessions = [pixel(tmp_path / "session"), write(tmp_path / "browser-1", phone())]
    text = report(tmp_path, sessions)
    assert "Chrome" not in str(table(text, "### On the phone"))
    assert "Chrome" not in (tmp_path / "report/device.csv").read_text()
    rows = browser_rows(parse_session(phone()))
    assert {row.backend for row in rows} == {"wasm", "webgpu"}
    assert not any(row.source.on_phone for row in rows)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"gpu": {"vendor": "google", "architecture": "swiftshader", "software": True}},
            "software on the CPU, not a GPU",
        ),
        ({"facts": {"browser": "Firefox 150", "isolated": "no"}}, "the browser rounds the times"),
        ({"facts": {"browser": "<script>|x"}}, "&lt;script&gt;"),
    ],
)
def test_what_makes_a_row_doubtful_is_said(tmp_path, changes, words):
    text = report(tmp_path, [write(tmp_path / "browser-1", phone(**changes))])
    assert words in text
    assert "<script>" not in text


def test_a_network_that_failed_is_a_row_with_its_reason(tmp_path):
    runs = [browser_run(model=V2), browser_run(model=OURS, ran_on="", rounds=[], error="The GPU was lost")]
    text = report(tmp_path, [write(tmp_path / "browser-1", browser_session(runs))])
    assert "1 run: The GPU was lost" in text


def test_two_runs_of_one_network_are_two_rows_with_a_ratio():
    """The page calls the second file after the first, and one of them has no softmax."""
    plain = OURS.removesuffix("_probabilities")
    known = {"precision": "float32", "input_size": 224}
    models = [
        browser_model(plain, run="wide", network=plain, **known),
        browser_model(f"{OURS}-2", run="narrow", network=OURS, **known),
        browser_model(V2, run="theirs", network=V2, **known),
    ]
    times = ([[12.0]], [[9.0]], [[10.0]])
    runs = [browser_run(model=model["name"], rounds=ms) for model, ms in zip(models, times, strict=True)]
    rows = browser_rows(parse_session(browser_session(runs, models=models)))
    assert {row.title: row.ratio.median for row in rows} == {
        "MobileNeXt 1.0 (wide)": 1.2,
        "MobileNeXt 1.0 (narrow)": 0.9,
        "MobileNetV2 1.0 (theirs)": 1.0,
    }


def test_a_file_of_unknown_name_has_its_precision_and_size():
    models = [browser_model("mine", precision="int8", input_size=96)]
    (row,) = browser_rows(parse_session(browser_session([browser_run(model="mine")], models=models)))
    assert (row.precision_text, row.input_size) == ("int8", 96)
