"""Serves the page to browsers, and takes the sessions that they measured."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mnext_tf.browser.address import Address, is_address
from mnext_tf.browser.site import HEADERS, Site, content_type, keeps_forever
from mnext_tf.device.browser import FILE, BrowserSession, parse_session, session_record
from mnext_tf.errors import ConfigError
from mnext_tf.files import atomic_folder, write_json
from mnext_tf.text import printable

MOST_BYTES = 1 << 20  # of a session; 20 rounds of 100 inferences of 8 models are about a quarter of that
MOST_SESSIONS = 1000  # that one server keeps
_SECONDS = 20  # that a connection may be silent

_log = logging.getLogger(__name__)


class PageServer(ThreadingHTTPServer):
    """A server of one site. Whatever is no file of it does not exist; only a session can be written.

    sessions: the folder that new session folders go to. on_session: called with each of them.
    """

    daemon_threads = True
    request_queue_size = 32

    def __init__(
        self,
        site: Site,
        sessions: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        certificate: tuple[Path, Path] | None = None,
        on_session: Callable[[Path], None] = lambda folder: None,
    ):
        self.site, self.sessions, self.on_session = site, Path(sessions), on_session
        self.token, self._kept, self._writing = secrets.token_urlsafe(16), 0, threading.Lock()
        self._names = {host.lower(), "localhost"}
        self._tls = None
        if certificate:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(*certificate)
        if ":" in host:
            import socket

            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as e:
            raise ConfigError(f"{host}:{port} cannot be served ({e.strerror or e}). Choose another --port.") from e
        except OverflowError as e:
            raise ConfigError(f"--port must be from 0 to 65535; received {port}.") from e
        self.address = Address(host, self.server_address[1], self.token, bool(certificate))

    def finish_request(self, request, client_address):
        """In the thread of the request, so that a slow handshake holds up nobody."""
        request.settimeout(_SECONDS)
        if not self._tls:
            return super().finish_request(request, client_address)
        # OSError, which `handle_error` drops: the client does not trust the certificate, or speaks plain HTTP
        with self._tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request, client_address):
        """A client that goes away is no event."""
        _log.debug("A request failed.", exc_info=True)

    def is_own_host(self, host: str) -> bool:
        """Whether a Host header names this server: a name that someone else resolves to it is another site's."""
        name = re.sub(r":\d+$", "", host).strip("[]").lower()
        return name in self._names or is_address(name)

    def keep(self, session: BrowserSession) -> Path:
        """Write a session into a folder of its own. Raises OverflowError after too many."""
        with self._writing:
            if self._kept >= MOST_SESSIONS:
                raise OverflowError
            self._kept += 1
            stem = "browser-" + re.sub(r"\W", "", session.started)[:15]
            names = (stem, *(f"{stem}-{i}" for i in range(2, MOST_SESSIONS + 2)))
            folder = next(self.sessions / name for name in names if not (self.sessions / name).exists())
            with atomic_folder(folder) as temporary:
                write_json(temporary / FILE, session_record(session))
        self.on_session(folder)
        return folder


class _Handler(BaseHTTPRequestHandler):
    server: PageServer
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "mnext_tf", ""

    def do_GET(self):
        self._send_file(with_body=True)

    def do_HEAD(self):
        self._send_file(with_body=False)

    def _send_file(self, *, with_body: bool) -> None:
        path = self._path()
        if not self.server.is_own_host(self.headers.get("Host", "")):
            return self._refuse(HTTPStatus.MISDIRECTED_REQUEST, "This server has another name.")
        if path not in self.server.site.files:
            return self._refuse(HTTPStatus.NOT_FOUND, "There is no such file on this page.")
        try:
            file = self.server.site.open(path)
        except OSError:
            return self._refuse(HTTPStatus.NOT_FOUND, "That file is gone.")
        with file:
            self._head(HTTPStatus.OK, content_type(path), file.seek(0, os.SEEK_END), keeps_forever(path))
            if with_body:
                file.seek(0)
                shutil.copyfileobj(file, self.wfile)

    def _path(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/") or "index.html"

    def do_POST(self):
        """A session as JSON, at /sessions."""
        self.close_connection = True  # what is refused is not read to its end
        sent = self.headers.get("X-Token", "")
        if self._path() != "sessions":
            return self._refuse(HTTPStatus.NOT_FOUND, "Only sessions can be sent.")
        if not self.server.is_own_host(self.headers.get("Host", "")) or not self._is_same_origin():
            return self._refuse(HTTPStatus.FORBIDDEN, "Only this server's own page can send.")
        if not secrets.compare_digest(sent.encode(), self.server.token.encode()):
            return self._refuse(
                HTTPStatus.FORBIDDEN, "The token is missing or wrong. Open the address that the command printed."
            )
        if self.headers.get("Content-Type", "").split(";")[0].strip() != "application/json":
            return self._refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Only JSON can be sent.")
        length = self.headers.get("Content-Length", "")
        if (
            not re.fullmatch(r"\d{1,9}", length)
            or not 0 < int(length) <= MOST_BYTES
            or "Transfer-Encoding" in self.headers
        ):
            return self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"A session has at most {MOST_BYTES} bytes.")
        return self._receive(int(length))

    def _is_same_origin(self) -> bool:
        origin = self.headers.get("Origin")
        return origin is None or urlsplit(origin).netloc == self.headers.get("Host")

    def _receive(self, length: int) -> None:
        try:
            session = parse_session(json.loads(self.rfile.read(length)))
            self._check_models(session)
        except (ValueError, RecursionError) as e:
            return self._refuse(HTTPStatus.BAD_REQUEST, f"That is no session: {printable(str(e))[:200]}.")
        try:
            folder = self.server.keep(session)
        except OverflowError:
            return self._refuse(
                HTTPStatus.TOO_MANY_REQUESTS, f"{MOST_SESSIONS} sessions are kept; start the server again."
            )
        except OSError as e:
            return self._refuse(HTTPStatus.INSUFFICIENT_STORAGE, f"It cannot be kept ({e.strerror}).")
        self._answer(HTTPStatus.CREATED, {"folder": str(folder)})

    def _check_models(self, session: BrowserSession) -> None:
        """Raises ValueError for files that this page does not have."""
        known = {model.about["name"]: model.about["sha256"] for model in self.server.site.models}
        for model in session.models:
            if model.name not in known or (model.sha256 and model.sha256 != known[model.name]):
                raise ValueError(f"{model.name} is no file of this page, or another one of that name")

    def _refuse(self, status: HTTPStatus, reason: str) -> None:
        self.close_connection = True
        self._answer(status, {"error": reason})

    def _answer(self, status: HTTPStatus, value: dict) -> None:
        content = json.dumps(value).encode()
        self._head(status, "application/json", len(content), forever=False)
        if self.command != "HEAD":
            self.wfile.write(content)

    def _head(self, status: HTTPStatus, kind: str, length: int, forever: bool) -> None:
        self.send_response(status)
        kept = "public, max-age=31536000, immutable" if forever else "no-cache"
        about = {"Content-Type": kind, "Content-Length": str(length), "Cache-Control": kept, **HEADERS}
        if self.close_connection:
            about["Connection"] = "close"
        for name, value in about.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format, *args):
        _log.debug("%s %s", self.client_address[0], printable(format % args))
