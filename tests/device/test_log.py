import dataclasses
import random
import subprocess
import sys
import time

import pytest
from support.tool_logs import (
    GPU_FULL,
    GPU_PART,
    MEASURED,
    MEMORY,
    SUMMARY,
    WARM,
    litert_log,
    profile,
    profile_row,
    replacing,
    tool_log,
)

from mnext_tf.device import parse_log

XNNPACK = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


def test_every_number_of_a_cpu_run():
    log = parse_log(tool_log(XNNPACK, replacing(64, 64, "TfLiteXNNPackDelegate")))
    assert (log.status, log.ran_on, log.error, log.warnings) == ("ok", "cpu", None, ())
    assert (log.init_ms, log.first_ms, log.warmup_avg_ms) == (15.25, 9.1, 7.4)
    assert (log.count, log.avg_ms, log.min_ms, log.max_ms, log.std_ms) == (60, 7.05, 6.8, 8.2, 0.21)
    assert (log.median_ms, log.p95_ms) == (7.02, 7.6)
    assert (log.memory_overall_mb, log.memory_peak_mb) == (21.75, None)
    assert (log.delegate, log.nodes_delegated, log.nodes_total) == ("TfLiteXNNPackDelegate", 64, 64)
    assert log.operators == ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        log.avg_ms = 1.0


def test_old_builds_have_no_percentiles_and_other_words():
    tail = ["Average inference timings in us: Warmup: 7400, Init: 15250, no stats: 7050"]
    log = parse_log(tool_log(percentiles=False, tail=tail))
    assert (log.status, log.median_ms, log.p95_ms, log.avg_ms) == ("ok", None, None, 7.05)
    assert (log.init_ms, log.first_ms, log.warmup_avg_ms) == (15.25, 9.1, 7.4)
    log = parse_log(tool_log(tail=["Peak memory footprint (MB): init=1.5 overall=12.5"]))
    assert (log.memory_overall_mb, log.init_ms) == (12.5, 15.25)


@pytest.mark.parametrize(
    ("warm", "measured", "expected"),
    [
        ("count=1 curr=9100", "count=1 curr=7000", (1, 7.0, 7.0, 7.0, None)),
        ("count=1 curr=1.24027e+06", "count=1 curr=1.24e+06", (1, 1240.0, 1240.0, 1240.0, None)),
        (WARM, "count=50 curr=7000 (all same)", (50, 7.0, 7.0, 7.0, 0.0)),
        (WARM, "count=4 first=1e+06 curr=1e+06 min=1.0e6 max=1.5e+06 avg=1.24027e+06 std=2e+05",
         (4, 1240.27, 1000.0, 1500.0, 200.0)),
        ("count=0", MEASURED, (60, 7.05, 6.8, 8.2, 0.21)),
    ],
)  # fmt: skip
def test_forms_of_the_measured_line(warm, measured, expected):
    log = parse_log(tool_log(warm=warm, measured=measured, percentiles=False, tail=()))
    assert log.status == "ok"
    assert (log.count, log.avg_ms, log.min_ms, log.max_ms, log.std_ms) == expected


def test_one_run_has_percentiles_where_they_are_printed():
    log = parse_log(tool_log(warm="count=1 curr=9100", measured="count=1 curr=7000", tail=[SUMMARY]))
    assert (log.avg_ms, log.median_ms, log.p95_ms) == (7.0, 7.02, 7.6)


def test_not_a_number_is_none():
    tail = ["Inference timings in us: Init: 15250, First inference: -nan, Warmup (avg): nan, Inference (avg): 7050"]
    log = parse_log(tool_log(warm="count=0", tail=tail))
    assert (log.status, log.first_ms, log.warmup_avg_ms, log.avg_ms) == ("ok", None, None, 7.05)
    nothing = parse_log(tool_log(measured="count=3 first=1 curr=1 min=1 max=1 avg=inf std=nan", tail=()))
    assert (nothing.status, nothing.avg_ms) == ("incomplete", None)


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "STARTING!\n", tool_log(measured="", tail=()), tool_log(measured="count=60 first=7010 cu", tail=())],
)
def test_without_the_measured_line_a_run_is_incomplete(text):
    log = parse_log(text)
    assert (log.status, log.avg_ms, log.count) == ("incomplete", None, None)
    assert "log ends before" in log.error


