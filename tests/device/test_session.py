import csv

import pytest
from support.phone_sessions import log_of, pixel, run_row, write_session
from support.tool_logs import profile

from mnext_tf.device.session import find_sessions, read_device
from mnext_tf.errors import DataError
from mnext_tf.naming import network_of, precision_of
from mnext_tf.report.phone_rows import phone_rows

MNEXT = "mnext_1.0_224_float32"


def rows(folder, runs, **changes):
    return phone_rows(read_device(write_session(folder / "session", runs, **changes)))


def latency(*times, backend="cpu", ran_on=None, percentiles=True, **changes):
    return [
        (run_row(backend=backend, round=i, **changes), log_of(ms, ran_on or backend, percentiles=percentiles))
        for i, ms in enumerate(times, 1)
    ]


def test_a_session(tmp_path):
    device = read_device(pixel(tmp_path / "a"))
    assert (device.title, device.soc, device.android) == ("Google Pixel 4", "Qualcomm SM8150", "Android 13 (API 33)")
    assert device.notes == ()
    assert device.models[MNEXT].file == f"/runs/a, b/{MNEXT}.tflite"
    found = {(row.file, row.backend, row.threads): row for row in phone_rows(device)}
    assert len(found) == 6
    row = found[MNEXT, "cpu", 1]
    assert (row.round_ms, row.statistic, row.median_ms, row.inferences) == ((48.0, 50.5, 49.0), "median", 49.0, 150)
    assert row.spread == pytest.approx(2.5 / 49)
    assert (row.memory_overall_mb, row.delegated, row.battery_celsius) == (21.75, "64 of 65", (29.1, 30.5))
    assert [op.avg_ms for op in row.operators] == [6.16, 0.88]
    assert (row.flags, row.failures, row.as_asked) == ((), (), True)
    assert 'use_gpu="cpu"' in row.commands[0]


def test_average_where_a_build_prints_no_median(tmp_path):
    (row,) = rows(tmp_path, latency(40, 44, percentiles=False))
    assert (row.statistic, row.round_ms) == ("average", (40.0, 44.0))


def test_rounds_on_different_processors_are_never_merged(tmp_path):
    runs = latency(16, 17, 18, backend="gpu")
    runs[1] = (runs[1][0], log_of(60, "cpu"))
    gpu, cpu = rows(tmp_path, runs)
    assert (gpu.ran_on, gpu.round_ms, gpu.as_asked) == ("gpu", (16.0, 18.0), True)
    assert (cpu.ran_on, cpu.round_ms, cpu.as_asked) == ("cpu", (60.0,), False)
    assert "the rounds disagree: 2 on the GPU, 1 on the CPU" in gpu.flags
    assert "the rounds disagree: 1 on the CPU, 2 on the GPU" in cpu.flags


def test_partly_on_the_gpu(tmp_path):
    (row,) = rows(tmp_path, latency(16, backend="gpu", ran_on="gpu_partial"))
    assert (row.ran_on, row.delegated, row.as_asked) == ("gpu_partial", "62 of 65", False)


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"thermal_after": 1}, "the thermal status changed during a run"),
        ({"thermal_before": 2, "thermal_after": 2}, "thermal status 2, not 0"),
        ({"thermal_before": "", "thermal_after": ""}, "the phone reports no thermal status"),
        ({"thermal_after": ""}, "the phone reported no thermal status in some rounds"),
        ({"charging": 1}, "charging"),
        ({"battery_temp_after": 412}, "battery at 41.2 °C"),
        ({"mask": ""}, "threads not pinned"),
        ({"mask": "80", "threads": 2}, "2 threads on 1 pinned core"),
    ],
)
def test_flags(tmp_path, changes, flag):
    (row,) = rows(tmp_path, latency(40, **changes))
    assert flag in row.flags


def test_failures_are_counted_with_their_reasons_and_not_timed(tmp_path):
    runs = latency(40, 41, 42, 43, 44, 45)
    runs[1][0]["outcome"] = "timeout"
    runs[2] = (runs[2][0], "STARTING!\nERROR: Could not open '/x'.\nERROR: Benchmarking failed.\n")
    runs[3][0]["exit"] = 137
    runs[4] = (runs[4][0], runs[4][1][: runs[4][1].index("count=50")])
    (row,) = rows(tmp_path, runs)
    assert row.round_ms == (40.0, 45.0)
    assert row.failures[0] == "1 run: stopped by the time limit"
    assert "Could not open" in row.failures[1]
    assert row.failures[2] == "1 run: failed with exit code 137"
    assert row.failures[3].startswith("1 run: the log is incomplete")


def test_a_row_in_which_nothing_worked_says_so(tmp_path):
    runs = [(run_row(outcome="failed", exit=1), "ERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\n")]
    (row,) = rows(tmp_path, runs)
    assert (row.round_ms, row.ran_on, row.median_ms) == ((), "", None)
    assert "Failed to apply GPU delegate" in row.failures[0]


def test_memory_and_profile_count_only_from_where_the_row_ran(tmp_path):
    runs = latency(16, backend="gpu")
    runs += [(run_row(backend="gpu", kind=kind), log_of(50, "cpu", more=profile())) for kind in ("memory", "profile")]
    (row,) = rows(tmp_path, runs)
    assert (row.memory_overall_mb, row.operators) == (None, ())


