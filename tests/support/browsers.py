"""Sessions as the page of pipelines.serve sends them, and LiteRT.js as npm lays it out, without its content."""

import json


def browser_run(**changes) -> dict:
    run = {"model": "mnext_1.0_224_float32", "backend": "wasm", "threads": 1, "ran_on": "wasm", "compile_ms": 9.5}
    return {**run, "first_ms": None, "rounds": [[1, 2.5], [2.0]], "error": "", **changes}


def browser_model(name: str, **changes) -> dict:
    """As older pages sent it; newer ones say run, network, precision, and input_size too."""
    return {"name": name, "bytes": 14_000_000, "sha256": "ab" * 32, **changes}


def browser_session(runs=None, **changes) -> dict:
    runs = [browser_run()] if runs is None else runs
    names = dict.fromkeys(run["model"] for run in runs)
    return {
        "format": 1,
        "started": "2026-11-26T10:00:00.000Z",
        "runtime": "LiteRT.js 2.5.3",
        "facts": {
            "browser": "Chrome 150",
            "device": "Pixel 8",
            "platform": "Android 14",
            "cores": "8",
            "isolated": "yes",
        },
        "gpu": {"vendor": "arm", "architecture": "valhall", "device": "", "description": "", "software": False},
        "models": [browser_model(name) for name in names],
        "runs": runs,
        **changes,
    }


def npm_package(folder, version="2.5.3"):
    core, utils = folder / "node_modules/@litertjs/core", folder / "node_modules/@litertjs/wasm-utils"
    for path in (core / "dist/index.js", utils / "dist/index.js"):
        path.parent.mkdir(parents=True)
        path.write_text('import { createWasmLib } from "@litertjs/wasm-utils";\n')
    (core / "package.json").write_text(json.dumps({"version": version}))
    (core / "wasm").mkdir()
    for build in ("", "_compat", "_jspi", "_threaded"):
        for ending in ("js", "wasm"):
            (core / f"wasm/litert_wasm{build}_internal.{ending}").write_bytes(b"x")
    return folder
