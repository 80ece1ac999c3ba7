"""The page in Chromium: it answers as Python does, checks itself, measures, and needs no network once loaded."""

from __future__ import annotations

import numpy as np
import pytest

from mnext_tf.data.preprocess import eval_image
from mnext_tf.device.browser import read_browser_session
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.report.report import write_report

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.mark.parametrize("number", [0, 1])
def test_it_classifies_as_predict_does(server, open_page, show, app_files, photograph, number):
    with open_predictor(app_files[number]) as network:
        probabilities = network.predict(eval_image(photograph.read_bytes(), network.preprocess).numpy()[None])[0]
        (expected,) = network.predict_files([photograph], top=1)
    with open_page(server) as page:
        page.select_option("#model", index=number)
        found = show(page, photograph)
        assert expected["predictions"][0]["name"] in page.locator("#results li").first.inner_text()
    assert len(found) == 5
    for item in found:
        assert float(item["value"]) == pytest.approx(probabilities[int(item["index"])], abs=0.002)
    assert int(found[0]["index"]) == probabilities.argmax()


def test_every_check_passes_on_cpu_and_gpu(server, open_page, check_all):
    with open_page(server) as page:
        assert check_all(page) == "All passed."
        rows = page.locator("#checks tbody tr").all_inner_texts()
        assert len(rows) >= 2 * 3  # pixels, a processor or two, and the GPU
        assert sum("GPU" in row and "pass" in row for row in rows) == 2
        count = "async (verdicts) => (await import('/check.js')).summary(verdicts)"
        assert page.evaluate(count, [True, True, None]) == "2 passed, 1 not on the GPU."


def test_a_check_that_should_fail_fails(serve, open_page, check_all, app_files):
    with serve(app_files[:1]) as server:
        golden = server.site.models[0].about["golden"]["output"]
        values = np.frombuffer(server.site.files[golden], "<f4").copy()
        values[3] += 0.05
        server.site.files[golden] = values.tobytes()
        with open_page(server) as page:
            assert "failed" in check_all(page)
            assert "pass" in page.locator("#checks tbody tr").first.inner_text()  # the pixels


def test_times_go_to_the_computer_and_into_the_report(server, open_page, measure, app_files, tmp_path):
    with open_page(server) as page:
        measure(page)
        assert page.locator("#times table").count() >= 2  # a processor each
        page.click("#send")
        page.wait_for_selector("#time-status:has-text('keeps it in')", timeout=10_000)
    (folder,) = server.sessions.iterdir()
    session = read_browser_session(folder)
    assert {run.backend for run in session.runs} == {"wasm", "webgpu"}
    assert session.facts["browser"].startswith("Chromium")
    assert [model.sha256 for model in session.models] == [m.about["sha256"] for m in server.site.models]
    assert [model.network for model in session.models] == [path.stem for path in app_files]
    assert all(len(run.rounds) == 5 for run in session.runs if run.ran_on)
    text = write_report(tmp_path, [], [], [folder]).read_text(encoding="utf-8")
    assert "### In a browser" in text
    assert "as WebAssembly" in text
    assert "software on the CPU, not a GPU" in text  # Chromium's adapter here


def test_without_the_token_nothing_is_kept_and_the_page_says_so(serve, open_page, measure, app_files):
    with serve(app_files[:1]) as server, open_page(server) as page:
        page.evaluate("location.hash = ''")
        assert measure(page)["format"] == 1
        page.click("#send")
        page.wait_for_selector("#time-status:has-text('The token is missing')", timeout=10_000)
        assert not list(server.sessions.iterdir())


def test_the_camera_runs_until_it_is_stopped(server, open_page):
    with open_page(server) as page:
        page.click("#camera")
        page.wait_for_selector("#speed:has-text('frames/s')", timeout=30_000)
        page.wait_for_selector("#results li[data-index]")
        assert page.inner_text("#camera") == "Stop"
        page.evaluate("document.getElementById('speed').textContent = ''")
        page.click("#turn")
        page.wait_for_selector("#speed:has-text('frames/s')", timeout=30_000)
        page.click("#camera")  # its last picture stays, for another network too
        page.select_option("#model", index=1)
        page.wait_for_selector("#remark:has-text('ms in the network')", timeout=30_000)
        assert page.get_by_role("img", name="The camera's picture").count() == 1
        page.click("#camera")
        page.wait_for_selector("#speed:has-text('frames/s')", timeout=30_000)
        page.click("#tab-time")  # a hidden camera is off
        assert not page.evaluate("document.getElementById('video').srcObject.active")
        assert page.locator("#speed").is_hidden()