LARGE = SUMMARY.replace("15250", "1.525e+07").replace("7400", "7.4e+03")


@pytest.mark.parametrize("whole", [tool_log(XNNPACK), tool_log(tail=[LARGE]), litert_log(), litert_log(counts=False)])
def test_a_cut_log_never_gives_another_number(whole):
    measured = parse_log(whole)
    for end in range(len(whole)):
        log = parse_log(whole[:end])
        if log.status == "ok":
            assert (log.avg_ms, log.count) == (measured.avg_ms, measured.count), whole[:end][-60:]
        else:
            assert log.avg_ms is None
        assert log.init_ms in (None, 15.25, measured.init_ms)
        assert log.warmup_avg_ms in (None, measured.warmup_avg_ms)
        assert log.memory_overall_mb is None or log.memory_overall_mb == pytest.approx(
            measured.memory_overall_mb, rel=0.05
        )


def test_the_summary_alone_as_the_android_app_prints_it():
    line = "05-30 10:31:13.006  4711  4712 E tflite  : Average inference timings in us: Warmup: 91000, Init: 4100, "
    log = parse_log(line + "Inference: 80600.5Overall max resident set size = 0 MB\n")
    assert (log.status, log.avg_ms, log.init_ms, log.warmup_avg_ms, log.count) == ("ok", 80.6005, 4.1, 91.0, None)


def test_a_lost_warm_up_line_does_not_make_the_measured_one_the_warm_up():
    log = parse_log("\n".join([MEASURED, SUMMARY, ""]))
    assert (log.status, log.count, log.avg_ms, log.warmup_avg_ms) == ("ok", 60, 7.05, 7.4)


def test_litert():
    log = parse_log(litert_log(XNNPACK))
    assert (log.status, log.ran_on, log.delegate) == ("ok", "cpu", "XNNPACK")
    assert (log.count, log.avg_ms, log.median_ms, log.p95_ms) == (1000, 0.99, 0.98, 1.1)
    assert (log.init_ms, log.first_ms, log.warmup_avg_ms) == (31.5, 2.5, 1.01)
    assert (log.memory_overall_mb, log.memory_peak_mb) == (9.25, 44.5)
    block = parse_log(litert_log(counts=False))
    assert (block.count, block.avg_ms, block.min_ms, block.max_ms, block.std_ms) == (1000, 0.99, 0.94, 1.3, 0.03)
    assert (block.first_ms, block.warmup_avg_ms, block.median_ms) == (2.5, 1.01, None)


