"""Whatever config.json and manifest.json hold, commands that look through runs raise errors of ours, or pass on."""

from __future__ import annotations

import contextlib
import copy
import json
import random
import shutil

import pytest

from mnext_tf.errors import ConfigError, MnextError
from mnext_tf.runs.run import latest_run, list_runs, open_run
from mnext_tf.runs.stages import is_current
from mnext_tf.runs.weights import require_weights
from mnext_tf.training.start import resume_run

VALUES = (
    *(
        None,
        True,
        False,
        0,
        -1,
        3,
        10**400,
        1.5,
        -1e308,
        float("nan"),
        float("inf"),
        "",
        "x",
        "\0",
        "../..",
        "ü" * 5000,
    ),
    *([], {}, [None], [[]], {"version": 99}, {"": {}}, {"version": None, "a": [1]}, [{}], ["a", 1], {"name": "mnext"}),
)
DEEP = "[" * 100_000 + "]" * 100_000


def nested(depth):
    value: list = []
    for _ in range(depth):
        value = [value]
    return value


def places(value, path=()):
    """The paths of all values within a JSON value."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*path, 0))


def mutated(value, path, change):
    """A copy of a JSON value; `change(parent, key)` changes it at `path`."""
    root = {"root": copy.deepcopy(value)}
    parent, keys = root, ("root", *path)
    for key in keys[:-1]:
        parent = parent[key]
    change(parent, keys[-1])
    return root.get("root")


def mutations(text: str, count: int):
    rng, value = random.Random(0), json.loads(text)
    where = list(places(value))

    def replace(parent, key):
        parent[key] = rng.choice(VALUES)

    def drop(parent, key):
        del parent[key]

    def add(parent, key):
        parent.update({"x": 1}) if isinstance(parent, dict) else parent.append(rng.choice(VALUES))

    def nest(parent, key):
        parent[key] = nested(900)

    for _ in range(count):
        change = rng.choice((replace, replace, replace, drop, add, nest))
        yield json.dumps(mutated(value, rng.choice(where), change)).encode()
    encoded = text.encode()
    for _ in range(count // 4):
        i = rng.randrange(len(encoded))
        yield rng.choice((encoded[:i], encoded[:i] + bytes([rng.randrange(256)]) + encoded[i + 1 :]))
    yield from (
        b"",
        b"\xff\xfe\x00",
        b"NaN",
        b"9" * 5000,
        DEEP.encode(),
        f'{{"init": "trained", "model": {DEEP}}}'.encode(),
    )


@pytest.fixture
def runs(repository, tmp_path):
    """Two runs of version 0.1: one finished, with exports, one interrupted."""
    for name in ("trained", "interrupted"):
        shutil.copytree(repository / "tests/fixtures/version_0_1/runs" / name, tmp_path / name)
    return tmp_path


def test_no_config_breaks_what_looks_through_the_folder(runs):
    path = runs / "trained" / "config.json"
    whole = path.read_text()
    opened = 0
    for data in mutations(whole, 200):
        path.write_bytes(data)
        names = [run.name for run in list_runs(runs)]
        assert names in (["interrupted"], ["trained", "interrupted"], ["interrupted", "trained"]), data[:200]
        assert latest_run(runs).name in names
        assert resume_run(None, {}, root=runs).name in names
        with contextlib.suppress(ConfigError):
            open_run(path.parent)
            opened += 1
    assert 0 < opened < 80  # class names, versions and the like may be anything


@pytest.mark.parametrize("stage", ["train", "tflite_int8", "frozen"])
def test_no_manifest_raises_another_error(runs, stage):
    run = open_run(runs / "trained")
    path = run.folder / stage / "manifest.json"
    whole = path.read_text()
    refused = 0
    for data in mutations(whole, 50):
        path.write_bytes(data)
        assert latest_run(runs).name in ("trained", "interrupted")
        assert resume_run(None, {}, root=runs).name in ("trained", "interrupted")
        for ask in (lambda: is_current(run, "tflite_int8"), lambda: run.manifest(stage), lambda: require_weights(run)):
            try:
                ask()
            except MnextError:
                refused += 1
    assert refused > 16


def test_a_damaged_config_is_named_once_and_another_programs_is_not(runs, log_lines):
    (runs / "trained" / "config.json").write_text('{"init": "trained", "modle": 1}')
    (runs / "other").mkdir()
    (runs / "other" / "config.json").write_text('{"architectures": ["X"]}')
    assert [run.name for run in list_runs(runs)] == ["interrupted"]
    assert len(log_lines) == 1
    assert "warning: Left out: " in log_lines[0]
    assert "unknown field 'modle'" in log_lines[0]
