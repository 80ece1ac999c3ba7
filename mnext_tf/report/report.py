"""A page with plots on runs, benchmarks, and phones: accuracy, latency, size, and how to repeat each number."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.results import read_results, summarize_operators
from mnext_tf.device.browser import is_browser_session, read_browser_session
from mnext_tf.device.session import read_device
from mnext_tf.errors import DataError
from mnext_tf.files import write_text
from mnext_tf.naming import distinct_names
from mnext_tf.provenance import now, versions
from mnext_tf.report import (
    accuracy_latency,
    accuracy_plot,
    equal_accuracy,
    latency,
    plots,
    published,
    reproduce,
    run_tables,
    seed_tables,
    seeds,
)
from mnext_tf.report.browser_rows import browser_rows
from mnext_tf.report.browser_rows import summary_line as browser_line
from mnext_tf.report.markdown import Markup, decimals, escape_markdown, number, threads_text
from mnext_tf.report.phone_rows import phone_rows
from mnext_tf.report.rows import Measurement, host_rows, ordered
from mnext_tf.report.run_facts import RunFacts, outputs_of, read_runs
from mnext_tf.runs.run import Run

MOST_RUNS = 8  # in the summary and the overview; the tables have all of them


def write_report(out: Path, runs: Sequence[Run], benchmarks: Sequence[Path], sessions: Sequence[Path] = ()) -> Path:
    """Write `out`/report.md and the plots that it shows; other files in `out` stay.

    Args:
      runs: run folders; stages that a run lacks (training, exports) are left out.
      benchmarks: folders that `run_benchmark` wrote.
      sessions: folders that benchmarks/run_adb.sh wrote, for which device.csv and device.json appear in `out`, and
        those that browsers sent to pipelines.serve.

    Returns:
      The page.

    Raises:
      DataError: an input is missing or damaged, or there is nothing to report on.
    """
    out = Path(out)
    facts = [f for f in read_runs(runs) if f.exports or f.history]
    timed = sorted((read_results(folder) for folder in benchmarks), key=lambda results: results.date)
    in_browsers = [folder for folder in sessions if is_browser_session(folder)]
    devices = [read_device(folder) for folder in sessions if folder not in in_browsers]
    if not timed and not sessions and not facts:
        raise DataError(
            "There is nothing to report on: no trained or exported run and no benchmark was given. "
            "`python -m pipelines.train` makes a run, `python -m pipelines.benchmark` a benchmark on this host, "
            "benchmarks/run_adb.sh one on a phone."
        )
    names = distinct_names([results.folder for results in timed])
    hosts = [host_rows(results, name) for results, name in zip(timed, names, strict=True)]
    session_names = distinct_names([device.folder for device in devices])
    phones = [(device, ordered(phone_rows(device, name))) for device, name in zip(devices, session_names, strict=True)]
    tried = sorted(map(read_browser_session, in_browsers), key=lambda session: session.started)
    browsers = [(session, browser_rows(session)) for session in tried]
    on_phones = [row for _, rows in phones for row in rows]
    newest = headline_rows(hosts)
    several = seeds.networks(facts)
    pairs = seeds.pairs(several)
    verdicts = [pair.verdict for pair in pairs if pair.first.is_best_of(several)]
    lines = [*verdicts, *_accuracy_lines(facts), _speed_line(newest), _files_line(facts)]
    lines += [latency.summary_line(on_phones)] if devices else []
    lines += [browser_line([row for _, rows in browsers for row in rows])] if browsers else []
    sections = [
        "# Report",
        "\n".join(f"- {escape_markdown(line)}" for line in lines),
        _overview(out, facts, newest),
        seed_tables.section(out, several, pairs),
        latency.section(out, hosts, phones, [rows for _, rows in browsers]),
        _accuracy_latency(out, [*on_phones, *(row for rows in hosts for row in rows)]),
        _titled("Accuracy before and after quantization", run_tables.accuracy(facts)),
        _titled("File sizes", run_tables.sizes(facts, [row for rows in hosts for row in rows])),
        _titled("Which processors take the files", run_tables.processors(facts)),
        _training(out, [f for f in facts if f.history]),
        "## How to repeat each number",
        *(reproduce.benchmark(results, name) for results, name in zip(timed, names, strict=True)),
        *map(reproduce.run, facts),
        "Hashes are cut to 16 digits above; benchmark.csv and each manifest.json hold them whole."
        if timed or any(f.exports for f in facts)
        else "",
        *(reproduce.phone(*phone, name) for phone, name in zip(phones, session_names, strict=True)),
        *(reproduce.browser(session, rows) for session, rows in browsers),
        f"Written {now()[:19]} UTC by {', '.join(f'{name} {version}' for name, version in versions().items())}.",
    ]
    if devices:
        latency.write_phone_data(out, phones, facts)
    page = out / "report.md"
    write_text(page, "\n\n".join(section for section in sections if section) + "\n")
    return page


def headline_rows(hosts: Sequence[Sequence[Measurement]]) -> list[Measurement]:
    """Of the newest benchmark's rows on the CPU those with the largest input and the fewest threads."""
    rows = [row for row in hosts[-1] if row.backend == "cpu"] if hosts else []
    if not rows:
        return []
    size, threads = max(r.input_size for r in rows), min(r.threads for r in rows)
    return [r for r in rows if (r.input_size, r.threads) == (size, threads)]


