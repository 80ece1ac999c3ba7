"""Text from devices, folders, and files on a page and in plots."""

import re

import pytest
from support.phone_sessions import log_of, run_row, write_session
from support.reports import host, report

from mnext_tf.report import plots
from mnext_tf.report.markdown import Markup, code, code_block, escape_markdown, table
from mnext_tf.text import printable

NASTY = "a|b `c` <script>x</script> [d](http://e.com) ![f](g.png) *h* _i_ $\\frac$ &lt; \x1b[31m\x07\u202e"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mobilenet_v2_1.0", "mobilenet_v2_1.0"),
        ("a|b", r"a\|b"),
        ("<b>&", "&lt;b&gt;&amp;"),
        ("_x_ *y* `z`", r"\_x\_ \*y\* \`z\`"),
        ("[a](b)", r"\[a\](b)"),
        ("# a", r"\# a"),
        ("one\ntwo", r"one\\x0atwo"),
        (Markup("**b**"), "**b**"),
    ],
)
def test_escape(text, expected):
    assert escape_markdown(text) == expected


def test_code_holds_any_text():
    assert code("a") == "`a`"
    assert code("a`b``c") == "``` a`b``c ```"
    assert code("a|b") == r"`a\|b`"
    assert code_block(["```", "x\ny"]) == "````\n```\nx\\x0ay\n````"


def test_tables_escape_cells_and_may_drop_empty_columns():
    assert table("ab", [("<", Markup("*x*"))]).splitlines()[2] == "| &lt; | *x* |"
    assert table("abc", [("1", "-", "2"), ("3", "-", "-")], drop_empty=True).splitlines()[0] == "| a | c |"


@pytest.mark.parametrize("character", ["\x00", "\x1b", "\x7f", "\x9b", "\u202e", "\u2066", "\u2028", "\udcff"])
def test_controls_and_bidi_overrides_are_escaped(character):
    shown = printable(f"a{character}b")
    assert character not in shown
    assert re.fullmatch(r"a\\(x[0-9a-f]{2}|u[0-9a-f]{4})b", shown)
    assert printable("Größe 中文 ✓") == "Größe 中文 ✓"


def test_nothing_from_outside_is_markup_on_the_page(tmp_path, row, run_maker):
    nasty = NASTY.replace("/", "")  # a folder's name, too
    session = {"command": NASTY, "tool": NASTY, "reason": NASTY, "status": "stopped", "mask": NASTY}
    device = dict.fromkeys(("manufacturer", "model", "soc_model", "android_release", "build_fingerprint"), NASTY)
    runs = [(run_row(model="x" + nasty, command=NASTY, log="logs/a.log"), log_of(40) + f"WARNING: {NASTY}\n")]
    phone = write_session(tmp_path / f"session {nasty}", runs, session=session, device=device)
    benchmark = host(tmp_path, row, f"timed {nasty}", [row(name=NASTY, adapter=NASTY, delegate="gpu")])
    run = run_maker(tmp_path / f"run {nasty}", exports={"int8": 0.97}, data=nasty, left=[NASTY])
    text = report(tmp_path, [phone], [run], [benchmark])
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text)
    outside_code = re.sub(r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"\\`", "", text), flags=re.DOTALL)
    assert "<script" not in outside_code
    assert "](http://e.com)" not in re.sub(r"\\\]", "", outside_code)
    assert not re.search(r"(?<!\\)!\[f", outside_code)
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


def test_plot_labels_are_plain_and_short():
    assert plots.label("a$b$\x1b") == r"a\$b\$\x1b"
    assert len(plots.label("x" * 500)) <= plots.LONGEST_LABEL
