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
