"""The page where something is missing: a server without headers, an address that is not secure; and how it looks."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from mnext_tf.browser.certificate import addresses_of_this_computer, make_certificate
from mnext_tf.browser.models import page_models
from mnext_tf.browser.site import make_site, write_site

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def abilities(page) -> str:
    return page.inner_text("#abilities")


def test_a_folder_on_any_web_server(runtime, chromium, show, app_files, photograph, tmp_path):
    """Python's own sends none of the headers: one thread, and the page says why."""
    shown, refused = page_models(app_files)
    write_site(make_site(shown, refused, runtime, server=False), tmp_path / "page")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=tmp_path / "page")
    handler.log_message = lambda *args: None
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), handler) as server,
        contextlib.closing(chromium.new_context()) as context,
    ):
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        page.wait_for_selector("body[data-ready]")
        assert len(show(page, photograph)) == 5
        assert "CPU threads: missing" in abilities(page)
        assert "Cross-Origin-Opener-Policy" in abilities(page)
        page.click("#tab-time")
        assert page.locator("#send").is_hidden()
        assert page.locator("#download").is_visible()
        server.shutdown()


@pytest.fixture(scope="module")
def other_address() -> str:
    found = [address for address in addresses_of_this_computer() if ":" not in address]
    if not found:
        pytest.skip("this computer has no address but loopback")
    return found[0]


def test_an_address_that_is_not_secure(serve, chromium, show, app_files, photograph, other_address):
    with serve(app_files, host="0.0.0.0") as server, contextlib.closing(chromium.new_context()) as context:
        page = context.new_page()
        page.goto(server.address.at(other_address).url)
        page.wait_for_selector("body[data-ready]")
        assert abilities(page).count("missing This address is not secure") == 3
        port, token = server.address.port, server.token
        assert f"adb reverse tcp:{port} tcp:{port}" in abilities(page)
        assert f"http://localhost:{port}/#token={token} here" in abilities(page)  # else that page could not send
        assert len(show(page, photograph)) == 5  # on one thread
        page.click("#camera")
        page.wait_for_selector("#remark.bad:has-text('This address is not secure')", timeout=5000)


def test_without_relaxed_simd_there_is_one_thread(serve, open_page, show, app_files, photograph):
    """Safari has none, and then LiteRT.js no threads, however isolated the page is."""
    with serve(app_files[:1]) as server:
        (path,) = [path for path in server.site.files if path.endswith("/litert.js")]
        module = server.site.files[path]
        assert module.count(b"tryWasm(WASM_RELAXED_SIMD_CHECK)") == 1
        server.site.files[path] = module.replace(b"tryWasm(WASM_RELAXED_SIMD_CHECK)", b"Promise.resolve(false)")
        with open_page(server) as page:
            assert "CPU threads: missing This browser's WebAssembly has no relaxed SIMD" in abilities(page)
            offered = page.locator("#processor option").all_inner_texts()
            assert [name for name in offered if name.startswith("CPU")] == ["CPU, 1 thread"]
            assert len(show(page, photograph)) == 5


def test_https_gives_it_all(serve, chromium, show, app_files, photograph, other_address, tmp_path):
    certificate = make_certificate(tmp_path, "0.0.0.0")
    with (
        serve(app_files, host="0.0.0.0", certificate=certificate) as server,
        contextlib.closing(chromium.new_context(ignore_https_errors=True)) as context,
    ):
        page = context.new_page()
        page.goto(server.address.at(other_address).url)
        page.wait_for_selector("body[data-ready]")
        assert abilities(page).count("ready") == 3
        assert len(show(page, photograph)) == 5


@pytest.mark.shared
def test_how_it_looks(serve, open_page, show, imported, photograph, repository):
    """UPDATE_DOCS=1 writes the picture of the README."""
    from mnext_tf.export.app_assets import for_apps

    stages = [for_apps(imported, precision) for precision in ("float32", "int8")]
    windows = ({"width": 390, "height": 844}, {"width": 1100, "height": 844})
    pictures = []
    with serve([stage.folder / stage.result["file"] for stage in stages]) as server:
        for window, scheme in zip(windows, ("light", "dark"), strict=True):
            with open_page(server, viewport=window, color_scheme=scheme) as page:
                show(page, photograph)
                last = page.locator("#results li").last.bounding_box()
                assert last["y"] + last["height"] < window["height"]  # the whole answer is on the first screen
                pictures.append(Image.open(io.BytesIO(page.screenshot())))
    assert len({picture.getpixel((5, 200)) for picture in pictures}) == 2  # light and dark
    if os.environ.get("UPDATE_DOCS"):
        side_by_side(pictures).quantize(192).save(repository / "docs/browser.png", optimize=True)


def side_by_side(pictures: list[Image.Image], gap: int = 24) -> Image.Image:
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    whole = Image.new("RGB", (width, max(picture.height for picture in pictures)), "white")
    x = 0
    for picture in pictures:
        whole.paste(picture, (x, 0))
        x += picture.width + gap
    return whole
