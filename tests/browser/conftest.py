"""Chromium with the page of some networks in it."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest

from mnext_tf.browser.models import page_models
from mnext_tf.browser.runtime import Runtime, find_runtime
from mnext_tf.browser.server import PageServer
from mnext_tf.browser.site import make_site

# A GPU adapter that computes on the CPU, and two cameras that show a moving test picture
FLAGS = [
    *("--no-sandbox", "--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan,WebGPU"),
    *("--use-fake-device-for-media-stream=device-count=2", "--use-fake-ui-for-media-stream"),
]


@pytest.fixture(scope="session")
def runtime(repository) -> Runtime:
    if not (repository / "web/node_modules/@litertjs/core").is_dir():
        pytest.skip("LiteRT.js is not installed: make web (it needs npm)")
    return find_runtime()


@pytest.fixture(scope="session")
def chromium():
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("Chromium is not installed: Debian's package chromium")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("Playwright is not installed: make extras")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def serve(runtime, tmp_path_factory):
    """`with serve(paths) as server:` a server of the page with these files; `sessions` is its folder."""

    @contextlib.contextmanager
    def serve(paths: list[Path], **options):
        shown, refused = page_models(paths)
        server = PageServer(
            make_site(shown, refused, runtime, server=True), tmp_path_factory.mktemp("sessions"), port=0, **options
        )
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()
            server.server_close()

    return serve


@pytest.fixture(scope="module")
def files(app_files) -> list[Path]:
    """What `server` shows; a module may name others."""
    return app_files


@pytest.fixture(scope="module")
def server(serve, files):
    with serve(files) as server:
        yield server


@pytest.fixture(scope="session")
def photograph(tmp_path_factory) -> Path:
    from PIL import Image
    from sklearn.datasets import load_sample_image

    path = tmp_path_factory.mktemp("images") / "china.png"
    Image.fromarray(load_sample_image("china.jpg")).save(path)
    return path


@pytest.fixture(scope="session")
def open_page(chromium):
    """`with open_page(server) as page:` the page, ready, in a window of its own; an error in it is one here."""

    @contextlib.contextmanager
    def open_page(server: PageServer, *, load_all: bool = False, **options):
        context = chromium.new_context(permissions=["camera"], **options)
        page = context.new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(server.address.url)
        page.wait_for_selector("body[data-loaded]" if load_all else "body[data-ready]", timeout=60_000)
        try:
            yield page
            assert not errors
        finally:
            context.close()

    return open_page


@pytest.fixture(scope="session")
def show():
    """`show(page, path)`: chooses an image on the page, and waits for the answer of the network."""

    def show(page, path: Path) -> list[dict]:
        page.evaluate("document.getElementById('results').replaceChildren()")
        page.set_input_files("#file", str(path))
        page.wait_for_selector("#results li, #remark.bad", timeout=60_000)
        assert page.locator("#remark.bad").count() == 0, page.inner_text("#remark")
        page.wait_for_selector("#remark:has-text('ms in the network')", timeout=60_000)
        return page.eval_on_selector_all("#results li[data-index]", "items => items.map(item => ({...item.dataset}))")

    return show


@pytest.fixture(scope="session")
def check_all():
    """`check_all(page)`: the summary of all checks, when they are done."""

    def check_all(page) -> str:
        page.click("#tab-check")
        page.click("#check")
        page.wait_for_selector("#check:not([disabled])", timeout=120_000)
        return page.inner_text("#check-status")

    return check_all


@pytest.fixture(scope="session")
def measure():
    """`measure(page)`: the session of one measurement, as it can be downloaded."""

    def measure(page, *, without: Sequence[str] = ()) -> dict:
        page.click("#tab-time")
        page.select_option("#rounds", "5")
        for processor in without:
            page.get_by_role("checkbox", name=processor).uncheck()
        page.click("#time")
        page.wait_for_selector("#download:not([disabled])", timeout=300_000)
        with page.expect_download() as download:
            page.click("#download")
        return json.loads(download.value.path().read_text())

    return measure


@pytest.fixture(scope="session")
def page_run(make_run):
    """As `exported`, for tests that export more of it."""
    from mnext_tf.export.stages import tflite

    run = make_run()
    for precision in ("float32", "int8"):
        tflite(run, precision)
    return run


@pytest.fixture(scope="session")
def app_files(page_run) -> list[Path]:
    """A small classifier with probabilities, float32 and int8."""
    from mnext_tf.export.app_assets import for_apps

    stages = [for_apps(page_run, precision) for precision in ("float32", "int8")]
    return [stage.folder / stage.result["file"] for stage in stages]
