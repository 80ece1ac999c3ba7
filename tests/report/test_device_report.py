import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from support.phone_sessions import XNNPACK, log_of, pixel, run_row, widths, write_session
from support.tool_logs import GPU_NOT, tool_log

from mnext_tf.benchmark.results import Results, read_results
from mnext_tf.device.session import read_device
from mnext_tf.report import accuracy_latency, device_plots
from mnext_tf.report.accuracy_latency import Comparison, Point
from mnext_tf.report.device_rows import device_rows
from mnext_tf.report.report import write_report
from mnext_tf.runs.run import open_run

ROOT = Path(__file__).parents[2]


def report(tmp_path, sessions, runs=(), benchmarks=()):
    return write_report(tmp_path / "report", [open_run(r) for r in runs], benchmarks, sessions).read_text()


def table(text, after):
    """Cells of the first table after a line that begins with `after`."""
    part = text[text.index(after) :].split("\n\n| ", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in part.splitlines()]


def test_the_table_with_the_phones_rows(tmp_path):
    text = report(tmp_path, [pixel(tmp_path / "session", gpu_of_mnext="gpu_partial")])
    header, _, v2, ours, *published = table(text, "### On the phone")
    assert header == ["network", "CPU, ms", "GPU, ms", "platform"]
    assert v2[:3] == ["MobileNetV2 1.0", "44.5-46.0 (1 thread); 18.9-19.5 (4 threads)", "15.1-15.9"]
    assert ours[:3] == [
        "MobileNeXt 1.0 (ours)",
        "48.0-50.5 (1 thread); 20.5-22.0 (4 threads)",
        "partly: 62 of 65 nodes",
    ]
    assert "measured here" in v2[3]
    assert [row[:3] for row in published] == [["MobileNetV2", "44-47", "15-17"], ["MobileNeXt", "48-51", "16-17"]]
    assert all("published" in row[3] and "not measured here" in row[3] for row in published)
    assert text.count("15-17") == 1
    summary = text.split("\n\n")[1].splitlines()[-1]
    assert summary.startswith(
        "- Phone (Google Pixel 4, float32, CPU, 1 thr.): MobileNetV2 1.0 44.5-46.0 ms, MobileNeXt"
    )


@pytest.mark.parametrize(
    ("ran_on", "cell"), [("gpu", "16.1-16.9"), ("gpu_partial", "partly: 62 of 65 nodes"), ("cpu", "ran on the CPU")]
)
def test_only_what_the_gpu_ran_has_a_gpu_time(tmp_path, ran_on, cell):
    text = report(tmp_path, [pixel(tmp_path / "session", gpu_of_mnext=ran_on)])
    assert table(text, "### On the phone")[3][2] == cell


def test_everything_to_repeat_a_row(tmp_path):
    text = report(tmp_path, [pixel(tmp_path / "session")])
    part = text[text.index("## How to get") :]
    facts = ["Google Pixel 4 (flame, flame)", "Qualcomm SM8150", "Android 13", "google/flame/flame:13/TP1A", "150"]
    facts += ["arm64-v8a", "cd" * 32, "ab" * 32, "the same", "taskset f0 ./benchmark_model", "mask f0", "--threads 1,4"]
    for fact in facts:
        assert fact in part, fact


