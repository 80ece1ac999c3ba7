"""Stages of a run: skipped while nothing they depend on has changed, written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.files import atomic_folder, cached_sha256, plain, sha256, sha256_of, write_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.provenance import now, versions
from mnext_tf.runs.lock import run_lock
from mnext_tf.runs.manifest import MANIFEST, Manifest
from mnext_tf.runs.run import WEIGHTS_STAGE, Run

_log = logging.getLogger(__name__)

# Our modules that decide what an export contains: a change to one of them makes stages run again.
_LIBRARY = Path(__file__).parents[1]
CONTENT_MODULES = (
    "boxes.py",
    "models/*.py",
    "data/preprocess.py",
    "data/input_pipeline.py",
    "data/order.py",
    "data/object_schema.py",
    "data/detection_pipeline.py",
    "compression/*.py",
    "export/*.py",
    "tflite/*.py",
)


@dataclass(frozen=True)
class StageResult:
    folder: Path
    manifest: Manifest
    skipped: bool

    @property
    def result(self) -> dict:
        return self.manifest.result


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
    """Run `build(folder)` in a folder beside the stage's, then rename it; skip it if the stage is current.

    Args:
      inputs: name -> file or folder that the stage reads; hashed.
      settings: everything else that the result depends on.
      build: fills the folder it is given and returns the stage's result (plain values).
      keep_failed: keep what `build` wrote before an ExportError, as `<name>.failed/`.

    Waits while another process works on the run. Where `build` raises, what an earlier call accepted stays; an
    ExportError's text says so.
    """
    if not force and not stale_reason(run, name, inputs, settings):
        return _kept(run, name)
    with run_lock(run.folder, f"making {name}", wait=True):
        if not force and not stale_reason(run, name, inputs, settings):  # another process has made it meanwhile
            return _kept(run, name)
        try:
            with atomic_folder(run.stage(name)) as temporary:
                try:
                    _build(run, name, inputs, settings, build, temporary)
                except ExportError as e:
                    if keep_failed:
                        _keep_failed(run, name, temporary, e)
                    raise
        except ExportError as e:
            if accepted := run.manifest(name):
                e.args = (f"{e} {_still_there(run.stage(name), accepted, settings)}",)
            raise
        shutil.rmtree(_failed(run, name), ignore_errors=True)
    return StageResult(run.stage(name), run.manifest(name), skipped=False)


def is_current(run: Run, name: str) -> bool:
    """Whether `run_stage` would keep a stage, called again with the inputs and settings that made it."""
    return stale_reason(run, name) is None


def stale_reason(
    run: Run, name: str, inputs: dict[str, Path] | None = None, settings: dict | None = None
) -> str | None:
    """Why a stage has to run again; None where its files are whole and made from what the run holds now.

    Args:
      inputs, settings: as `run_stage` takes them; None for those that made the stage, with the run's configuration
        as it is now. A file outside the run, such as an imported checkpoint, may be gone.
    """
    return _stale_reason(run, name, inputs, settings, ())


def _stale_reason(
    run: Run, name: str, inputs: dict | None, settings: dict | None, above: tuple[str, ...]
) -> str | None:
    """As `stale_reason`; `above` are the stages made of this one, that is, on the way to it."""
    manifest = run.manifest(name)
    if manifest is None:
        return f"{name} has not been made"
    if changed := _changed_outputs(run, name, manifest):
        return f"{name}/{changed[0]} was changed or removed"
    if inputs is None:
        stages = {key: path for key, path in manifest.input_files.items() if _stage_of(run, path)}
        inputs = {key: run.folder / path for key, path in stages.items()}
        recorded = {key: manifest.inputs.get(key) for key in inputs}
    else:
        recorded = manifest.inputs
    found = {key: cached_sha256(path) if path.exists() else None for key, path in inputs.items()}
    if changed := [key for key in recorded.keys() | found.keys() if recorded.get(key) != found.get(key)]:
        return f"the input {sorted(changed)[0]} of {name} has changed"
    if changed := _differences(manifest.settings, _configured(run, manifest) if settings is None else settings):
        return f"the setting {changed[0]} of {name} has changed"
    installed = versions()
    for package, version in manifest.versions.items():
        if package not in ("python", "mnext_tf") and installed.get(package) != version:
            return f"{name} was made with {package} {version}"
    if manifest.code and manifest.code != content_code():
        return f"{name} was made by another release of mnext_tf"
    reasons = (_stale_input(run, path, (*above, name)) for path in manifest.input_files.values())
    return next(filter(None, reasons), None)


@functools.cache
def content_code() -> str:
    """The hash of `CONTENT_MODULES`."""
    return sha256_of([sha256(path) for pattern in CONTENT_MODULES for path in sorted(_LIBRARY.glob(pattern))])


def _kept(run: Run, name: str) -> StageResult:
    _log.debug(f"{name}: unchanged, kept {run.stage(name)}")
    return StageResult(run.stage(name), run.manifest(name), skipped=True)


def _build(run: Run, name: str, inputs: dict, settings: dict, build: Callable, folder: Path) -> None:
    start = time.monotonic()
    hashes = {key: cached_sha256(path) for key, path in inputs.items()}
    result = build(folder)
    outputs = {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    manifest = Manifest(
        stage=name,
        created=now(),
        seconds=round(time.monotonic() - start, 1),
        inputs=hashes,
        input_files={key: os.path.relpath(path, run.folder) for key, path in inputs.items()},
        settings=plain(settings),
        outputs=outputs,
        versions=versions(),
        code=content_code(),
        result=plain(result),
    )
    write_json(folder / MANIFEST, manifest.to_dict())


def _failed(run: Run, name: str) -> Path:
    return run.stage(f"{name}.failed")


def _keep_failed(run: Run, name: str, temporary: Path, error: ExportError) -> None:
    """Without a manifest, so that nothing takes it for an export."""
    with atomic_folder(_failed(run, name)) as kept:
        shutil.copytree(temporary, kept, dirs_exist_ok=True)
        write_json(kept / "failure.json", {"stage": name, "created": now(), "error": str(error)})
    error.args = (f"{error} What was refused is kept in {_failed(run, name)}.",)


def _still_there(folder: Path, accepted: Manifest, settings: dict) -> str:
    changed = _differences(accepted.settings, settings)
    said = ", ".join(f"{name}={accepted.settings.get(name)}" for name in changed) or "the same settings"
    return f"{folder} still holds what was accepted on {accepted.created[:19]}, with {said[:300]}."


def _changed_outputs(run: Run, name: str, manifest: Manifest) -> list[str]:
    folder = run.stage(name)
    return [p for p, h in manifest.outputs.items() if not (folder / p).is_file() or cached_sha256(folder / p) != h]


def configuration(run: Run) -> dict:
    """The settings of every export: what of a run's configuration decides its content."""
    config = run.config.to_dict()
    kept = {key: config[key] for key in ("model", "preprocess", "class_names", "verify_images")}
    kept |= {"detection": config["detection"]} if config["detection"] else {}
    return {**kept, "dataset": run.config.dataset.fingerprint}


