"""Reports of folders written by hand, and their tables."""

from mnext_tf.benchmark.results import Results, write_results
from mnext_tf.report.report import write_report
from mnext_tf.runs.run import open_run


def report(tmp_path, sessions, runs=(), benchmarks=()):
    return write_report(tmp_path / "report", [open_run(r) for r in runs], benchmarks, sessions).read_text()


def table(text, after):
    """Cells of the first table after a line that begins with `after`."""
    part = text[text.index(after) :].split("\n\n| ", 1)[1].split("\n\n")[0]
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in part.splitlines()]


def host(tmp_path, row, name, rows):
    base = {"cpu": "Test CPU", "cores": 2, "load_at_start": None, "platform": "test"}
    write_results(Results(tmp_path / name, "command", {"runs": []}, "0", base, [row(**r) for r in rows]))
    return tmp_path / name