def test_csv_and_json_hold_it_all(tmp_path):
    session = pixel(tmp_path / "session", gpu_of_mnext="gpu_partial")
    report(tmp_path, [session])
    with open(tmp_path / "report" / "device.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    content = json.loads((tmp_path / "report" / "device.json").read_text())
    assert len(rows) == len(content["rows"]) == 6
    gpu = next(r for r in content["rows"] if (r["model"], r["backend"]) == ("mnext", "gpu"))
    assert (gpu["ran_on"], gpu["as_asked"], gpu["round_ms"]) == ("gpu_partial", False, [16.4, 16.1, 16.9])
    assert gpu["build_fingerprint"].startswith("google/flame")
    assert content["sessions"][0]["session"]["tool_sha256"] == "cd" * 32
    assert next(r for r in rows if r["threads"] == "4")["round_ms"].count("; ") == 2


def test_doubts_are_marked_and_listed(tmp_path):
    runs = [(run_row(round=i, thermal_after=i - 1, charging=1), log_of(40 + i)) for i in (1, 2)]
    text = report(tmp_path, [write_session(tmp_path / "session", runs)])
    assert table(text, "### On the phone")[2][1] == "41.0-42.0 † (1 thread)"
    assert "the thermal status moved during a run; thermal status 1, not 0; charging" in text


def test_charging_is_listed_but_not_marked(tmp_path):
    text = report(tmp_path, [write_session(tmp_path / "session", [(run_row(charging=1), log_of(40))])])
    assert table(text, "### On the phone")[2][1] == "40.0 (1 thread)"
    assert text.count("charging |") == 1


def test_a_gpu_run_that_says_nothing_is_not_said_to_have_run_on_the_cpu(tmp_path):
    runs = [(run_row(backend="gpu"), tool_log(asked="gpu"))]
    text = report(tmp_path, [write_session(tmp_path / "session", runs)])
    assert table(text, "### On the phone")[2][2] == "nothing shows that it ran on the GPU †"


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ([GPU_NOT], "ran on the CPU"),
        (["ERROR: Failed to apply GPU delegate."], "ran on the CPU"),
        ([XNNPACK], "ran on the CPU"),
        ([], "nothing shows that it ran on the GPU"),
    ],
)
def test_every_table_and_picture_says_the_same_of_a_gpu_run_without_the_gpu(tmp_path, said, verdict):
    session = write_session(tmp_path / "session", [(run_row(backend="gpu"), tool_log(*said, asked="gpu"))])
    text = report(tmp_path, [session])
    assert table(text, "### On the phone")[2][2] == f"{verdict} †"
    assert table(text, "#### Google Pixel 4")[2][4] == verdict.removeprefix("ran on ")
    (row,) = device_rows(read_device(session))
    assert device_plots.words(row) == verdict


def test_both_ends_of_a_range_and_a_column_have_the_same_decimals(tmp_path):
    times = {"mnext_1.0_224_float32": (1.5, 1.53), "mobilenet_v2_1.0_224_float32": (13.0, 13.6)}
    same = {"battery_temp_before": 284, "battery_temp_after": 284}
    runs = [(run_row(m, round=i, **same), log_of(ms)) for m, both in times.items() for i, ms in enumerate(both, 1)]
    text = report(tmp_path, [write_session(tmp_path / "session", runs)])
    _, _, v2, ours, *_ = table(text, "### On the phone")
    assert (v2[1], ours[1]) == ("13.00-13.60 (1 thread)", "1.50-1.53 (1 thread)")
    assert [row[-2] for row in table(text, "#### Google Pixel 4")[2:]] == ["28.4", "28.4"]


def test_the_commands_name_what_was_asked_for(tmp_path):
    rows = table(report(tmp_path, [pixel(tmp_path / "session")]), "| file | bytes")
    assert rows[0][2] == "asked for"
    assert {row[2] for row in rows[2:]} == {"cpu", "gpu"}


def test_what_the_picture_has_no_line_for_is_named_below_it(tmp_path):
    failed = (run_row(backend="gpu", threads=4, outcome="failed", exit=1), "ERROR: Benchmarking failed.\n")
    text = report(tmp_path, [write_session(tmp_path / "session", [(run_row(), log_of(40)), failed])])
    note = "Not in the picture, for nothing was measured (the table says why): MobileNeXt 1.0 float32 GPU, 4 threads."
    assert f"(device.png)\n\n{note}" in text
    assert "Not in the picture" not in report(tmp_path, [pixel(tmp_path / "whole")])


def test_a_session_without_a_run_says_so(tmp_path):
    session = write_session(tmp_path / "session", [], session={"status": "failed", "reason": "mnext cpu 1;"})
    text = report(tmp_path, [session])
    assert "- Phone: nothing was measured yet." in text
    assert "The session is not complete: failed (mnext cpu 1);" in text


def test_published_numbers_link_to_their_source(tmp_path):
    text = report(tmp_path, [widths(tmp_path / "session")])
    latency, accuracy = text.split("## Accuracy against latency")
    assert latency.count("(https://github.com/zhoudaquan/rethinking_bottleneck_design)") == 2
    for link in ("zhoudaquan/rethinking_bottleneck_design", "tensorflow/models/tree/master/research/slim"):
        assert f"(https://github.com/{link})" in accuracy


def test_failed_runs_have_words_for_a_time(tmp_path):
    runs = [(run_row(outcome="failed", exit=1), "ERROR: Benchmarking failed.\n")]
    text = report(tmp_path, [write_session(tmp_path / "session", runs, session={"status": "stopped", "reason": "x"})])
    assert table(text, "### On the phone")[2][1:3] == ["failed (1 thread)", "-"]
    assert "1 run: failed: Benchmarking failed." in text
    assert "The session is not complete: stopped (x)" in text
    assert "Phone: nothing was measured: every run failed; see below." in text


