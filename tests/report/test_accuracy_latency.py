import csv
import dataclasses
import re

import pytest
from PIL import Image
from support.phone_sessions import log_of, pixel, run_row, widths, write_session
from support.reports import host, report

from mnext_tf.benchmark.results import read_results
from mnext_tf.device.session import read_device
from mnext_tf.report import accuracy_latency, equal_accuracy, published
from mnext_tf.report.accuracy_latency import Comparison, Point
from mnext_tf.report.phone_rows import phone_rows
from mnext_tf.report.rows import host_rows


def test_accuracy_against_latency(tmp_path):
    text = report(tmp_path, [widths(tmp_path / "session")])
    part = text[text.index("## Accuracy against latency") :]
    cpu, gpu = (line for line in part.splitlines() if "at equal published top-1" in line)
    # MobileNetV2 1.0 (71.8 %) takes 45 ms; MobileNeXt between 0.5 (67.7 %, 22 ms) and 0.75 (72 %, 41 ms)
    expected = 22 * (41 / 22) ** ((71.8 - 67.7) / (72.0 - 67.7)) / 45
    assert f"MobileNeXt is faster: MobileNeXt takes {expected:.2f} of MobileNetV2's time" in cpu
    assert "71.8 %, MobileNetV2 1.0's" in cpu
    assert "from 64.7 to 74.0 %" in cpu
    assert "from 64.7 to 72.0 %" in gpu  # mnext 1.0 ran on the GPU in part: it is no point there
    assert "nothing here measured them" in part
    images = re.findall(r"\]\((\w+\.png)\)", text)
    assert images == ["device.png", "accuracy_latency.png", "accuracy_latency_2.png"]
    for name in images:
        with Image.open(tmp_path / "report" / name) as image:
            assert image.width > 500


def test_files_with_other_outputs_are_another_comparison(tmp_path):
    """Probabilities cost a softmax: a file that computes them stands on no curve of files that do not."""
    networks = [("mnext", 0.75), ("mnext", 1.0), ("mobilenet_v2", 1.0), ("mobilenet_v2", 0.75)]
    runs = [
        (run_row(f"{name}_{width}_224_int8{rest}", round=i), log_of(20 + 10 * bool(rest)))
        for name, width in networks
        for rest in ("", "_probabilities")
        for i in (1, 2)
    ]
    found = accuracy_latency.comparisons(phone_rows(read_device(write_session(tmp_path / "session", runs))))
    assert {c.precision: {p.ms for p in c.points} for c in found} == {"int8": {20}, "int8 probabilities": {30}}


def test_one_width_gives_no_plot(tmp_path):
    assert "Accuracy against latency" not in report(tmp_path, [pixel(tmp_path / "session")])


def points(model, *pairs):
    return tuple(Point(model, 0.1 * i, 1.0, top1, (ms, ms), "a") for i, (top1, ms) in enumerate(pairs, 1))


def test_without_a_common_range_no_ratio_is_given():
    low, high = points("mnext", (64, 10), (66, 12)), points("mobilenet_v2", (70, 20), (72, 22))
    (answer,) = equal_accuracy.answers(Comparison("here", "float32", low + high))
    assert "share none (MobileNeXt 64.0 to 66.0 %, MobileNetV2 70.0 to 72.0 %)" in answer
    assert equal_accuracy.table([Comparison("here", "float32", low + high)]) == []  # nothing is extrapolated
    (answer,) = equal_accuracy.answers(Comparison("here", "float32", low + high[:1]))
    assert "two widths or more of MobileNetV2" in answer


def test_a_rival_of_one_width_is_compared_where_our_widths_span_it():
    ours = points("mnext", (64, 10), (68, 40))
    rival = Point("keras:MobileNetV3Small", 1.0, 1.0, 67.4, (10, 10), "a")
    comparison = Comparison("here", "float32", (*ours, rival))
    (answer,) = equal_accuracy.answers(comparison)
    expected = 4 ** (3.4 / 4)  # 10 ms to 40 ms, along the logarithm
    assert "67.4 %, Keras MobileNetV3Small 1.0's" in answer
    assert (
        f"Keras MobileNetV3Small is faster: MobileNeXt takes {expected:.2f} of Keras MobileNetV3Small's time" in answer
    )
    (row,) = equal_accuracy.table([comparison])
    assert (row["faster"], row["top1_percent"]) == ("Keras MobileNetV3Small", "67.4")
    assert float(row["ratio"]) == pytest.approx(expected, rel=1e-4)


def test_the_best_published_figures_of_the_rival_are_a_comparison_of_their_own():
    ours = tuple(
        Point("mnext", w, 1.0, t, (ms, ms), "a") for w, t, ms in ((0.75, 72.0, 9), (1.0, 74.0, 12), (1.4, 76.1, 20))
    )
    theirs = tuple(
        Point("mobilenet_v2", w, 1.0, t, (ms, ms), "a")
        for w, t, ms in ((0.75, 69.8, 8), (1.0, 71.8, 11), (1.4, 75.0, 19))
    )
    comparison = Comparison("here", "int8", ours + theirs)
    rows = equal_accuracy.table([comparison])
    found = {of: {r["measured_width"] for r in rows if r["top1_of"] == of} for of in ("authors", "best published")}
    assert found["authors"] == {"MobileNeXt 0.75", "MobileNeXt 1.0", "MobileNetV2 1.4"}
    assert found["best published"] == {"MobileNetV2 1.0", "MobileNeXt 1.0", "MobileNeXt 1.4"}
    authors, best = (
        next(float(r["ratio"]) for r in rows if (r["top1_of"], r["measured_width"]) == (of, "MobileNeXt 1.0"))
        for of in ("authors", "best published")
    )
    assert authors < best
    (answer,) = equal_accuracy.answers(comparison)
    assert "best top-1 that later recipes published for MobileNetV2 (73.4 %)" in answer


