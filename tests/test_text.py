import os

import pytest

from mnext_tf.text import path_text, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Grüner Baum 木.jpg", "Grüner Baum 木.jpg"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),
        ("a\nb\r\x85\u2028", "a\\x0ab\\x0d\\x85\\u2028"),
        ("gpj.\u202efdp", "gpj.\\u202efdp"),
        ("\x9b31m", "\\x9b31m"),
        ("\udce9", "\\udce9"),
    ],
)
def test_nothing_moves_the_cursor_or_starts_a_line(text, shown):
    assert printable(text) == shown


def test_paths_are_text_for_json():
    assert path_text(os.fsdecode(b"caf\xe9\x1b.jpg")) == "caf\ufffd\\x1b.jpg"