def test_the_accuracy_is_that_of_the_very_file(tmp_path, run_maker):
    run = run_maker(tmp_path / "run", exports={"float32": 0.7402})
    name = "mnext_1.0_224_float32"
    sha256 = "float32" * 8
    session = write_session(tmp_path / "a", [(run_row(), log_of(40))], hashes={name: (sha256, sha256)})
    report(tmp_path, [session], [run])
    assert json.loads((tmp_path / "report" / "device.json").read_text())["rows"][0]["accuracy"] == 0.7402


def test_accuracy_against_latency(tmp_path):
    text = report(tmp_path, [widths(tmp_path / "session")])
    part = text[text.index("## Accuracy against latency") :]
    cpu, gpu = (line for line in part.splitlines() if "at equal published top-1" in line)
    # MobileNetV2 1.0 (71.8 %) takes 45 ms; MobileNeXt between 0.5 (67.7 %, 22 ms) and 0.75 (72 %, 41 ms)
    expected = (22 + (41 - 22) * (71.8 - 67.7) / (72.0 - 67.7)) / 45
    assert f"takes {expected:.2f} of MobileNetV2's time" in cpu
    assert "71.8 %, MobileNetV2 1.0's" in cpu
    assert "from 64.7 to 74.0 %" in cpu
    assert "from 64.7 to 72.0 %" in gpu  # mnext 1.0 ran on the GPU in part: it is no point there
    assert "nothing here measured them" in part
    pictures = re.findall(r"\]\((\w+\.png)\)", text)
    assert pictures == ["device.png", "accuracy_latency.png", "accuracy_latency_2.png"]
    for name in pictures:
        with Image.open(tmp_path / "report" / name) as picture:
            assert picture.width > 500


def test_files_of_another_kind_are_another_comparison(tmp_path):
    """Probabilities cost a softmax: a file that computes them stands on no curve of files that do not."""
    networks = [("mnext", 0.75), ("mnext", 1.0), ("mobilenet_v2", 1.0), ("mobilenet_v2", 0.75)]
    runs = [
        (run_row(f"{name}_{width}_224_int8{rest}", round=i), log_of(20 + 10 * bool(rest)))
        for name, width in networks
        for rest in ("", "_probabilities")
        for i in (1, 2)
    ]
    found = accuracy_latency.comparisons(device_rows(read_device(write_session(tmp_path / "session", runs))), [])
    assert {c.kind: {p.ms for p in c.points} for c in found} == {"int8": {20}, "int8 probabilities": {30}}


def test_one_width_gives_no_picture(tmp_path):
    assert "Accuracy against latency" not in report(tmp_path, [pixel(tmp_path / "session")])


def points(model, *pairs):
    return tuple(Point(model, 0.1 * i, 1.0, top1, (ms, ms), "a") for i, (top1, ms) in enumerate(pairs, 1))


def test_without_a_common_range_no_ratio_is_given():
    low, high = points("mnext", (64, 10), (66, 12)), points("mobilenet_v2", (70, 20), (72, 22))
    answer = accuracy_latency.answer(Comparison("here", "float32", low + high))
    assert "share none (MobileNeXt 64.0 to 66.0 %, MobileNetV2 70.0 to 72.0 %)" in answer
    answer = accuracy_latency.answer(Comparison("here", "float32", low + high[:1]))
    assert "two widths or more of MobileNetV2" in answer


def test_the_ratio_has_the_spread_of_the_rounds():
    ours = tuple(Point("mnext", w, 1.0, t, (ms, ms * 1.2), "a") for w, t, ms in ((0.5, 66, 10), (1.0, 70, 20)))
    theirs = tuple(Point("mobilenet_v2", w, 1.0, t, (ms, ms), "a") for w, t, ms in ((0.5, 66, 10), (0.75, 70, 20)))
    ratio = accuracy_latency.ratio_at(ours, theirs, 68)
    assert (ratio.low, ratio.high) == pytest.approx((1.0, 1.2))
    assert ratio.median == pytest.approx(1.1)
    other = tuple(Point(p.model, p.width, 1.0, p.top1, p.round_ms, "b") for p in theirs)
    assert accuracy_latency.ratio_at(ours, other, 68).low is None


