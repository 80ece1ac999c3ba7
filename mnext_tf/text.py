"""Text from files, folders, and devices, made safe to show."""

from __future__ import annotations

import os
import re

# C0 and C1 controls, line and paragraph separators, bidirectional overrides and isolates, lone surrogates
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    r"""One line that a terminal or a page shows as it is: controls and bidi overrides as \xNN or \uNNNN."""
    return _UNPRINTABLE.sub(lambda m: rf"\x{ord(m[0]):02x}" if ord(m[0]) < 0x100 else rf"\u{ord(m[0]):04x}", str(text))


def path_text(path) -> str:
    """A path as printable text that JSON can hold; bytes that are not UTF-8 become U+FFFD."""
    return printable(decoded(path))


def decoded(path) -> str:
    """A path as text that JSON can hold, controls included; bytes that are not UTF-8 become U+FFFD."""
    return os.fsencode(path).decode("utf-8", "replace")
