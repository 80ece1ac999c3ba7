"""A page with pictures on runs and benchmarks: how good, how fast, how large, and how to get it again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.results import Results, read_results
from mnext_tf.device.session import Device, read_device
from mnext_tf.errors import DataError
from mnext_tf.files import write_text
from mnext_tf.provenance import now, versions
from mnext_tf.report import device_report, device_tables, plots, tables
from mnext_tf.report.device_rows import DeviceRow
from mnext_tf.report.markdown import decimals, number
from mnext_tf.report.run_facts import RunFacts, read_run, row_title
from mnext_tf.runs.run import Run

OVERVIEW_TYPES = ("float32", "int8")


def write_report(out: Path, runs: Sequence[Run], benchmarks: Sequence[Path], sessions: Sequence[Path] = ()) -> Path:
    """Write `out`/report.md and the pictures that it shows; other files in `out` stay.

    Args:
      runs: run folders; what a run has not got (training, exports) is left out.
      benchmarks: folders that `run_benchmark` wrote.
      sessions: folders that benchmarks/run_adb.sh wrote; device.csv and device.json then appear in `out`, too.

    Returns:
      The page.

    Raises:
      DataError: an input is missing or damaged, or there is nothing to report on.
    """
    out = Path(out)
    facts = [read_run(run) for run in runs]
    timed = sorted((read_results(folder) for folder in benchmarks), key=lambda results: results.date)
    devices = [read_device(folder) for folder in sessions]
    rows = device_report.rows_of(devices)
    if not timed and not devices and not any(f.exports or f.history for f in facts):
        raise DataError(
            "There is nothing to report on: no trained or exported run and no benchmark was given. "
            "`python -m pipelines.train` makes a run, `python -m pipelines.benchmark` a benchmark on this host, "
            "benchmarks/run_adb.sh one on a phone."
        )
    facts = [f for f in facts if f.exports or f.history]
    headline = headline_rows(timed)
    sections = [
        "# Report",
        summary(facts, headline, rows if devices else None),
        _overview(out, facts, headline),
        _latency(out, timed, rows, devices),
        device_report.accuracy_against_latency(out, rows, timed),
        _accuracy(facts),
        _sizes(facts, timed),
        _training(out, facts),
        tables.reproduce(facts, timed),
        *(device_tables.reproduce(device, [row for row in rows if row.device is device]) for device in devices),
        _foot(),
    ]
    if devices:
        device_report.write_data(out, rows, devices, facts)
    page = out / "report.md"
    write_text(page, "\n\n".join(section for section in sections if section) + "\n")
    return page


def headline_rows(timed: Sequence[Results]) -> list[dict]:
    """The CPU's rows of the newest benchmark, with its largest input and its fewest threads."""
    if not timed:
        return []
    rows = [r for r in timed[-1].rows if r["delegate"] == "xnnpack"]
    if not rows:
        return []
    size, threads = max(r["input_size"] for r in rows), min(r["threads"] for r in rows)
    return [r for r in rows if (r["input_size"], r["threads"]) == (size, threads)]


def latest_trained(facts: Sequence[RunFacts]) -> dict[str, RunFacts]:
    """For every network the newest trained run with an export checked on labelled images."""
    return {f.title: f for f in facts if f.measures_accuracy}


def summary(facts: Sequence[RunFacts], headline: Sequence[dict], rows: Sequence[DeviceRow] | None = None) -> str:
    """Lines in words: accuracy, speed, whether the files are what they should be; and the phone, where there is one."""
    lines = [_accuracy_line(facts), _speed_line(headline), _files_line(facts)]
    lines += [] if rows is None else [device_report.summary_line(rows)]
    return "\n".join(f"- {line}" for line in lines)


def _accuracy_line(facts: Sequence[RunFacts]) -> str:
    parts = []
    for name, run in latest_trained(facts).items():
        numbers = [
            f"{e.label} {e.checks['tflite'].accuracy:.1%}" for e in run.exports if e.checks and "_" not in e.label
        ]
        keras = next(e.checks["keras"].accuracy for e in run.exports if e.checks)
        images = max(e.images for e in run.exports)
        data = run.run.config.dataset.name
        parts.append(f"{name}: Keras {keras:.1%}, TFLite {', '.join(numbers)} ({images} validation images of {data})")
    return f"Accuracy: {'; '.join(parts)}." if parts else "Accuracy: no trained run has a checked export yet."


def _speed_line(headline: Sequence[dict]) -> str:
    if not headline:
        return "Speed: nothing was timed yet; `python -m pipelines.benchmark` does that."
    parts, places = [], decimals(r["median_ms"] for r in headline)
    for kind in dict.fromkeys(r["quantize"] for r in headline):
        rows = [r for r in headline if r["quantize"] == kind]
        words = [f"{row_title(rows[0])} {number(rows[0]['median_ms'], places)} ms"]
        words += [
            f"{row_title(r)} {number(r['median_ms'], places)} ms ({r['ratio']:.2f} of the first one's time, "
            f"quartiles {r['ratio_p25']:.2f} to {r['ratio_p75']:.2f})"
            for r in rows[1:]
        ]
        parts.append(f"{kind} {', '.join(words)}")
    where = f"{headline[0]['input_size']} px, {tables.threads(headline[0]['threads'])} of {headline[0]['host_cpu']}"
    return f"Speed ({where}): {'; '.join(parts)}."


