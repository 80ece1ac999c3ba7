import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.phone_sessions import XNNPACK, log_of, pixel, run_row, widths, write_session
from support.reports import host, report, table
from support.tool_logs import GPU_NOT, tool_log

from mnext_tf.device.session import read_device
from mnext_tf.models.config import ModelConfig
from mnext_tf.report import plots
from mnext_tf.report.phone_rows import phone_rows

ROOT = Path(__file__).parents[2]


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
    part = text[text.index("## How to repeat") :]
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
    assert "the thermal status changed during a run; thermal status 1, not 0; charging" in text


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
def test_every_table_and_plot_says_the_same_of_a_gpu_run_without_the_gpu(tmp_path, said, verdict):
    session = write_session(tmp_path / "session", [(run_row(backend="gpu"), tool_log(*said, asked="gpu"))])
    text = report(tmp_path, [session])
    assert table(text, "### On the phone")[2][2] == f"{verdict} †"
    assert table(text, "#### Google Pixel 4")[2][5] == verdict.removeprefix("ran on ")
    (row,) = phone_rows(read_device(session))
    assert plots.words(row) == verdict


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


def test_what_the_plot_leaves_out_is_named_below_it(tmp_path):
    failed = (run_row(backend="gpu", threads=4, outcome="failed", exit=1), "ERROR: Benchmarking failed.\n")
    text = report(tmp_path, [write_session(tmp_path / "session", [(run_row(), log_of(40)), failed])])
    what = "MobileNeXt 1.0 float32 224 px GPU, 4 threads"
    note = f"Not in the plot because nothing was measured (the table says why): {what}."
    assert f"(device.png)\n\n{note}" in text
    assert "Not in the plot" not in report(tmp_path, [pixel(tmp_path / "whole")])


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
    sha256 = "runfloat32" * 8
    session = write_session(tmp_path / "a", [(run_row(), log_of(40))], hashes={name: (sha256, sha256)})
    report(tmp_path, [session], [run])
    assert json.loads((tmp_path / "report" / "device.json").read_text())["rows"][0]["accuracy"] == 0.7402


def test_titles_name_the_share_of_the_shortcuts(tmp_path, row, run_maker):
    rows = [{"identity_tensor_multiplier": 0.5}]
    text = report(tmp_path, [], benchmarks=[host(tmp_path, row, "timed", rows)])
    assert "MobileNeXt 1.0 (shortcuts of 1/2) 6.75 ms" in text
    assert table(text, "### Measured")[2][:2] == ["MobileNeXt 1.0 (shortcuts of 1/2)", "float32"]
    model = ModelConfig("mnext", num_classes=10, input_size=32, identity_tensor_multiplier=0.5)
    run = run_maker(tmp_path / "run", exports={"float32": 0.9}, model_config=model)
    assert "| MobileNeXt 1.0 (shortcuts of 1/2) | run | digits" in report(tmp_path, [], [run])


def test_the_hosts_gpu_has_its_own_rows(tmp_path, row):
    gpu = {"delegate": "gpu", "adapter": "Test GPU (Vulkan)"}
    soft = {"delegate": "software_gpu", "adapter": "llvmpipe", "model": "mobilenet_v2"}
    text = report(tmp_path, [], benchmarks=[host(tmp_path, row, "timed", [{}, gpu, soft])])
    rows = {tuple(row[i] for i in (0, 3, 5, 8)): row[6] for row in table(text, "### Measured")[2:]}
    assert rows == {
        ("MobileNeXt 1.0", "cpu", "the CPU", "6.75 (medians)"): "69 of 70 (left: MEAN pool) (XNNPACK)",
        ("MobileNeXt 1.0", "gpu", "the GPU", "6.75 (medians)"): "69 of 70 (left: MEAN pool) (Test GPU (Vulkan))",
        ("MobileNetV2 1.0", "gpu", "software on the CPU, not a GPU", "6.75 (medians)"): "69 of 70 (left: MEAN pool) "
        "(llvmpipe)",
    }
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
    assert len(phone_rows(read_device(sessions[0]))) == 6