def test_litert_python_tool(tiny_files):
    """Its real output."""
    command = [sys.executable, "-m", "ai_edge_litert.tools.benchmark_litert_model"]
    command += ["--model", str(tiny_files["small"]), "--num_runs", "6", "--warmup_runs", "2"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120)
    log = parse_log(done.stdout)
    assert (log.status, log.ran_on, log.count) == ("ok", "cpu", 6), done.stdout.decode()
    assert 0 <= log.min_ms <= log.median_ms <= log.p95_ms <= log.max_ms
    assert log.init_ms > 0
    missing = subprocess.run([*command[:4], "nothing.tflite"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    log = parse_log(missing.stdout)
    assert (log.status, log.avg_ms) == ("failed", None)
    assert "nothing.tflite" in log.error


LOGCATS = {
    "threadtime": "05-30 10:31:13.006  4711  4712 {level} tflite  : {line}",
    "threadtime, year": "2023-05-30 10:31:13.006123 +0200  4711  4712 {level} tflite: {line}",
    "user": "05-30 10:31:13.006 u0_a99  4711  4712 {level} tflite  : {line}",
    "epoch": " 1685435473.006  4711  4712 {level} tflite  : {line}",
    "time": "05-30 10:31:13.006 {level}/tflite  ( 4711): {line}",
    "brief": "{level}/tflite  ( 4711): {line}",
    "process": "{level}( 4711) {line}  (tflite)",
    "tag": "{level}/tflite  : {line}",
    "long": "[ 05-30 10:31:13.006  4711: 4712 {level}/tflite   ]\n{line}\n",
    "studio": "2023-05-30 10:31:13.006 4711-4712/org.tensorflow.lite.benchmark {level}/tflite: {line}",
    "studio, columns": "2023-05-30 10:31:13.006  4711-4712  tflite    org.tensorflow.lite  {level}  {line}",
    "studio, compact": "10:31:13.006  tflite                  org.tensorflow.lite  {level}  {line}",
}


@pytest.mark.parametrize("form", LOGCATS)
def test_logcat(form):
    rows = [("TfLiteGpuDelegateV2", *("1",) * 3, "50%", "50%", "0", "1", "most:66"), profile_row("ADD")]
    plain = tool_log("WARNING: cold", GPU_PART, replacing(62, 66)) + profile(rows)
    lines = [LOGCATS[form].format(level="W" if "cold" in line else "I", line=line) for line in plain.splitlines()]
    log = parse_log("--------- beginning of main\n" + "\n".join(lines) + "\n")
    assert log == parse_log(plain)
    assert (log.ran_on, log.nodes_delegated, len(log.operators)) == ("gpu_partial", 62, 2)
    assert log.warnings == ("cold",)


def test_logcat_of_other_processes_is_not_read():
    form = LOGCATS["threadtime"]
    other = form.replace("4711", "99").format(level="I", line=replacing(31, 31))
    crash = form.replace("4711", "98").format(level="F", line="Fatal signal 11 (SIGSEGV)")
    ours = [form.format(level="I", line=line) for line in tool_log(asked="gpu").splitlines()]
    log = parse_log("\n".join([other, *ours, other, crash, ""]))
    assert (log.status, log.ran_on) == ("ok", "cpu")


def test_other_counts_in_a_logcat():
    form = LOGCATS["threadtime"]
    plain = tool_log(GPU_FULL)
    other = [
        form.replace("4711", pid).format(level="W", line="Error: retries, count=3") + "\n" for pid in ("99", "4711")
    ]
    ours = [form.format(level="I", line=line) + "\n" for line in plain.splitlines()]
    log = parse_log(other[0].join(ours) + other[0])
    assert log == parse_log(plain)
    assert parse_log(other[1].join(ours)).count == 60
    assert parse_log(other[0] * 40_000 + "".join(ours) + other[0] * 40_000).avg_ms == 7.05


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r\r\n"),
        lambda text: "".join(f"\x1b[32mINFO: {line}\x1b[0m\n" for line in text.splitlines()),
        lambda text: text.encode(),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace(" us: ", " us:"),
    ],
)
def test_the_same_log_in_other_clothes(change):
    plain = tool_log(GPU_FULL, replacing(66, 66))
    assert parse_log(change(plain)) == parse_log(plain)


def test_the_numbers_of_a_text_without_a_last_line_feed():
    assert parse_log("count=1 curr=7100\ncount=1 curr=7000").avg_ms == 7.0
    assert parse_log("count=1 curr=7100\ncount=1 curr=70").status == "incomplete"
    log = parse_log(f"{WARM}\n{MEASURED}")
    assert (log.status, log.avg_ms, log.max_ms, log.std_ms) == ("ok", 7.05, 8.2, None)
    assert parse_log(f"{WARM}\n{MEASURED}".removesuffix(" std=210")).status == "incomplete"


