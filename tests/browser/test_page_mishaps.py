"""What goes wrong or comes too late on the page: cameras, hidden pages, workers that die, and Stop."""

from __future__ import annotations

import time

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# The camera opens when the test calls allow(); `streams` are those that were opened
HOLD_CAMERA = """() => {
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  Object.assign(window, { asked: 0, streams: [] });
  devices.getUserMedia = async (wish) => {
    window.asked++;
    await new Promise((resolve) => (window.allow = resolve));
    window.streams.push(await open(wish));
    return window.streams.at(-1);
  };
}"""

# The next image is read when the test calls proceed(); then `proceeded` resolves
HOLD_IMAGE = """() => {
  const read = window.createImageBitmap;
  window.createImageBitmap = async (...given) => {
    window.createImageBitmap = read;
    await new Promise((resolve) => (window.proceed = resolve));
    return read(...given);
  };
}"""

# hide(whether): the page as in a tab behind others; so it is from the n-th time on that a worker is to measure
HIDE_AT = """(n) => {
  const post = Worker.prototype.postMessage;
  window.timed = 0;
  window.hide = (hidden) => {
    Object.defineProperty(document, 'hidden', { value: hidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  };
  Worker.prototype.postMessage = function (message) {
    post.call(this, message);
    if (message.operation === 'time' && ++window.timed === n) window.hide(true);
  };
}"""


def until(page, expression: str) -> None:
    """As `wait_for_function`, which the page's policy forbids."""
    deadline = time.monotonic() + 30
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, expression
        page.wait_for_timeout(20)


def worker_with(server, operation: str, line: str) -> None:
    """Put a line of JavaScript before what the worker does in an operation."""
    path = server.site.files["worker.js"]
    text = path.read_text(encoding="utf-8")
    assert text.count(f"async {operation}(") == 1
    before, after = text.split(f"async {operation}(")
    arguments, body = after.split(") {\n", 1)
    server.site.files["worker.js"] = f"{before}async {operation}({arguments}) {{\n{line}\n{body}".encode()


def test_a_camera_that_is_allowed_too_late_is_closed(server, open_page):
    with open_page(server) as page:
        page.evaluate(HOLD_CAMERA)
        page.click("#camera")
        page.click("#camera")
        assert page.evaluate("window.asked") == 1
        page.click("#tab-check")
        page.evaluate("window.allow()")
        until(page, "window.streams.length > 0 && !window.streams[0].active")
        page.click("#tab-see")
        assert page.inner_text("#camera") == "Camera"


def test_an_image_that_is_read_too_late_replaces_nothing(server, open_page, photograph):
    shown = "document.getElementById('canvas').getAttribute('aria-label')"
    with open_page(server) as page:
        page.evaluate(HOLD_IMAGE)
        page.set_input_files("#file", str(photograph))
        until(page, "Boolean(window.proceed)")
        page.click("#camera")
        page.wait_for_selector("#speed:has-text('frames/s')", timeout=30_000)
        page.evaluate("window.proceed()")
        for _ in range(3):  # frames, by the time of which a photograph would have been read
            before = page.inner_text("#speed")
            page.wait_for_selector(f"#speed:not(:has-text('{before}'))", timeout=30_000)
        assert page.inner_text("#camera") == "Stop"
        assert page.evaluate(shown) == "The camera's picture"


@pytest.mark.parametrize(
    ("error", "words"),
    [("NotAllowedError", "may not use the camera"), ("NotFoundError", "finds no camera"), ("Odd", "be used: odd")],
)
def test_why_there_is_no_camera(mishaps, error, words):
    mishaps.evaluate(
        "(name) => (navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('odd', name)))", error
    )
    mishaps.click("#camera")
    mishaps.wait_for_selector(f"#remark.bad:has-text('{words}')", timeout=10_000)
    assert mishaps.inner_text("#camera") == "Camera"


@pytest.fixture(scope="module")
def mishaps(server, open_page):
    with open_page(server) as page:
        yield page


def test_a_camera_that_ends_by_itself_is_off(server, open_page):
    with open_page(server) as page:
        page.click("#camera")
        page.wait_for_selector("#speed:has-text('frames/s')", timeout=30_000)
        page.evaluate(
            "document.getElementById('video').srcObject.getVideoTracks()[0].dispatchEvent(new Event('ended'))"
        )
        page.wait_for_selector("#remark.bad:has-text('switched off')", timeout=10_000)
        assert page.inner_text("#camera") == "Camera"


def test_a_round_in_which_the_page_was_hidden_is_measured_again(serve, open_page, app_files):
    with serve(app_files[:1]) as server, open_page(server) as page:
        page.click("#tab-time")
        page.select_option("#rounds", "5")
        page.get_by_role("checkbox", name="GPU").uncheck()
        cases = page.locator("#time-processors input:checked").count()
        page.evaluate(HIDE_AT, 2 * cases + 1)  # each is timed twice before the first round
        page.click("#time")
        page.wait_for_selector("#time-status:has-text('Paused')", timeout=60_000)
        assert page.locator("#tab-see").is_disabled()
        page.evaluate("window.hide(false)")
        page.wait_for_selector("#time-status:has-text('5 rounds measured')", timeout=60_000)
        assert page.locator("#tab-see").is_enabled()
        assert page.evaluate("window.timed") == 2 * cases + 1 + 5 * cases


def test_stopped_before_the_first_round_there_is_no_result_not_even_the_last_one(serve, open_page, measure, app_files):
    with serve(app_files[:1]) as server, open_page(server) as page:
        measure(page, without=["GPU"])
        page.evaluate("for (const id of ['time', 'stop']) document.getElementById(id).click()")
        page.wait_for_selector("#time-status:has-text('Stopped, 0 rounds measured.')", timeout=60_000)
        assert page.locator("#send").is_disabled()
        assert page.locator("#download").is_disabled()
        assert page.locator("#times table").count() == 0


def test_a_network_that_fails_in_a_round_leaves_the_others_their_times(serve, open_page, measure, app_files):
    line = "if (key === 1 && (self.count = (self.count ?? 0) + 1) > 3) throw new Error('It broke.');"  # in round 2
    with serve(app_files) as server:
        worker_with(server, "time", line)
        with open_page(server) as page:
            session = measure(page, without=["GPU"])
    failed, *others = session["runs"]
    assert failed["error"] == "It broke."
    assert len(failed["rounds"]) == 1
    assert others
    assert all(len(run["rounds"]) == 5 and not run["error"] for run in others)


def test_a_worker_that_dies_is_replaced(serve, open_page, show, app_files, photograph):
    line = "if (key === 1) { setTimeout(() => { throw new Error('It died.'); }); await new Promise(() => {}); }"
    with serve(app_files[:1]) as server:
        worker_with(server, "run", line)
        with open_page(server) as page:
            page.click("#sample")
            page.wait_for_selector("#remark.bad:has-text('cannot run this network')", timeout=60_000)
            assert len(show(page, photograph)) == 5
