"""Operator profiles in logs."""

import pytest
from support.tool_logs import PROFILE_ROWS, profile, profile_row, tool_log

from mnext_tf.device import parse_log


def test_sums_by_type_alone():
    text = profile().split("Number of nodes executed")[1]
    (row,) = parse_log(tool_log() + text).operators
    assert (row.node_type, row.name, row.avg_ms, row.percent, row.times_called) == ("CONV_2D", "", 0.88, 12.5, 1)


@pytest.mark.parametrize("joint", ["\t", ",", "  "])
@pytest.mark.parametrize("title", ["Run Order", "Top by Computation Time"])
def test_operator_profile(joint, title):
    rows = [("CONV_2D", *row[1:]) if joint == "  " else row for row in PROFILE_ROWS]
    log = parse_log(tool_log() + profile(rows, joint=joint, title=title))
    assert (log.count, log.avg_ms) == (60, 7.05)
    stem, body = log.operators
    assert (stem.node_type, stem.name) == ("CONV_2D", "[stem/conv, stem/relu]:0")
    assert (stem.first_ms, stem.avg_ms, stem.percent, stem.times_called, stem.memory_kb) == (0.9, 0.88, 12.5, 1, 0)
    assert (body.node_type, body.name) == (rows[1][0], "body part:1")
    assert not body.in_delegate


def test_newer_profiles_have_no_start_and_a_part_inside_the_delegate():
    text = tool_log() + profile(start=False) + "Delegate internal: \n" + profile(start=False).split("Runs:\n")[1]
    operators = parse_log(text).operators
    assert [op.in_delegate for op in operators] == [False, False, True, True]
    assert [op.avg_ms for op in operators[:2]] == [0.88, 6.16]


def test_lines_with_commas_and_no_title():
    header = "node type, first, avg_ms, %, cdf%, mem KB, times called, name\n"
    log = parse_log(
        tool_log() + header + "ADD, 0.3, 0.25, 20%, 20%, 0, 1, [a, b]:0\nMEAN, 1, 1.5, 80%, 100%, 0, 1, c:1\n"
    )
    assert [(op.node_type, op.name, op.avg_ms) for op in log.operators] == [
        ("ADD", "[a, b]:0", 0.25),
        ("MEAN", "c:1", 1.5),
    ]


def test_a_profile_that_is_cut_does_not_prove_that_the_gpu_did_it_all():
    text = profile([("TfLiteGpuDelegateV2", *("1",) * 3, "50%", "50%", "0", "1", "most:66"), profile_row("ADD")])
    cut = text[: text.rindex("most:66\n", 0, text.index("Top by")) + len("most:66\n")]
    assert parse_log(tool_log(asked="gpu") + cut).ran_on == "gpu_partial"