def test_the_last_of_several_runs_is_read():
    log = parse_log(tool_log(GPU_FULL) + tool_log(XNNPACK, measured=MEASURED.replace("avg=7050", "avg=9000"), tail=()))
    assert (log.ran_on, log.avg_ms) == ("cpu", 9.0)
    assert "The log holds 2 runs; the last is read." in log.warnings
    failed = tool_log(
        "ERROR: Failed to apply GPU delegate.", "ERROR: Benchmarking failed.", warm="", measured="", tail=()
    )
    assert parse_log(failed + tool_log(XNNPACK)).status == "ok"
    assert parse_log(tool_log(XNNPACK) + failed).status == "failed"
    rows = [WARM, MEASURED, SUMMARY, WARM, MEASURED.replace("avg=7050", "avg=9000"), SUMMARY, MEMORY]
    assert parse_log("\n".join(rows)).avg_ms == 9.0  # all that a filter has left


def test_a_run_that_stdout_and_logcat_both_print_is_one():
    lines = tool_log(GPU_FULL, replacing(66, 66)).splitlines()
    log = parse_log("".join(f"{line}\n{LOGCATS['threadtime'].format(level='I', line=line)}\n" for line in lines))
    assert log == parse_log("\n".join([*lines, ""]))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([replacing(60, 66), replacing(6, 6)], ("gpu_partial", 66, 72)),
        ([replacing(60, 66), replacing(66, 66)], ("gpu_partial", 126, 132)),
        ([replacing(60, 60), replacing(6, 6), replacing(6, 6)], ("gpu", 66, 66)),
        (["Only the first 30 ops will run on the GPU, and the remaining 1 on the CPU"], ("gpu_partial", 30, 31)),
        ([replacing(3, 66, "TfLiteFlexDelegate"), replacing(60, 64, "TfLiteXNNPackDelegate")], ("cpu", 60, 64)),
    ],
)
def test_what_builds_say_that_name_no_subgraph(said, expected):
    log = parse_log(tool_log(*said))
    assert (log.ran_on, log.nodes_delegated, log.nodes_total) == expected


def test_whatever_the_text_nothing_is_raised():
    generator = random.Random(0)
    logs = [tool_log(GPU_PART, replacing(62, 66)) + profile(), litert_log(), profile(joint=","), MEMORY]
    pieces = [piece for log in logs for piece in log.replace("=", "\0=\0").replace(" ", "\0 \0").split("\0")]
    strange = [
        "\ud800",
        "\x00",
        "\x1b[",
        "9" * 5000,
        "1e999",
        "-",
        "%",
        "\t",
        "\n",
        "[ 05-30 10:31:13.006  1: 2 E/a ]\n",
    ]
    for _ in range(400):
        text = "".join(generator.choice(pieces + strange) for _ in range(generator.randrange(200)))
        log = parse_log(text)
        assert log.status in ("ok", "failed", "incomplete")
        assert (log.avg_ms is not None) or log.status != "ok"
        broken = list(generator.choice(logs))
        for _ in range(generator.randrange(40)):
            at = generator.randrange(len(broken))
            broken[at : at + generator.randrange(20)] = generator.choice(strange)
        hash(parse_log("".join(broken)))
        parse_log(bytes(generator.randrange(256) for _ in range(300)))


@pytest.mark.parametrize("noise", ["x" * 5_000_000, "% \n" * 1_500_000, "count=1 avg=3 std=4 \n" * 250_000])
def test_megabytes_of_noise_take_seconds(noise):
    start = time.perf_counter()
    log = parse_log(tool_log(GPU_FULL) + noise)
    assert time.perf_counter() - start < 10
    assert log.avg_ms == 7.05


def test_reading_logs_needs_no_tensorflow():
    code = "import sys, mnext_tf.device as d; d.parse_log(''); print({'tensorflow', 'numpy'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
