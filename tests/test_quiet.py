"""Native libraries are muted; Python's own output and errors are not."""

from __future__ import annotations


def run(python, body: str):
    code = f"import os, sys\nfrom mnext_tf.quiet import quiet_stderr\n{body}"
    return python("-c", code)


def test_native_output_is_dropped_and_pythons_is_kept(python):
    done = run(
        python,
        "with quiet_stderr():\n    os.write(2, b'native')\n    print('bar', file=sys.stderr)\nos.write(2, b'after')",
    )
    assert done.stderr == "bar\nafter"


def test_on_an_exception_native_output_is_shown(python):
    done = run(
        python, "with quiet_stderr():\n    os.write(2, b'cannot open libfoo.so')\n    raise ImportError('no foo')"
    )
    assert done.returncode == 1
    assert done.stderr.startswith("cannot open libfoo.so")
    assert "ImportError: no foo" in done.stderr


def test_log_handlers_made_inside_still_work_afterward(python):
    body = "import logging\nwith quiet_stderr():\n    logging.basicConfig()\nlogging.warning('later')"
    assert run(python, body).stderr == "WARNING:root:later\n"


def test_overlapping_threads_leave_standard_error_as_it_was(python):
    body = (
        "import threading\na, b = threading.Event(), threading.Event()\n"
        "def first():\n    with quiet_stderr():\n        a.set(); b.wait()\n"
        "t = threading.Thread(target=first); t.start(); a.wait()\n"
        "with quiet_stderr():\n    b.set(); t.join(); os.write(2, b'native')\n"
        "os.write(2, b'fd'); print(' python', file=sys.stderr)"
    )
    assert run(python, body).stderr == "fd python\n"


def test_names_that_are_no_text_can_be_shown_inside(python):
    done = run(python, "with quiet_stderr():\n    print('a\\udcff.png', file=sys.stderr)")
    assert (done.returncode, done.stderr) == (0, "a\\udcff.png\n")
