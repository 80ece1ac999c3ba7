"""The page as files: HTML and JavaScript, the runtime, the models, and what ties them together."""

from __future__ import annotations

import functools
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mnext_tf.browser.models import PageModel, Refused
from mnext_tf.browser.runtime import Runtime
from mnext_tf.errors import ConfigError
from mnext_tf.files import atomic_folder, read_json, write_json
from mnext_tf.version import __version__

MODELS = "models.json"
_LIST = ".mnext_tf_page.json"  # in a folder with a page: the files of the page
PAGE = Path(__file__).parent / "page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".wasm": "application/wasm",
}

# Nothing comes from elsewhere, nothing goes elsewhere, and no script runs that is not a file of the page.
POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

# The first two isolate the page from other origins, without which browsers give WebAssembly no threads.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": POLICY,
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True)
class Site:
    """files: path on the page, without a leading slash, to content or the file that holds it."""

    files: dict[str, Path | bytes]
    models: tuple[PageModel, ...]

    def open(self, path: str) -> BinaryIO:
        content = self.files[path]
        return io.BytesIO(content) if isinstance(content, bytes) else content.open("rb")


def content_type(path: str) -> str:
    return _TYPES.get(Path(path).suffix, "application/octet-stream")


def keeps_forever(path: str) -> bool:
    """Whether a browser may keep a file without asking: the runtime's, whose path has its version."""
    return path.startswith("runtime/")


def make_site(models: Sequence[PageModel], refused: Sequence[Refused], runtime: Runtime, *, server: bool) -> Site:
    """The whole page; `server`: whether one takes results. Raises ConfigError where no model can be shown."""
    if not models:
        reasons = "".join(f"\n  {r.name}: {r.why}" + (f"\n    {r.command}" if r.command else "") for r in refused)
        raise ConfigError(f"There is no file that a browser can show.{reasons}")
    about = {
        "version": __version__,
        "server": server,
        "runtime": {"name": "LiteRT.js", "version": runtime.version, "folder": runtime.folder},
        "sample": "sample.png",
        "models": [model.about for model in models],
        "refused": [{"name": r.name, "why": r.why, "command": r.command} for r in refused],
    }
    files: dict[str, Path | bytes] = {path.name: path for path in sorted(PAGE.iterdir()) if path.suffix in _TYPES}
    files |= runtime.files
    for model in models:
        files |= model.files
    files["sample.png"] = _sample()
    files[MODELS] = json.dumps(about, ensure_ascii=False).encode()
    return Site(files, tuple(models))


def check_out(folder: Path) -> None:
    """Raises ConfigError where `folder` holds anything but a page that `write_site` wrote: a new one replaces it."""
    folder = Path(folder)
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    try:
        known = {_LIST, *read_json(folder / _LIST)}
    except (OSError, ValueError, TypeError):
        raise ConfigError(f"{folder} is there and is no page. Choose another --out, or delete it.") from None
    there = [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
    if others := sorted({path.relative_to(folder).as_posix() for path in there} - known):
        raise ConfigError(
            f"{folder} holds more than a page: {', '.join(others[:3])}{' ...' if len(others) > 3 else ''}. A new page "
            "would replace all of it. Choose another --out, or move the rest elsewhere."
        )


def write_site(site: Site, folder: Path) -> None:
    """The page as a folder for any web server; `_headers` names the headers for those servers that read it.

    Raises ConfigError where `folder` holds anything but a page.
    """
    check_out(folder)
    with atomic_folder(folder) as temporary:
        for path in site.files:
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with site.open(path) as source, target.open("wb") as written:
                shutil.copyfileobj(source, written)
        lines = "".join(f"  {name}: {value}\n" for name, value in HEADERS.items())
        (temporary / "_headers").write_text(f"/*\n{lines}", encoding="utf-8")
        write_json(temporary / _LIST, ["_headers", *site.files])


@functools.cache
def _sample() -> bytes:
    """The image of the models' golden inputs, as PNG: how a browser decodes JPEG is no part of the check."""
    from PIL import Image
    from sklearn.datasets import load_sample_image

    encoded = io.BytesIO()
    Image.fromarray(load_sample_image("flower.jpg")).save(encoded, "PNG", optimize=True)
    return encoded.getvalue()