def test_further_files_of_a_network_are_points_beside_its_curve():
    curve = points("mnext", (64, 10), (68, 40))
    pruned = Point("mnext", 0.2, 1.0, 68, (25, 25), "a", "pruned")
    comparison = Comparison("here", "float32", (*curve, pruned))
    assert comparison.curves == {"mnext": list(curve)}
    assert comparison.aside == [pruned]
    assert Comparison("here", "float32", (curve[0], pruned)).curves == {"mnext": [curve[0], pruned]}


def test_the_ratio_has_the_spread_of_the_rounds():
    ours = tuple(Point("mnext", w, 1.0, t, (ms, ms * 1.2), "a") for w, t, ms in ((0.5, 66, 10), (1.0, 70, 20)))
    theirs = tuple(Point("mobilenet_v2", w, 1.0, t, (ms, ms), "a") for w, t, ms in ((0.5, 66, 10), (0.75, 70, 20)))
    ratio = accuracy_latency.ratio_at(ours, theirs, 68)
    assert (ratio.p25, ratio.median, ratio.p75) == pytest.approx((1.05, 1.1, 1.15))
    assert ratio.sign == 1
    assert dataclasses.replace(ratio, p25=0.99).sign == 0
    other = tuple(Point(p.model, p.width, 1.0, p.top1, p.round_ms, "b") for p in theirs)
    assert accuracy_latency.ratio_at(ours, other, 68).p25 is None


def test_widths_timed_on_the_host_are_compared_too(tmp_path, row):
    folders = []
    for width, v2, ours in ((1.0, 40.0, 36.0), (0.5, 20.0, 15.0)):
        both = [{"model": "mobilenet_v2", "width": width, "round_medians_ms": [v2, v2 + 1]},
                {"model": "mnext", "width": width, "round_medians_ms": [ours, ours + 1]},
                {"model": "mnext", "width": width, "delegate": "software_gpu", "adapter": "llvmpipe",
                 "round_medians_ms": [1.0, 1.0]}]  # fmt: skip
        folders.append(host(tmp_path, row, f"w{width}", both))
    rows = [row for folder in folders for row in host_rows(read_results(folder), folder.name)]
    (comparison,) = accuracy_latency.comparisons(rows)
    assert (comparison.where, len(comparison.points)) == ("Test CPU, 1 thread", 4)
    assert comparison.curves.keys() == {"mnext", "mobilenet_v2"}
    text = report(tmp_path, [], benchmarks=folders)
    with open(tmp_path / "report" / "accuracy_latency.csv", newline="") as f:
        table = list(csv.DictReader(f))
    assert {row["rival"] for row in table} == {"MobileNetV2"}
    assert "The widths were not all measured in one session:" in text
    assert "accuracy_latency.png" in text


def test_two_versions_of_a_network_are_told_apart_in_table_and_plot(tmp_path, row):
    rows = [row(name="", width=w, round_medians_ms=[ms, ms]) for w, ms in ((0.5, 3.0), (1.0, 6.0))]
    rows += [row(name=name, round_medians_ms=[ms, ms]) for name, ms in (("qat", 6.1), ("pruned", 4.0))]
    folder = host(tmp_path, row, "versions", rows)
    measured = host_rows(read_results(folder), "versions")
    assert [m.title for m in measured][2:] == ["MobileNeXt 1.0 (qat)", "MobileNeXt 1.0 (pruned)"]
    (comparison,) = accuracy_latency.comparisons(measured)
    assert [p.name for p in comparison.aside] == ["qat", "pruned"]
    text = report(tmp_path, [], benchmarks=[folder])
    assert "| MobileNeXt 1.0 (qat) |" in text
    assert "| MobileNeXt 1.0 (pruned) |" in text


def test_published_figures():
    assert published.top1("keras:MobileNetV2", 0.75, 1.0, 224) == published.top1("mobilenet_v2", 0.75, 1.0, 224) == 69.8
    assert published.top1("keras:MobileNetV3Large", 1.0, 1.0, 192) is None
    assert published.top1("keras:ResNet50", 1.0, 1.0, 224) is None
    assert all(best > published.TOP1[key][0] for key, (best, _) in published.BEST_TOP1.items())
    text = published.sources(["mobilenet_v2", "mnext", "keras:EfficientNetB0"])
    assert text.index("MobileNeXt from") < text.index("Keras EfficientNetB0 from arXiv 1905.11946")
    assert "1 73.4 % (arXiv" in text
    assert "later recipes" not in published.sources(["mnext"])