def _files_line(facts: Sequence[RunFacts]) -> str:
    exports = [(f, e) for f in facts for e in f.exports]
    checked = [e for _, e in exports if e.passed is not None]
    if not checked:
        return "Files: no exported file of these runs was checked against its network yet."
    floats = [e.checks["tflite"].max_relative_difference for e in checked if e.label == "float32"]
    bound = f"; float32 logits differ from Keras by at most {max(floats):.1e} (relative)" if floats else ""
    left = sorted({name for e in checked for name in e.not_delegated})
    delegated = sum(e.nodes_delegated == e.nodes_total for e in checked)
    rest = f", the others all but {', '.join(left)}" if left else ""
    loose = [e for f, e in exports if f.compares_loosely(e)]
    strict = [e for f, e in exports if not f.compares_loosely(e)]
    counts = [f"{sum(bool(e.passed) for e in strict)} of {len(strict)} passed the check against their network{bound}"]
    untrained = (
        f"{sum(bool(e.passed) for e in loose)} of {len(loose)} quantized files of untrained networks passed a check of "
        "their difference only, not of top-1"
    )
    counts = (counts if strict else []) + ([untrained] if loose else [])
    return f"Files: {'; '.join(counts)}; {delegated} run on XNNPACK with every node{rest}."


def _overview(out: Path, facts: Sequence[RunFacts], headline: Sequence[dict]) -> str:
    trained = latest_trained(facts)
    timed = {(row_title(r), r["quantize"]): r for r in headline if r["quantize"] in OVERVIEW_TYPES}
    exported = {(name, kind): run.export(kind) for name, run in trained.items() for kind in OVERVIEW_TYPES}
    checked = {key: export for key, export in exported.items() if export and export.checks}
    panels = []
    if checked:
        data = " and ".join(sorted({run.run.config.dataset.name for run in trained.values()}))
        accuracy = {key: 100 * e.checks["tflite"].accuracy for key, e in checked.items()}
        panels.append(plots.Panel("Top-1 accuracy, %", f"of the TFLite file, on {data}", accuracy, {}, "{:.1f}", "-"))
    if timed:
        first = headline[0]
        where = f"{first['input_size']} px, {tables.threads(first['threads'])}, {plots.short(first['host_cpu'])}"
        spread = {key: plots.round_quartiles(row) for key, row in timed.items()}
        times = {key: row["median_ms"] for key, row in timed.items()}
        panels.append(plots.Panel("Time per image, ms", where, times, spread, "{:.2f}", "not timed"))
        sizes, which = {key: row["file_mb"] for key, row in timed.items()}, "the files that were timed"
    else:
        sizes, which = {key: e.file_bytes / 1e6 for key, e in checked.items()}, "the files that were checked"
    if sizes:
        panels.append(plots.Panel("File, MB", which, sizes, {}, "{:.1f}", "-"))
    if not panels:
        return ""
    plots.overview(out / "overview.png", panels)
    return "![Accuracy, time and size at a glance](overview.png)"


def _latency(out: Path, timed: Sequence[Results], rows: Sequence[DeviceRow], devices: Sequence[Device]) -> str:
    parts = ["## Latency"]
    if devices:
        parts.append(device_report.latency(out, rows, devices))
    for index, results in enumerate(timed):
        picture = "latency.png" if index == 0 else f"latency_{index + 1}.png"
        plots.latency(out / picture, results)
        parts += [
            f"### Measured: {results.host['cpu']}, {results.host['cores']} cores (`{results.folder.name}`)",
            tables.measured_latency(results),
            f"![Time per image]({picture})",
        ]
    if not timed and not devices:
        parts.append("Nothing was timed yet: `python -m pipelines.benchmark` does that.")
    if not devices:  # else these rows stand in the phone's table
        parts.append(tables.published_latency())
    return "\n\n".join(parts)


def _accuracy(facts: Sequence[RunFacts]) -> str:
    table = tables.accuracy(facts)
    return f"## Accuracy before and after quantization\n\n{table}" if table else ""


def _sizes(facts: Sequence[RunFacts], timed: Sequence[Results]) -> str:
    table = tables.sizes(facts, timed)
    return f"## File sizes\n\n{table}" if table else ""


def _training(out: Path, facts: Sequence[RunFacts]) -> str:
    trained = [f for f in facts if f.history]
    if not trained:
        return ""
    plots.training(out / "training.png", trained)
    return f"## Training\n\n{tables.training(trained)}\n\n![Loss and accuracy per epoch](training.png)"


def _foot() -> str:
    used = ", ".join(f"{name} {version}" for name, version in versions().items())
    return f"Written {now()[:19]} UTC by mnext-tf; {used}."
