"""What the page is made of: files that a browser can show, others with a reason, and the runtime."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from support.browsers import npm_package

from mnext_tf.browser.models import files_of_run, page_models, run_file
from mnext_tf.browser.runtime import find_runtime
from mnext_tf.data.sources.sample_images import sample_pixels
from mnext_tf.errors import ConfigError
from mnext_tf.export.stages import tflite
from mnext_tf.inference.predictor import open_predictor


def test_each_precision_of_a_run_is_shown_in_a_form_that_a_browser_runs(make_run):
    run = make_run()
    for precision in ("float32", "int8"):
        tflite(run, precision)
    files, refused = files_of_run(run)
    assert [path.parent.name for path in files] == ["tflite_float32", "tflite_int8_probabilities"]
    assert not refused
    shown, refused = page_models(files)
    assert not refused
    assert [model.about["input"]["dtype"] for model in shown] == ["float32", "uint8"]
    assert [model.about["gives"] for model in shown] == ["logits", "probabilities"]


def test_int8_input_is_refused_with_the_command_that_mends_it(page_run):
    stage = page_run.manifest("tflite_int8")
    shown, (refused,) = page_models([page_run.stage("tflite_int8") / stage.result["file"]])
    assert not shown
    assert refused.why == "it takes int8; LiteRT.js hands over float32 or uint8"
    assert refused.command.endswith(f"--run={page_run.folder} --quantize=int8 --output=probabilities")


def test_what_is_no_tflite_file_is_refused_and_what_is_not_there_is_an_error(tmp_path):
    (tmp_path / "a.tflite").write_bytes(b"\0\0\0\0TFL3 and then nothing")
    shown, (refused,) = page_models([tmp_path / "a.tflite"])
    assert not shown
    assert "cannot be run" in refused.why
    with pytest.raises(ConfigError, match="does not exist"):
        page_models([tmp_path / "b.tflite"])


def test_a_run_without_an_export(make_run):
    with pytest.raises(ConfigError, match=r"no \.tflite file yet; `python -m pipelines\.export_tflite --run="):
        files_of_run(make_run())


def test_the_golden_output_is_that_of_the_file(app_files):
    for path in app_files:
        (model,), _ = page_models([path])
        golden = np.frombuffer(model.files[model.about["golden"]["output"]], "<f4")
        pixels = np.frombuffer(model.files[model.about["golden"]["input"]], np.uint8)
        with open_predictor(path) as network:
            assert pixels.tobytes() == sample_pixels(network.preprocess).tobytes()
            expected = network.outputs(sample_pixels(network.preprocess)[None].astype(np.float32))
        np.testing.assert_allclose(golden, expected.ravel(), atol=1e-6)


def test_what_lies_beside_a_file_holds_on_the_page_as_it_does_in_python(app_files, tmp_path):
    copy = tmp_path / app_files[0].name
    shutil.copy2(app_files[0], copy)
    with open_predictor(copy) as network:
        classes, record = network.num_classes, network.preprocess.to_dict()
    (tmp_path / "labels.txt").write_text("".join(f"kind {i}\n" for i in range(classes)))
    (tmp_path / "preprocess.json").write_text(json.dumps({**record, "interpolation": "nearest"}))
    ((model,), _) = page_models([copy])
    assert model.about["labels"][:2] == ("kind 0", "kind 1")
    assert model.about["preprocess"]["interpolation"] == "nearest"


def test_two_runs_of_one_network_are_told_apart_by_their_names(app_files, tmp_path):
    paths = []
    for name in ("first", "second"):
        folder = tmp_path / name / "tflite_float32_probabilities"
        folder.mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("{}")
        paths.append(folder / app_files[0].name)
        shutil.copy2(app_files[0], paths[-1])
    shown, _ = page_models([*paths, app_files[1]])
    titles = [model.about["title"] for model in shown]
    assert [title.rpartition(" (")[2] for title in titles[:2]] == ["first)", "second)"]
    assert titles[2].endswith("int8")
    assert [model.about["run"] for model in shown[:2]] == ["first", "second"]
    assert {model.about["network"] for model in shown[:2]} == {app_files[0].stem}


def test_files_of_one_name_stay_apart(app_files, tmp_path):
    copy = tmp_path / app_files[0].name
    shutil.copy2(app_files[0], copy)
    shown, _ = page_models([app_files[0], copy])
    assert len({model.name for model in shown}) == len({model.about["title"] for model in shown}) == 2
    assert not {*shown[0].files} & {*shown[1].files}


def test_every_output_of_a_detector_has_its_name(toy_file):
    outputs = run_file(toy_file("float32", "two"), np.zeros((64, 64, 3), np.float32))
    assert {name: values.shape for name, values in outputs.items()} == {"location": (1, 160, 4), "score": (1, 160, 3)}


def test_the_runtime_is_found_and_its_one_import_is_a_path(tmp_path):
    runtime = find_runtime(npm_package(tmp_path))
    assert runtime.folder == "runtime/2.5.3/"
    assert runtime.files["runtime/2.5.3/litert.js"] == b'import { createWasmLib } from "./wasm-utils.js";\n'
    assert len([name for name in runtime.files if name.endswith(".wasm")]) == 4


def test_without_the_runtime_the_error_says_how_to_get_it(tmp_path):
    with pytest.raises(ConfigError, match=r"`make web` installs it.*npm install @litertjs/core@2\.5"):
        find_runtime(tmp_path)
    with pytest.raises(ConfigError, match=r"version 3\.0\.0; this page knows 2\.5"):
        find_runtime(npm_package(tmp_path / "later", "3.0.0"))
    broken = npm_package(tmp_path / "broken")
    (broken / "node_modules/@litertjs/core/wasm/litert_wasm_jspi_internal.wasm").unlink()
    with pytest.raises(ConfigError, match="is missing"):
        find_runtime(broken)
