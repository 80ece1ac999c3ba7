"""Text that comes from files and folders, made safe to show."""

from __future__ import annotations

import os
import re

# C0 and C1 controls, line and paragraph separators, marks that change the writing direction, lone surrogates
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text) -> str:
    r"""`text` with escapes for all that could move a cursor, start a line or reorder its surroundings: `\x1b`, `\n`."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), str(text))


def path_text(path) -> str:
    """A path as printable text that JSON can hold; bytes that are not UTF-8 become U+FFFD."""
    return printable(decoded(path))


def decoded(path) -> str:
    """A path as text that JSON can hold, controls included; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")
