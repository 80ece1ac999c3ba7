"""Stages of a run: skipped while nothing they depend on has changed, written whole or not at all."""

from __future__ import annotations

import functools
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mnext_tf
from mnext_tf.errors import ExportError
from mnext_tf.files import atomic_folder, read_json, sha256, sha256_of, write_json
from mnext_tf.provenance import now, versions
from mnext_tf.runs.run import Run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StageResult:
    folder: Path
    manifest: dict
    skipped: bool

    @property
    def result(self) -> dict:
        return self.manifest["result"]


def run_stage(
    run: Run,
    name: str,
    *,
    inputs: dict[str, Path],
    settings: dict,
    build: Callable[[Path], dict],
    force: bool = False,
    keep_failed: bool = False,
) -> StageResult:
    """Run `build(folder)` in a folder beside the stage's, then rename it; skip it if nothing changed.

    Args:
      inputs: name -> file or folder that the stage reads; hashed.
      settings: everything else that the result depends on.
      build: fills the folder it is given and returns the stage's result (plain values).

    A failed check (ExportError) also removes what an earlier call left under the final name: it came
    from other inputs and must not be taken for this network.
    """
    folder = run.stage(name)
    hashes = {key: sha256(path) for key, path in inputs.items()}
    relevant = {k: v for k, v in versions().items() if k != "python"}
    key = sha256_of({"stage": name, "inputs": hashes, "settings": settings, "versions": relevant, "code": _code()})
    manifest = run.manifest(name)
    if not force and manifest and manifest.get("key") == key and _outputs_are_whole(folder, manifest):
        _log.debug(f"{name}: unchanged, kept {folder}")
        return StageResult(folder, manifest, skipped=True)

    start = time.monotonic()
    try:
        with atomic_folder(folder) as temporary:
            result = build(temporary)
            outputs = {
                p.relative_to(temporary).as_posix(): sha256(p) for p in sorted(temporary.rglob("*")) if p.is_file()
            }
            manifest = {
                "stage": name,
                "key": key,
                "created": now(),
                "seconds": round(time.monotonic() - start, 1),
                "inputs": hashes,
                "input_files": {k: os.path.relpath(p, run.folder) for k, p in inputs.items()},
                "settings": settings,
                "outputs": outputs,
                "versions": versions(),
                "result": result,
            }
            write_json(temporary / "manifest.json", manifest)
    except ExportError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return StageResult(folder, read_json(folder / "manifest.json"), skipped=False)


def is_current(run: Run, name: str) -> bool:
    """Whether a stage's files are whole and were made from what the run's folder holds now."""
    manifest = run.manifest(name)
    if not manifest or not _outputs_are_whole(run.stage(name), manifest):
        return False
    for key, file in manifest.get("input_files", {}).items():
        path, stage = run.folder / file, Path(file).parts[0]
        if not (run.stage(stage) / "manifest.json").is_file():  # a checkpoint: what was taken of it is in the run
            continue
        if not path.exists() or sha256(path) != manifest["inputs"][key]:
            return False
        if not is_current(run, stage):
            return False
    return True


@functools.cache
def _code() -> str:
    """Of the code that decides what an export contains: an update of it makes stages run again."""
    root = Path(mnext_tf.__file__).parent
    return sha256_of([sha256(p) for room in ("models", "data", "export") for p in sorted((root / room).glob("*.py"))])


def _outputs_are_whole(folder: Path, manifest: dict) -> bool:
    return all((folder / p).is_file() and sha256(folder / p) == h for p, h in manifest.get("outputs", {}).items())
