"""LiteRT.js, which runs .tflite files in a browser: where it is, and what of it a page needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mnext_tf.errors import ConfigError
from mnext_tf.files import read_json

VERSION = "2.5"  # of @litertjs/core, whose files are known here
_BUILDS = ("", "_compat", "_jspi", "_threaded")
_ROOT = Path(__file__).parents[2]
_HELPER = '"@litertjs/wasm-utils"'


@dataclass(frozen=True)
class Runtime:
    """files: path on the page to content, or to the file that holds it."""

    version: str
    folder: str  # on the page
    files: dict[str, Path | bytes]


def find_runtime(folder: Path | None = None) -> Runtime:
    """LiteRT.js of npm in `folder`, which holds node_modules; by default in this repository's web/, or here.

    Raises ConfigError where it is not there, or of a version that is not known.
    """
    places = [Path(folder)] if folder else [_ROOT / "web", Path("web"), Path()]
    found = next((p / "node_modules/@litertjs" for p in places if (p / "node_modules/@litertjs/core").is_dir()), None)
    if found is None:
        raise ConfigError(
            f"LiteRT.js, which runs the files in a browser, is not in {places[0]}/node_modules. `make web` installs it "
            f"with npm; without the repository: `npm install @litertjs/core@{VERSION}`, and run this in the same "
            "folder, or name that folder with --runtime."
        )
    try:
        version = read_json(found / "core/package.json")["version"]
        module = (found / "core/dist/index.js").read_text(encoding="utf-8")
        if not version.startswith(f"{VERSION}.") or module.count(_HELPER) != 1:
            raise ConfigError(f"{found}/core is of version {version}; this page knows {VERSION}. Install that one.")
        base = f"runtime/{version}/"
        files: dict[str, Path | bytes] = {
            # A browser finds a module by its path only
            f"{base}litert.js": module.replace(_HELPER, '"./wasm-utils.js"').encode(),
            f"{base}wasm-utils.js": found / "wasm-utils/dist/index.js",
        }
        for build in _BUILDS:
            for ending in ("js", "wasm"):
                name = f"wasm/litert_wasm{build}_internal.{ending}"
                files[base + name] = found / "core" / name
    except (OSError, ValueError, KeyError, TypeError) as e:
        raise ConfigError(f"{found} is damaged ({e}). Install it again: `make web`.") from e
    if missing := [str(path) for path in files.values() if isinstance(path, Path) and not path.is_file()]:
        raise ConfigError(f"{missing[0]} is missing. Install LiteRT.js again: `make web`.")
    return Runtime(version, base, files)
