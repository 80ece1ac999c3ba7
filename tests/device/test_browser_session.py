"""Sessions that browsers sent: what is read, and what is refused."""

from __future__ import annotations

import json
import math

import pytest
from support.browsers import browser_model, browser_run, browser_session

from mnext_tf.device.browser import parse_session, read_browser_session
from mnext_tf.device.session import check_session, find_sessions, is_session
from mnext_tf.errors import DataError


def test_a_session_is_read(tmp_path):
    folder = tmp_path / "browser-1"
    folder.mkdir()
    (folder / "browser.json").write_text(json.dumps(browser_session()))
    session = read_browser_session(folder)
    assert session.title == "Chrome 150 on Pixel 8, Android 14"
    assert session.gpu == "arm valhall"
    assert session.runs[0].rounds == ((1.0, 2.5), (2.0,))
    assert is_session(folder)
    assert find_sessions(tmp_path) == [folder]
    check_session(folder)


def test_a_damaged_one_is_an_error_that_names_it(tmp_path):
    (tmp_path / "browser.json").write_text("{")
    with pytest.raises(DataError, match=r"browser\.json cannot be read"):
        read_browser_session(tmp_path)


@pytest.mark.parametrize(
    "record",
    [
        [],
        None,
        "text",
        browser_session(format=2),
        browser_session(format=None),
        browser_session(started=5),
        browser_session(runtime="x" * 501),
        browser_session(facts=[]),
        browser_session(facts={"../a": "b"}),
        browser_session(facts={"browser": {"a": 1}}),
        browser_session(gpu="arm"),
        browser_session(models={}),
        browser_session(models=[]),
        browser_session(models=[{"name": "a b", "bytes": 1, "sha256": ""}], runs=[]),
        browser_session(models=[{"name": "a", "bytes": 1, "sha256": "no"}], runs=[]),
        browser_session(models=[{"name": "a", "bytes": 1, "sha256": ""}] * 2, runs=[]),
        browser_session([browser_run()] * 513),
        browser_session([browser_run(backend="cpu")]),
        browser_session([browser_run(ran_on="gpu")]),
        browser_session([browser_run(ran_on="")]),
        browser_session([browser_run(rounds=[])]),
        browser_session([browser_run(rounds=[[]])]),
        browser_session([browser_run(rounds=[[1.0] * 1001])]),
        browser_session([browser_run(rounds=[["1"]])]),
        browser_session([browser_run(rounds=[[True]])]),
        browser_session([browser_run(rounds=[[math.nan]])]),
        browser_session([browser_run(rounds=[[-0.1]])]),
        browser_session([browser_run(threads=0)]),
        browser_session([browser_run(threads=True)]),
        browser_session([browser_run(compile_ms=math.inf)]),
        browser_session([browser_run(compile_ms=10**400)]),
        browser_session(models=[browser_model("a", network="a b")], runs=[]),
        browser_session(models=[browser_model("a", precision="int3")], runs=[]),
        browser_session(models=[browser_model("a", input_size=True)], runs=[]),
        browser_session(models=[browser_model("a", run=["b"])], runs=[]),
    ],
    ids=range(35),
)
def test_whatever_is_out_of_bounds_is_refused(record):
    with pytest.raises(ValueError, match=r"\w"):
        parse_session(record)