def _configured(run: Run, manifest: Manifest) -> dict:
    """The settings that made a stage; those that repeat the run's configuration, as it is now."""
    now = configuration(run)
    return {key: now.get(key, value) for key, value in manifest.settings.items()}


def _differences(recorded: dict, settings: dict) -> list[str]:
    recorded, wanted = _as_now(recorded), plain(settings)
    return sorted(k for k in recorded.keys() | wanted.keys() if not _same(recorded.get(k), wanted.get(k)))


def _as_now(settings: dict) -> dict:
    """Settings that an earlier release recorded, with the fields that were added since, as it meant them."""
    found = dict(settings)
    for name, record in (("model", ModelConfig), ("preprocess", Preprocess)):
        if name in settings:
            with contextlib.suppress(ConfigError):  # of a newer release, or edited: compared as it is
                found[name] = record.from_dict(settings[name]).to_dict()
    return found


def _same(recorded, wanted) -> bool:
    """Whether two values are equal; a field that an earlier release did not have yet is None."""
    if isinstance(recorded, dict) and isinstance(wanted, dict):
        return all(_same(recorded.get(k), wanted.get(k)) for k in (recorded.keys() | wanted.keys()) - {"version"})
    return recorded == wanted


def _stage_of(run: Run, path: str) -> str | None:
    """The stage that an input comes from; None for a file from elsewhere."""
    parts = Path(path).parts
    if run.variant and parts[0] == run.variant:
        parts = parts[1:]
    inside = len(parts) > 1 and ".." not in parts and not Path(path).is_absolute()
    return parts[0] if inside and (run.stage(parts[0]) / MANIFEST).is_file() else None


def _stale_input(run: Run, path: str, above: tuple[str, ...]) -> str | None:
    """As `stale_reason` of the stage that an input comes from; weights must be whole only: they are not made again."""
    stage = _stage_of(run, path)
    if stage is None:
        return None
    if stage in above:
        return f"{stage} says that it was made from itself"
    if stage not in WEIGHTS_STAGE.values():
        return _stale_reason(run, stage, None, None, above)
    changed = _changed_outputs(run, stage, run.manifest(stage))
    return f"{stage}/{changed[0]} was changed or removed" if changed else None
