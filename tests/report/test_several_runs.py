"""Several runs of one network, and runs on different data, on one page."""

import pytest
from support.reports import host, report, table

from mnext_tf.report import plots
from mnext_tf.report.rows import NOT_CHECKED


@pytest.fixture
def panels(monkeypatch):
    """The panels of the overview that is drawn."""
    drawn = []
    draw = plots.overview
    monkeypatch.setattr(plots, "overview", lambda path, given: (drawn.extend(given), draw(path, given)))
    return drawn


def two_runs(run_maker, tmp_path, **second):
    first = run_maker(tmp_path / "a", exports={"float32": 0.98, "int8": 0.97})
    return [first, run_maker(tmp_path / "b", exports={"float32": 0.91, "int8": 0.9}, **second)]


def test_two_runs_of_one_network_both_have_rows(tmp_path, run_maker, panels):
    text = report(tmp_path, [], two_runs(run_maker, tmp_path))
    summary = text.split("\n\n")[1].splitlines()[0]
    assert "MobileNeXt 1.0 (a): Keras 98.0%, TFLite float32 98.0%" in summary
    assert "MobileNeXt 1.0 (b): Keras 98.0%, TFLite float32 91.0%" in summary
    assert panels[0].values == {
        ("MobileNeXt 1.0 (a)", "float32"): pytest.approx(98),
        ("MobileNeXt 1.0 (a)", "int8"): pytest.approx(97),
        ("MobileNeXt 1.0 (b)", "float32"): pytest.approx(91),
        ("MobileNeXt 1.0 (b)", "int8"): pytest.approx(90),
    }


def test_accuracies_on_different_data_are_never_in_one_panel(tmp_path, run_maker, panels):
    text = report(tmp_path, [], two_runs(run_maker, tmp_path, data="flowers"))
    on_digits, on_flowers = text.split("\n\n")[1].splitlines()[:2]
    assert on_digits.startswith("- Accuracy on 360 validation images of digits: MobileNeXt 1.0 (a)")
    assert on_flowers.startswith("- Accuracy on 360 validation images of flowers: MobileNeXt 1.0 (b)")
    assert "(b)" not in on_digits
    assert [panel.subtitle for panel in panels[:2]] == ["TFLite, on digits, 32 px", "TFLite, on flowers, 32 px"]
    assert {name for name, _ in panels[0].values} == {"MobileNeXt 1.0 (a)"}
    assert {name for name, _ in panels[1].values} == {"MobileNeXt 1.0 (b)"}
    assert "Accuracies on different data sets are not comparable." in text


def test_data_of_one_name_and_other_content_is_other_data(tmp_path, run_maker):
    runs = [run_maker(tmp_path / name, exports={"float32": 0.9}) for name in ("a", "b")]
    config = (runs[1] / "config.json").read_text()
    (runs[1] / "config.json").write_text(config.replace('"digitsdigits"', '"fedcba9876"'))
    lines = report(tmp_path, [], runs).split("\n\n")[1].splitlines()
    assert "of digits digits:" in lines[0]
    assert "of digits fedcba:" in lines[1]


def test_times_belong_to_the_run_whose_file_was_timed(tmp_path, run_maker, row, panels):
    runs = two_runs(run_maker, tmp_path)
    rows = [
        row(name="a", sha256="afloat32" * 8, accuracy_check="passed"),
        row(name="b", sha256="other", accuracy_check="not checked", round_medians_ms=[9.0, 9.2], ratio=1.3),
    ]
    text = report(tmp_path, [], runs, [host(tmp_path, row, "timed", rows)])
    time = next(panel for panel in panels if panel.heading.startswith("Time"))
    assert time.values == {
        ("MobileNeXt 1.0 (a)", "float32"): pytest.approx(6.75),
        ("MobileNeXt 1.0 (b)", "float32"): pytest.approx(9.1),
    }
    measured = table(text, "### Measured")[2:]
    assert [(r[0], r[-1]) for r in measured] == [("MobileNeXt 1.0 (a)", "none"), ("MobileNeXt 1.0 (b)", NOT_CHECKED)]


def test_error_bars_enclose_their_bar(tmp_path, row, panels):
    """The median of all inferences may lie outside of the rounds' quartiles; the median of the rounds does not."""
    rows = [row(median_ms=6.0, round_medians_ms=[6.4, 6.5, 6.6, 6.7])]
    report(tmp_path, [], [], [host(tmp_path, row, "timed", rows)])
    (key,) = panels[0].values
    low, high = panels[0].spread[key]
    assert low <= panels[0].values[key] <= high


@pytest.mark.parametrize("count", [3, 7, 8, 30])
def test_no_two_runs_have_one_color(count):
    colors = plots.colors_of(f"run {i}" for i in range(count))
    assert len({tuple(color) for color in colors.values()}) == count


def test_a_dynamic_range_export_is_counted_not_listed(tmp_path, run_maker):
    left = [f"CONV_2D mnext/block{i:02d}_reduce/Conv2D;mnext/block{i:02d}_bn/{'x' * 60}" for i in range(60)]
    text = report(tmp_path, [], [run_maker(tmp_path / "a", exports={"dynamic": 0.97}, left=left)])
    assert "10 of 70 (left: 60 CONV_2D, first CONV_2D mnext/block00_reduce/Conv2D;" in text
    assert "block01" not in text


def test_the_check_says_what_it_allows(tmp_path, run_maker):
    rows = table(report(tmp_path, [], [run_maker(tmp_path / "a", exports={"int8": 0.97})]), "## Accuracy before")
    assert rows[2][-1] == "passed (at most 1.5 points lost, same top-1 on at least 85 %)"


def test_many_runs_of_the_workflow_are_in_the_tables(tmp_path, run_maker):
    text = report(tmp_path, [], [run_maker(tmp_path / f"r{i}", exports={"int8": 0.9}) for i in range(10)])
    assert "2 older runs are in the table below." in text
    assert len(table(text, "## Accuracy before")) == 12