def test_a_later_line_takes_the_place_of_an_earlier_one(tmp_path):
    first, second = run_row(outcome="unplugged", exit=""), run_row(id="again", log="logs/again.log")
    (row,) = rows(tmp_path, [(first, ""), (second, log_of(41))])
    assert (row.round_ms, row.failures) == ((41.0,), ())


def test_another_file_on_the_phone_is_not_timed(tmp_path):
    folder = write_session(tmp_path / "a", latency(40), hashes={MNEXT: ("ab" * 32, "cd" * 32)})
    device = read_device(folder)
    assert phone_rows(device) == []
    assert any("hashes differ" in note for note in device.notes)
    known = write_session(tmp_path / "b", latency(40), hashes={MNEXT: ("ab" * 32, "md5:12")})
    assert read_device(known).models[MNEXT].arrived


def test_an_unfinished_session_says_how_to_resume(tmp_path):
    session = {"status": "stopped", "reason": "the phone was unplugged", "finished_utc": None}
    device = read_device(write_session(tmp_path / "a", latency(40), session=session))
    assert "stopped (the phone was unplugged)" in device.notes[0]
    assert f"--resume={tmp_path / 'a'}" in device.notes[0]
    assert len(phone_rows(device)) == 1


@pytest.mark.parametrize("lost", ["device.txt", "models.csv", "runs.csv", "logs"])
def test_what_is_lost_is_named_and_the_rest_is_read(tmp_path, lost):
    folder = pixel(tmp_path / "a")
    if lost == "logs":
        for file in (folder / "logs").iterdir():
            file.unlink()
    else:
        (folder / lost).unlink()
    device = read_device(folder)
    assert any("missing" in note for note in device.notes)
    found = phone_rows(device)
    assert len(found) == (0 if lost == "runs.csv" else 6)
    assert all(bool(row.round_ms) == (lost != "logs") for row in found)
    assert device.title


def test_damage_of_every_kind_is_survived(tmp_path):
    folder = pixel(tmp_path / "a")
    whole = {file: file.read_bytes() for file in [*folder.glob("*.txt"), *folder.glob("*.csv")]}
    for file, content in whole.items():
        for damage in (content[: len(content) // 3], content[::-1], bytes(range(256)) * 4, b"", b'"' * 300):
            file.write_bytes(damage)
            if file.name == "session.txt" and b"format=1" not in damage:
                assert any("has no format" in note for note in read_device(folder).notes)
            phone_rows(read_device(folder))
        file.write_bytes(content)
    with open(folder / "runs.csv", "a", newline="") as f:
        csv.writer(f).writerow(["007", "latency", "1"])
    assert any("1 damaged line ignored" in note for note in read_device(folder).notes)


def test_a_log_is_read_from_the_folder_only(tmp_path):
    (tmp_path / "elsewhere.log").write_text(log_of(1))
    (row,) = rows(tmp_path, [(run_row(log="logs/../../elsewhere.log"), None)])
    assert row.round_ms == ()


def test_what_is_no_session_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(DataError, match=r"session.*benchmarks/run_adb\.sh"):
            read_device(folder)
    later = write_session(tmp_path / "later", latency(40), session={"format": "2"})
    with pytest.raises(DataError, match="format '2'"):
        read_device(later)


def test_sessions_are_found(tmp_path):
    assert find_sessions(tmp_path / "none") == []
    for name in ("20260102_b", "20260101_a"):
        write_session(tmp_path / name, latency(40))
    (tmp_path / "20260103_other").mkdir()
    assert [path.name for path in find_sessions(tmp_path)] == ["20260101_a", "20260102_b"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mnext_1.0_224_float32", ("mnext", 1.0, 1.0, 224, "float32", "")),
        ("mnext_0.35_id0.5_192_int8_uint8", ("mnext", 0.35, 0.5, 192, "int8", "uint8")),
        ("mobilenet_v2_mnext_1.4_96_float16", ("mobilenet_v2_mnext", 1.4, 1.0, 96, "float16", "")),
        ("mnext_s_1.0_224_int8_probabilities", ("mnext_s", 1.0, 1.0, 224, "int8", "probabilities")),
        ("mnext_s_1.0_224_weight_int8", ("mnext_s", 1.0, 1.0, 224, "weight_int8", "")),
        ("mnext_1.0_id0.5_224_int16x8_probabilities", ("mnext", 1.0, 0.5, 224, "int16x8", "probabilities")),
        ("mnext_1.0_224_int8x", None),
        ("mobilenet_v1_1.0_224_quant", None),
        ("mnext_1.0_id0_224_int8", None),
        ("photo classifier", None),
    ],
)
def test_names(name, expected):
    network = network_of(name)
    assert (network and tuple(vars(network).values())) == expected


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("tflite_float32", ("float32", "")),
        ("tflite_int8_uint8", ("int8", "uint8")),
        ("tflite_weight_int8", ("weight_int8", "")),
        ("tflite_weight_int8_probabilities", ("weight_int8", "probabilities")),
        ("tflite_int16x8_probabilities", ("int16x8", "probabilities")),
        ("tflite_int2_later", ("int2", "later")),
    ],
)
def test_stages(stage, expected):
    assert precision_of(stage) == expected
