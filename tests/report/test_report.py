import re

import pytest
from PIL import Image

from mnext_tf.errors import DataError
from mnext_tf.report.report import write_report
from mnext_tf.runs.run import open_run


def report(tmp_path, runs, benchmarks):
    return write_report(tmp_path / "report", [open_run(run) for run in runs], benchmarks).read_text()


def section(text, heading):
    found = re.search(rf"^(#+) {re.escape(heading)}.*?(?=^#|\Z)", text, re.M | re.S)
    assert found, f"no section {heading!r}"
    return found.group(0)


def cells(text, first):
    """Cells of the table rows whose first cell is `first`."""
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return [row for row in rows if row[0] == first]


def test_whole_report(tmp_path, run_maker, benchmark_folder):
    run = run_maker(tmp_path / "runs" / "one", exports={"float32": 0.98, "int8": 0.9725})
    text = report(tmp_path, [run], [benchmark_folder])

    summary = text.split("\n\n")[1].splitlines()
    assert len(summary) == 3
    assert "Keras 98.0%, TFLite float32 98.0%, int8 97.2%" in summary[0]
    assert "MobileNeXt 1.0 6.75 ms, MobileNetV2 1.0 7.40 ms (1.10 of" in summary[1]
    assert "2 of 2 passed" in summary[2]

    measured = section(text, "Measured: Test CPU, 2 cores")
    assert measured.index("| MobileNetV2 1.0 |") < measured.index("| MobileNeXt 1.0 |")
    (ours,) = cells(measured, "MobileNeXt 1.0")
    assert ours[5:12] == [
        "the CPU",
        "69 of 70 (left: MEAN pool) (XNNPACK)",
        "2",
        "6.75 (medians)",
        "6.40-7.10",
        "10%",
        "reference",
    ]

    (int8,) = [row for row in cells(section(text, "Accuracy before"), "MobileNeXt 1.0") if row[3] == "int8"]
    assert int8[4:10] == ["98.00", "97.25", "-0.75", "98.75", "6.2e-02", "360"]

    for name in re.findall(r"\]\((\w+\.png)\)", text):
        with Image.open(tmp_path / "report" / name) as image:
            assert image.width > 500
    assert set(re.findall(r"\]\((\w+)\.png\)", text)) == {"overview", "latency", "training"}


def test_published_numbers_are_marked_and_kept_separate_from_ours(tmp_path, benchmark_folder):
    text = report(tmp_path, [], [benchmark_folder])
    for line in text.splitlines():
        if "Pixel 4" in line and line.startswith("|"):
            assert ": published by [" in line
            assert "not measured here" in line
    assert "44-47" not in section(text, "Measured")
    published = section(text, "Published by the MobileNeXt authors, not measured here")
    assert cells(published, "MobileNetV2")[0][1:3] == ["44-47", "15-17"]
    assert cells(published, "MobileNeXt")[0][1:3] == ["48-51", "16-17"]
    assert "Test CPU" not in published


def test_stages_that_have_not_run_are_left_out(tmp_path, run_maker):
    trained_only = run_maker(tmp_path / "a")
    text = report(tmp_path, [trained_only], [])
    assert "## Training" in text
    assert "## Accuracy" not in text
    assert "Nothing was timed yet" in text
    assert "overview.png" not in text


def test_untrained_runs_have_no_accuracy(tmp_path, run_maker):
    run = run_maker(tmp_path / "a", init="random", history=False, exports={"float32": 0.1, "int8": 0.1})
    text = report(tmp_path, [run], [])
    float32, int8 = cells(section(text, "Accuracy before"), "MobileNeXt 1.0")
    assert int8[4:8] == ["-", "-", "-", "98.75"]
    assert (float32[-1], int8[-1]) == ("passed (logits within 1e-04)", "passed (untrained: logits within 0.5 only)")
    summary = text.split("\n\n")[1]
    assert "no trained run" in summary
    assert "Files: 1 of 1 passed the check against their network" in summary
    assert "; 1 of 1 quantized files of untrained networks passed a check of their difference only" in summary
    assert "not trained; checked and calibrated on digits" in text


def test_every_number_can_be_made_again(tmp_path, run_maker, benchmark_folder):
    run = run_maker(tmp_path / "one", exports={"int8_uint8": 0.98})
    text = section(report(tmp_path, [run], [benchmark_folder]), "How to repeat each number")
    assert "python -m pipelines.benchmark --out=timed" in text
    assert f"python -m pipelines.train --model=mnext --out={run} --data" not in text  # the embedded digits
    assert (
        f"python -m pipelines.export_tflite --run={run} --quantize=int8 --io_type=uint8 --calibration_images=150"
        in text
    )
    assert "ab" * 8 in text
    assert "tensorflow 2.21.0" in text


def test_nothing_to_report_is_an_error_that_says_what_to_run(tmp_path, run_maker):
    with pytest.raises(DataError, match=r"pipelines\.train.*pipelines\.benchmark"):
        report(tmp_path, [run_maker(tmp_path / "a", history=False)], [])
    assert not (tmp_path / "report").exists()


@pytest.mark.parametrize(
    ("damaged", "content", "command"),
    [
        ("train/history.csv", "epoch,train_loss\n1,x\n", "pipelines.train"),
        ("tflite_int8/manifest.json", "{", r"pipelines\.export_tflite .*--quantize=int8 --force"),
        ("tflite_int8/verify.json", '{"networks": {"keras": {}}}', "lacks 'accuracy'"),
    ],
)
def test_damage_is_named(tmp_path, run_maker, damaged, content, command):
    run = run_maker(tmp_path / "a", exports={"int8": 0.98})
    (run / damaged).write_text(content)
    with pytest.raises(DataError, match=command):
        report(tmp_path, [run], [])


def test_other_files_in_the_folder_stay(tmp_path, benchmark_folder):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "notes.txt").write_text("mine")
    report(tmp_path, [], [benchmark_folder])
    assert (tmp_path / "report" / "notes.txt").read_text() == "mine"


def test_folders_of_version_0_1_are_reported(tmp_path, repository):
    folders = repository / "tests" / "fixtures" / "version_0_1"
    runs = [open_run(folders / "runs" / name) for name in ("trained", "imported", "interrupted")]
    page = write_report(tmp_path / "report", runs, [folders / "benchmark"], [folders / "phone_session"])
    text = page.read_text()
    assert "MobileNetV1 0.05 (trained): Keras 9" in text
    assert "float32 MobileNetV1 0.05 0.015 ms" in text
    assert "`phone_session`" in text
    train = next(line for line in text.splitlines() if line.startswith("python -m pipelines.train"))
    assert "--width=0.05 --input_size=32" in train
    assert "--data_dir" not in train  # the embedded digits
    assert "--quantize=int8 --calibration_images=200 --max_accuracy_drop=1.0 --min_agreement=0.9" in text
