"""Reports of folders written by hand, and their tables."""

from mnext_tf.benchmark.results import Results, write_results
from mnext_tf.files import write_csv, write_json
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


def evaluated(folder, correct, *, images=None, data="digits"):
    """A finished training of `folder`, evaluated on its validation images: `correct` says which were right."""
    images = images or [f"{i}.png" for i in range(len(correct))]
    accuracy = sum(correct) / len(correct)
    write_json(
        folder / "train" / "manifest.json",
        {"outputs": {"model.weights.h5": "ab" * 32}, "result": {"val_accuracy": accuracy, "history": [{"step": 1}]}},
    )
    row = {"format": "keras", "sha256": "ab" * 32, "folder": "keras"}
    result = {"data": f"{data}, validation", "skipped": 0, "networks": [row]}
    write_json(folder / "evaluation" / "evaluation.json", result)
    rows = [{"file": name, "label": 1, "correct": int(c)} for name, c in zip(images, correct, strict=True)]
    write_csv(folder / "evaluation" / "keras" / "predictions.csv", rows)
    return folder
