"""The server against clients that mean it no good; and its folder for other servers."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import socket
import ssl
import threading

import pytest

from mnext_tf.browser.certificate import make_certificate
from mnext_tf.browser.models import PageModel, Refused
from mnext_tf.browser.runtime import Runtime
from mnext_tf.browser.server import MOST_BYTES, PageServer
from mnext_tf.browser.site import PAGE, POLICY, make_site, write_site
from mnext_tf.device.browser import read_browser_session
from mnext_tf.errors import ConfigError

SESSION = {
    "format": 1,
    "started": "2026-11-26T10:00:00.000Z",
    "runtime": "LiteRT.js 2.5.3",
    "facts": {"browser": "Chromium 150", "platform": "Android 14", "isolated": "yes"},
    "gpu": None,
    "models": [
        {
            **{"name": "a", "bytes": 4, "sha256": "ab" * 32, "run": "mine", "network": "mnext_1.0_224_float32"},
            **{"precision": "float32", "input_size": 224},
        }
    ],
    "runs": [
        {
            **{"model": "a", "backend": "wasm", "threads": 1, "ran_on": "wasm"},
            **{"compile_ms": 3.0, "first_ms": 2.0, "rounds": [[1.0, 1.5], [2, 1]], "error": ""},
        }
    ],
}


def make_server(tmp_path, **options) -> PageServer:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    (tmp_path / "a.tflite").write_bytes(b"data")
    model = PageModel("a", {"name": "a", "sha256": "ab" * 32}, {"models/0/a.tflite": tmp_path / "a.tflite"})
    runtime = Runtime("2.5.3", "runtime/2.5.3/", {"runtime/2.5.3/litert.js": b"// runtime"})
    refused = [Refused("b.tflite", "it takes int8", "python -m pipelines.export_tflite")]
    site = make_site([model], refused, runtime, server=True)
    return PageServer(site, tmp_path / "sessions", port=0, **options)


@pytest.fixture
def server(tmp_path):
    server = make_server(tmp_path)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def ask(server, method: str, path: str, body: bytes | None = None, **headers):
    """(status, headers, content)"""
    connection = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def send(server, record=None, **headers):
    given = {"X_Token": server.token, "Content_Type": "application/json", **headers}
    body = record if isinstance(record, bytes) else json.dumps(SESSION if record is None else record).encode()
    status, _, content = ask(server, "POST", "/sessions", body, **{k: v for k, v in given.items() if v is not None})
    return status, json.loads(content)


def head_of(server) -> str:
    """The first lines of a request that sends a session."""
    lines = ["POST /sessions HTTP/1.1", "Host: localhost", f"X-Token: {server.token}", "Content-Type: application/json"]
    return "".join(f"{line}\r\n" for line in lines)


def kept(server) -> list:
    return sorted(server.sessions.iterdir()) if server.sessions.is_dir() else []


def test_the_page_and_its_headers(server):
    status, headers, content = ask(server, "GET", "/")
    assert status == 200
    assert content == (PAGE / "index.html").read_bytes()
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["Content-Security-Policy"] == POLICY
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "unsafe-inline" not in POLICY
    assert "'unsafe-eval'" not in POLICY
    assert ask(server, "GET", "/models/0/a.tflite")[2] == b"data"
    assert "immutable" in ask(server, "GET", "/runtime/2.5.3/litert.js")[1]["Cache-Control"]
    assert ask(server, "HEAD", "/")[2] == b""


def test_the_policy_is_in_the_page_too_for_servers_without_headers():
    assert POLICY.split("; frame-ancestors")[0] in (PAGE / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/models/0/../../secret.txt",
        "/models/0/..%2f..%2fsecret.txt",
        "/%2e%2e/secret.txt",
        "//etc/passwd",
        "/models/0/a.tflite/../../../secret.txt",
        "/models/0/",
        "/models/1/a.tflite",
        "/sessions",
        "/a.tflite\x00.html".replace("\x00", "%00"),
        "http://example.org/secret.txt",
    ],
)
def test_whatever_is_no_file_of_the_page_does_not_exist(server, path):
    status, _, content = ask(server, "GET", path)
    assert status in (404, 421)
    assert b"secret" not in content


def test_a_session_is_kept_and_nothing_that_was_sent_beside_it(server):
    status, answer = send(server, {**SESSION, "more": float("nan")})
    assert status == 201
    (folder,) = kept(server)
    assert answer["folder"] == str(folder)
    assert json.loads((folder / "browser.json").read_text()) == SESSION
    assert read_browser_session(folder).runs[0].rounds == ((1.0, 1.5), (2.0, 1.0))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"X_Token": None}, 403),
        ({"X_Token": "guess"}, 403),
        ({"X_Token": "\xff\xfe"}, 403),
        ({"Origin": "https://elsewhere.example"}, 403),
        ({"Host": "elsewhere.example"}, 403),
        ({"Content_Type": "text/plain"}, 415),
    ],
)
def test_only_the_page_with_the_token_can_send(server, headers, status):
    assert send(server, **headers)[0] == status
    assert not kept(server)


def test_a_name_that_someone_else_resolves_to_this_server_gets_nothing(server):
    assert ask(server, "GET", "/models.json", Host="rebound.example")[0] == 421
    assert ask(server, "GET", "/models.json", Host=f"localhost:{server.address.port}")[0] == 200


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"NaN",
        {**SESSION, "format": 2},
        {**SESSION, "models": [{"name": "../../etc", "bytes": 1, "sha256": ""}], "runs": []},
        {**SESSION, "models": [{"name": "other", "bytes": 1, "sha256": ""}], "runs": []},
        {**SESSION, "models": [{"name": "a", "bytes": 1, "sha256": "cd" * 32}]},
        {**SESSION, "runs": [{**SESSION["runs"][0], "rounds": [[-1.0]]}]},
        {key: value for key, value in SESSION.items() if key != "started"},
        {**SESSION, "started": "yesterday"},
        {**SESSION, "runtime": "\ud800"},
        json.dumps(SESSION).replace("3.0", "1" + "0" * 400).encode(),
    ],
    ids=range(13),
)
def test_what_is_no_session_of_this_page_is_not_kept(server, record):
    status, answer = send(server, record)
    assert status in (400, 413)
    assert answer["error"]
    assert not kept(server)


def test_a_gigabyte_is_refused_before_it_is_read(server):
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=10) as client:
        client.sendall(f"{head_of(server)}Content-Length: {1 << 30}\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413")
        sent = 0
        with contextlib.suppress(OSError):  # the server has closed it
            while sent < 64:
                client.sendall(bytes(1 << 20))
                sent += 1
    assert sent < 64  # MiB
    assert not kept(server)


@pytest.mark.parametrize("length", ["-1", "1e9", str(MOST_BYTES + 1), "", "0x10"])
def test_a_length_that_is_none_is_refused(server, length):
    headers = {"X_Token": server.token, "Content_Type": "application/json", "Content_Length": length}
    assert ask(server, "POST", "/sessions", b"{}", **headers)[0] == 413


def test_chunks_of_unknown_length_are_refused(server):
    with socket.create_connection(("127.0.0.1", server.address.port), timeout=10) as client:
        client.sendall(f"{head_of(server)}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_do_nothing(server, method):
    assert ask(server, method, "/sessions", b"x")[0] == 501
    assert not kept(server)


def test_two_clients_at_once_and_one_that_is_silent(server):
    silent = socket.create_connection(("127.0.0.1", server.address.port))
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(send(server)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    silent.close()
    assert answers == [201] * 8
    assert len(kept(server)) == 8


def test_there_is_an_end_to_what_it_keeps(server, monkeypatch):
    monkeypatch.setattr("mnext_tf.browser.server.MOST_SESSIONS", 2)
    assert [send(server)[0] for _ in range(3)] == [201, 201, 429]
    assert len(kept(server)) == 2


def test_the_token_is_in_the_address_where_no_log_has_it(server):
    before, fragment = server.address.url.split("#")
    assert fragment == f"token={server.token}"
    assert len(server.token) >= 20
    assert server.token not in before
    for path in server.site.files:
        assert server.token.encode() not in server.site.open(path).read()


def test_a_port_that_is_taken(server, tmp_path):
    with pytest.raises(ConfigError, match="Choose another --port"):
        PageServer(server.site, tmp_path, port=server.address.port)


def test_https_with_a_certificate_made_on_the_spot(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    certificate = make_certificate(tmp_path, "127.0.0.1")
    server = make_server(tmp_path, certificate=certificate)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        assert server.address.url.startswith("https://127.0.0.1:")
        with socket.create_connection(("127.0.0.1", server.address.port)) as plain:  # holds up nobody
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            trusted = ssl.create_default_context(cafile=certificate[0])
            connection = http.client.HTTPSConnection("127.0.0.1", server.address.port, timeout=10, context=trusted)
            connection.request("GET", "/models.json")
            assert json.loads(connection.getresponse().read())["server"] is True
            connection.close()
    finally:
        server.shutdown()
        server.server_close()


def test_a_folder_for_another_server(server, tmp_path):
    write_site(server.site, tmp_path / "page")
    assert (tmp_path / "page/index.html").read_bytes() == (PAGE / "index.html").read_bytes()
    assert (tmp_path / "page/models/0/a.tflite").read_bytes() == b"data"
    assert "Cross-Origin-Embedder-Policy: require-corp" in (tmp_path / "page/_headers").read_text()
    write_site(server.site, tmp_path / "page")  # again
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("x")
    (tmp_path / "mine/models.json").write_text("[]")  # a name that others use too
    with pytest.raises(ConfigError, match="is no page"):
        write_site(server.site, tmp_path / "mine")
    assert (tmp_path / "mine/thesis.txt").exists()
    (tmp_path / "page/models/notes.txt").write_text("x")
    with pytest.raises(ConfigError, match=r"holds more than a page: models/notes\.txt"):
        write_site(server.site, tmp_path / "page")
    assert (tmp_path / "page/models/notes.txt").exists()


def test_without_a_file_that_can_be_shown_the_error_says_why():
    runtime = Runtime("2.5.3", "runtime/2.5.3/", {})
    with pytest.raises(ConfigError, match=r"(?s)b\.tflite: it takes int8.*export_tflite"):
        make_site([], [Refused("b.tflite", "it takes int8", "python -m pipelines.export_tflite")], runtime, server=True)