def at_one_width(rows: Sequence[Measurement]) -> list[Measurement]:
    """Without untrained networks of other widths than 1, or than the largest: words for all would be too many."""
    widths = {row.network.width for row in rows if row.network and not row.name}
    kept = 1 if 1 in widths else max(widths, default=1)
    return [row for row in rows if row.name or not row.network or row.network.width == kept]


def judged(facts: Sequence[RunFacts]) -> list[RunFacts]:
    """The newest trained runs with an export checked on labeled images, `MOST_RUNS` at most."""
    return [f for f in facts if f.measures_accuracy][-MOST_RUNS:]


def _accuracy_lines(facts: Sequence[RunFacts]) -> list[str]:
    """A line for each data set: accuracies on different ones are not comparable."""
    by_data: dict[str, list[str]] = {}
    for run in judged(facts):
        checked = [e for e in run.exports if e.checks]
        exports = ", ".join(f"{e.precision} {e.checks['tflite'].metric:.1%}" for e in checked if not e.variant)
        text = f"{run.label}: Keras {checked[0].checks['keras'].metric:.1%}" + (f", TFLite {exports}" * bool(exports))
        images = max(e.images for e in run.exports)
        metric = {"accuracy": "Accuracy"}.get(run.task.metric_title, run.task.metric_title)
        by_data.setdefault(f"{metric} on {images} validation images of {run.data}", []).append(text)
    if not by_data:
        return ["Accuracy: no trained run has a checked export yet."]
    more = sum(f.measures_accuracy for f in facts) - MOST_RUNS
    rest = f" {more} older runs are in the table below." if more > 0 else ""
    lines = [f"{data}: {'; '.join(texts)}." for data, texts in by_data.items()]
    return [*lines[:-1], lines[-1] + rest]


def _speed_line(newest: Sequence[Measurement]) -> str:
    if not newest:
        return Markup("Speed: nothing was timed yet; `python -m pipelines.benchmark` does that.")
    newest = at_one_width(newest)
    parts, places = [], decimals(row.median_ms for row in newest)
    for precision in dict.fromkeys(row.precision_text for row in newest):
        first, *others = [row for row in newest if row.precision_text == precision]
        words = [f"{first.title} {number(first.median_ms, places)} ms"]
        words += [f"{row.title} {number(row.median_ms, places)} ms{_of_the_first(row)}" for row in others]
        parts.append(f"{precision} {', '.join(words)}")
    return f"Speed ({_where(newest[0])} of {newest[0].source.details}): {'; '.join(parts)}."


def _of_the_first(row: Measurement) -> str:
    if row.ratio.is_reference:
        return ""
    quartiles = f"quartiles {row.ratio.p25:.2f} to {row.ratio.p75:.2f}"
    return f" ({row.ratio.median:.2f} of the first one's time, {quartiles})"


def _where(row: Measurement) -> str:
    return f"{row.input_size} px, {threads_text(row.threads)}"


def _files_line(facts: Sequence[RunFacts]) -> str:
    exports = [(f, e) for f in facts for e in f.exports]
    checked = [e for _, e in exports if e.passed is not None]
    if not checked:
        return "Files: no exported file of these runs was checked against its network yet."
    floats = [e.checks["tflite"].max_relative_difference for e in checked if e.precision == "float32"]
    floats = [difference for difference in floats if difference is not None]
    what = outputs_of([f for f, _ in exports])
    bound = f"; float32 {what} differ from Keras by at most {max(floats):.1e} (relative)" if floats else ""
    left = sorted({name for e in checked for name in e.not_delegated})
    delegated = sum(e.nodes_delegated == e.nodes_total for e in checked)
    rest = f", the others all but {summarize_operators(left)}" if left else ""
    loose = [e for f, e in exports if f.compares_loosely(e)]
    strict = [e for f, e in exports if not f.compares_loosely(e)]
    counts = [f"{sum(bool(e.passed) for e in strict)} of {len(strict)} passed the check against their network{bound}"]
    agreement = " or ".join(
        dict.fromkeys(f.task.agreement_title.removeprefix("same ") for f, e in exports if e in loose)
    )
    untrained = (
        f"{sum(bool(e.passed) for e in loose)} of {len(loose)} quantized files of untrained networks passed a check of "
        f"their difference only, not of {agreement}"
    )
    counts = (counts if strict else []) + ([untrained] if loose else [])
    return f"Files: {'; '.join(counts)}; {delegated} run on XNNPACK with every node{rest}."