def test_it_works_offline_once_it_is_loaded(serve, open_page, show, check_all, measure, app_files, photograph):
    with serve(app_files) as server, open_page(server, load_all=True) as page:
        page.context.set_offline(True)
        assert page.evaluate("fetch('models.json').then(() => true, () => false)") is False
        assert len(show(page, photograph)) == 5
        page.select_option("#model", index=1)
        page.select_option("#processor", index=page.locator("#processor option").count() - 1)
        assert len(show(page, photograph)) == 5
        page.evaluate("document.getElementById('results').replaceChildren()")
        page.click("#sample")
        page.wait_for_selector("#results li[data-index]", timeout=60_000)
        assert check_all(page) == "All passed."
        session = measure(page, without=["GPU"])
        assert not any(run["error"] for run in session["runs"])


def test_images_never_leave_the_device(server, open_page, show, photograph):
    with open_page(server, load_all=True) as page:
        sent = []
        page.on("request", lambda request: sent.append((request.method, request.url)))
        show(page, photograph)
        page.click("#camera")
        page.wait_for_selector("#speed:has-text('frames/s')", timeout=30_000)
        page.click("#camera")
    assert all(method == "GET" and url.startswith((server.address.origin, "blob:")) for method, url in sent)


def test_tabs_by_keyboard_and_names_for_screen_readers(server, open_page):
    with open_page(server) as page:
        page.focus("#tab-see")
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == "tab-check"
        assert page.locator("#panel-check").is_visible()
        assert page.locator("#panel-see").is_hidden()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("ArrowRight")
        assert page.locator("#panel-see").is_visible()
        for role, name in (("combobox", "Network"), ("combobox", "Processor"), ("button", "Camera")):
            assert page.get_by_role(role, name=name).count() == 1
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.id") == "file"


@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_is_wider_than_the_window(server, open_page, width):
    with open_page(server, viewport={"width": width, "height": 800}) as page:
        for tab in ("see", "check", "time"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_file_that_is_no_image_and_another_after_it(server, open_page, show, photograph, tmp_path):
    broken = tmp_path / "a.jpg"
    broken.write_bytes(b"\xff\xd8\xff\xe0 not an image")
    with open_page(server) as page:
        page.set_input_files("#file", str(broken))
        page.wait_for_selector("#remark.bad:has-text('cannot read')", timeout=10_000)
        assert len(show(page, photograph)) == 5


def test_what_a_browser_cannot_run_is_named_with_the_command(serve, open_page, page_run, app_files):
    stage = page_run.manifest("tflite_int8")
    refused = page_run.stage("tflite_int8") / stage.result["file"]
    with serve([app_files[0], refused]) as server, open_page(server) as page:
        page.click("#refused summary")
        text = page.inner_text("#refused")
    assert "takes int8" in text
    assert "--output=probabilities" in text


def test_every_precision_runs_and_one_that_the_gpu_cannot_leaves_the_others_alone(
    serve, open_page, check_all, page_run
):
    """LiteRT.js aborts over int16x8 on the GPU, and with it whatever it had loaded."""
    from mnext_tf.export.stages import tflite

    stages = [tflite(page_run, precision) for precision in ("int16x8", "float16", "dynamic", "weight_int8")]
    stages.append(tflite(page_run, "int8", io_type="uint8"))
    with serve([stage.folder / stage.result["file"] for stage in stages]) as server, open_page(server) as page:
        assert page.locator("#refused").is_hidden()
        assert "1 failed" in check_all(page)
        rows = page.locator("#checks tbody tr").all_inner_texts()
    failed = [row for row in rows if "fail" in row]
    assert len(failed) == 1
    assert "GPU" in failed[0]
    assert "LiteRT.js cannot run this network here." in failed[0]
    assert sum("CPU" in row for row in rows) >= len(stages)