def host(tmp_path, row, name, rows):
    base = {"cpu": "Test CPU", "cores": 2, "load_at_start": None, "platform": "test"}
    from mnext_tf.benchmark.results import write_results

    write_results(Results(tmp_path / name, "command", {"runs": []}, "0", base, [row(**r) for r in rows]))
    return tmp_path / name


def test_widths_timed_on_the_host_are_compared_too(tmp_path, row):
    folders = []
    for width, v2, ours in ((1.0, 40.0, 36.0), (0.5, 20.0, 15.0)):
        both = [{"model": "mobilenet_v2", "width": width, "round_medians_ms": [v2, v2 + 1]},
                {"model": "mnext", "width": width, "round_medians_ms": [ours, ours + 1]},
                {"model": "mnext", "width": width, "delegate": "software_gpu", "adapter": "llvmpipe",
                 "round_medians_ms": [1.0, 1.0]}]  # fmt: skip
        folders.append(host(tmp_path, row, f"w{width}", both))
    (comparison,) = accuracy_latency.comparisons([], [read_results(folder) for folder in folders])
    assert (comparison.where, len(comparison.points)) == ("Test CPU, 1 thread", 4)
    text = report(tmp_path, [], benchmarks=folders)
    assert "The widths were not all measured in one session:" in text
    assert "accuracy_latency.png" in text


def test_titles_name_the_share_of_the_shortcuts(tmp_path, row, run_maker):
    rows = [{"file": "m/mnext_1.0_id0.5_224/tflite_float32/mnext_1.0_id0.5_224_float32.tflite"}]
    text = report(tmp_path, [], benchmarks=[host(tmp_path, row, "timed", rows)])
    assert "MobileNeXt 1.0 (shortcuts of 1/2) 6.50 ms" in text
    assert "| MobileNeXt 1.0 (shortcuts of 1/2) (ours) | 6.40-7.10 (1 thread) | - |" in text
    run = run_maker(tmp_path / "run", exports={"float32": 0.9})
    config = json.loads((run / "config.json").read_text())
    config.model.identity_tensor_multiplier = 0.5
    (run / "config.json").write_text(json.dumps(config))
    assert "| MobileNeXt 1.0 (shortcuts of 1/2) | run | digits" in report(tmp_path, [], [run])


def test_the_hosts_gpu_has_its_own_column(tmp_path, row):
    gpu = {"delegate": "gpu", "adapter": "Test GPU (Vulkan)"}
    soft = {"delegate": "software_gpu", "adapter": "llvmpipe", "model": "mobilenet_v2"}
    text = report(tmp_path, [], benchmarks=[host(tmp_path, row, "timed", [{}, gpu, soft])])
    assert "| MobileNeXt 1.0 (ours) | - | 6.40-7.10 | TF Lite, Test GPU (Vulkan) |" in text
    assert "| MobileNetV2 1.0 | - | no GPU: 6.40-7.10 in software | TF Lite, llvmpipe |" in text
    assert "GPU: not measured on this host" not in text
    assert "MobileNetV2" not in text.split("\n\n")[1]  # the summary is of the CPU


def test_the_command_finds_sessions_and_takes_named_ones(tmp_path):
    pixel(tmp_path / "benchmarks" / "results" / "20260101_Pixel_4")
    other = widths(tmp_path / "elsewhere")

    def run(*flags):
        command = [sys.executable, "-m", "pipelines.report", *flags]
        environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    found = run()
    assert found.returncode == 0, found.stderr
    assert "Phone (Google Pixel 4" in found.stdout
    assert "20260101_Pixel_4" in (tmp_path / "runs" / "report" / "report.md").read_text()
    named = run(f"--device={other}", "--out=named")
    assert named.returncode == 0, named.stderr
    text = (tmp_path / "named" / "report.md").read_text()
    assert "`elsewhere`" in text
    assert "20260101" not in text
    wrong = run("--device=nowhere")
    assert (wrong.returncode, "Traceback" in wrong.stderr) == (1, False)
    assert "benchmarks/run_adb.sh" in wrong.stderr


def test_rows_read_from_two_sessions_stay_apart(tmp_path):
    sessions = [pixel(tmp_path / name) for name in ("a", "b")]
    text = report(tmp_path, sessions)
    assert len([line for line in text.splitlines() if "measured here**" in line]) == 4
    assert {"device.png", "device_2.png"} <= {p.name for p in (tmp_path / "report").iterdir()}
    assert len(device_rows(read_device(sessions[0]))) == 6