def _overview(out: Path, facts: Sequence[RunFacts], newest: Sequence[Measurement]) -> str:
    """Accuracy (a panel for each data set), time, and size of the newest runs and of what was timed last."""
    runs, panels = judged(facts), []
    checked = {(run.label, e.precision_text): (run, e) for run in runs for e in run.exports if e.checks}
    for data in dict.fromkeys(run.data for run in runs):
        mine = {key: (run, e) for key, (run, e) in checked.items() if run.data == data}
        pixels = " and ".join(map(str, sorted({run.run.config.model.input_size for run, _ in mine.values()})))
        metric = next(run.task.metric_title for run, _ in mine.values())
        heading = {"accuracy": "Top-1 accuracy"}.get(metric, metric)
        measured = {key: 100 * e.checks["tflite"].metric for key, (_, e) in mine.items()}
        panels.append(plots.Panel(f"{heading}, %", f"TFLite, on {data}, {pixels} px", measured, {}, "{:.1f}", "-"))
    timed = {key: row for row in newest for key in _keys(row, runs)}
    if timed:
        where = f"{_where(newest[0])}, {newest[0].source.platform.replace('(R)', '').replace('(TM)', '')}"
        times = {key: row.median_ms for key, row in timed.items()}
        spread = {key: row.quartiles_ms for key, row in timed.items()}
        panels.append(plots.Panel("Time per image, ms", where, times, spread, "{:.2f}", "not timed"))
        sizes, which = {key: row.file_mb for key, row in timed.items()}, "the files that were timed"
    else:
        sizes, which = {key: e.file_bytes / 1e6 for key, (_, e) in checked.items()}, "the files that were checked"
    if sizes:
        panels.append(plots.Panel("File, MB", which, sizes, {}, "{:.1f}", "-"))
    if not panels:
        return ""
    plots.overview(out / "overview.png", panels)
    return "![Accuracy, time, and size at a glance](overview.png)"


def _keys(row: Measurement, runs: Sequence[RunFacts]) -> list[tuple[str, str]]:
    """The rows of the overview that a time belongs to: those of the run that was timed; for an untrained network, which
    is as fast as a trained one, all of the same network; else one of its own."""
    same = [run for run in runs if row.network and run.title == row.network.title]
    files = [run for run in same if any(e.sha256 == row.sha256 for e in run.exports)]
    mine = files or [run for run in same if row.name in ("", run.name)]
    return [(run.label, row.precision_text) for run in mine] or [(row.title, row.precision_text)]


def _accuracy_latency(out: Path, rows: Sequence[Measurement]) -> str:
    """ "" where no network was timed at several widths."""
    parts, found = [], accuracy_latency.comparisons(rows)
    for index, comparison in enumerate(found):
        plot = f"accuracy_latency{'' if index == 0 else f'_{index + 1}'}.png"
        accuracy_plot.accuracy_against_latency(out / plot, comparison)
        parts += [*equal_accuracy.answers(comparison), f"![Published accuracy against measured latency]({plot})"]
    if equal_accuracy.write_table(out / "accuracy_latency.csv", found):
        parts.append("All comparisons at equal accuracy: [accuracy_latency.csv](accuracy_latency.csv).")
    models = {point.model for comparison in found for point in comparison.points}
    note = (
        "The accuracies are those that the networks' authors published for their float weights at 224 pixels; "
        f"nothing here measured them: {published.sources(models)}. An int8 file may be a point or so lower. Only files "
        "that ran entirely where they were asked to run are drawn. Between widths the logarithm of the time is "
        "interpolated along the accuracy; nothing is extrapolated."
    )
    return "\n\n".join(["## Accuracy against latency", note, *parts]) if parts else ""


def _training(out: Path, trained: Sequence[RunFacts]) -> str:
    if not trained:
        return ""
    plots.training(out / "training.png", trained)
    metrics = " or ".join(dict.fromkeys(f.task.metric_title for f in trained))
    parts = ["## Training", run_tables.training(trained), f"![Loss and {metrics} per epoch](training.png)"]
    return "\n\n".join([*parts, *_against_published(out, [f for f in trained if f.curve and f.published])])


def _against_published(out: Path, repeated: Sequence[RunFacts]) -> list[str]:
    """Whether runs that repeat a published training are on track."""
    if not repeated:
        return []
    plots.against_published(out / "published.png", repeated)
    lines = []
    for run in repeated:
        row, expected = run.published[-1]
        top1, averaged = 100 * row[run.published_column], ", averaged weights" * run.curve.is_ema
        lines.append(
            f"- {escape_markdown(run.label)}: {top1:.2f} % after epoch {row['epoch']:.0f}, {top1 - expected:+.2f} "
            f"points from the published {expected:.2f} % on ImageNet (recipe {run.curve.recipe}{averaged})"
        )
    return [
        "### Against the published trainings",
        "\n".join(lines),
        "![Top-1 per epoch, and published top-1](published.png)",
        f"Source: {published.MNEXT_LINK}, the training logs beside the checkpoints. Averaged weights (EMA) stay "
        "at chance for tens of epochs.",
    ]


def _titled(heading: str, table: str) -> str:
    return f"## {heading}\n\n{table}" if table else ""
