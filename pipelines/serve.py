"""Serve a page that runs exported networks in a browser, on this computer or on a phone: see, check, and time them.

python -m pipelines.serve
python -m pipelines.serve --run=runs/demo/mnext,runs/demo/mobilenet_v2
python -m pipelines.serve --tflite=a.tflite,b.tflite --out=page
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.device.session import SESSIONS
from mnext_tf.errors import ConfigError
from pipelines import _cli, _flags

_RUN = flags.DEFINE_list("run", [], "Run folders. Without any network: the newest run.")
_TFLITE = flags.DEFINE_list("tflite", [], "TFLite files, with commas between.")
_RUNS_ROOT = _flags.runs_root()
_OUT = flags.DEFINE_string("out", None, "Write the page into this folder, for any web server, in place of serving it.")
_HOST = flags.DEFINE_string(
    "host", "127.0.0.1", "Address to serve at. 0.0.0.0: to all devices of the network, without a password."
)
_PORT = flags.DEFINE_integer("port", 8000, "Port to serve at.", lower_bound=0, upper_bound=65535)
_HTTPS = flags.DEFINE_bool(
    "https",
    False,
    "Serve with a certificate made for it, of which browsers warn once: other devices need it for the camera.",
)
_SESSIONS = flags.DEFINE_string(
    "sessions", SESSIONS, "Folder for the sessions that browsers send; pipelines.report reads it."
)
_RUNTIME = flags.DEFINE_string(
    "runtime", None, "Folder with LiteRT.js in node_modules. Without it: web, or this folder."
)


def main() -> None:
    if _OUT.value and _HTTPS.value:
        raise ConfigError("--https is for serving; --out writes a folder that another server serves.")

    from mnext_tf.browser.runtime import find_runtime
    from mnext_tf.browser.site import check_out, make_site, write_site

    runtime = find_runtime(_RUNTIME.value)  # before the minutes that an export may take
    if _OUT.value:
        check_out(Path(_OUT.value))
    shown, refused = _models()
    site = make_site(shown, refused, runtime, server=not _OUT.value)
    for model in shown:
        print(f"  {model.name}  {model.about['bytes'] / 1e6:.1f} MB")
    for file in refused:
        print(f"  {file.name}: not shown: {file.why}" + (f"; {file.command} makes one that is" if file.command else ""))
    if not _OUT.value:
        return _serve(site)
    write_site(site, Path(_OUT.value))
    print(f"{_OUT.value}: serve it with the headers in its file _headers; docs/browser.md says what for.")


def _models():
    """What the flags name: files that can be shown, and others."""
    from mnext_tf.browser.models import files_of_run, page_models
    from mnext_tf.runs.run import latest_run, open_run

    runs = [open_run(folder) for folder in _RUN.value]
    if not runs and not _TFLITE.value:
        runs = [latest_run(_RUNS_ROOT.value)]
    files, refused = [], []
    for run in runs:
        found, others = files_of_run(run)
        files, refused = [*files, *found], [*refused, *others]
    shown, others = page_models([*files, *map(Path, _TFLITE.value)])
    return shown, [*refused, *others]


def _serve(site) -> None:
    import tempfile

    from mnext_tf.browser.address import instructions
    from mnext_tf.browser.certificate import make_certificate
    from mnext_tf.browser.server import PageServer

    with tempfile.TemporaryDirectory() as folder:
        certificate = make_certificate(Path(folder), _HOST.value) if _HTTPS.value else None
        server = PageServer(
            site,
            Path(_SESSIONS.value),
            host=_HOST.value,
            port=_PORT.value,
            certificate=certificate,
            on_session=lambda kept: print(f"A browser sent {kept}; `python -m pipelines.report` shows it.", flush=True),
        )
        print(instructions(server.address), flush=True)
        with server:
            try:
                server.serve_forever()
            except KeyboardInterrupt:
                print("Stopped.")


if __name__ == "__main__":
    _cli.run(main)
