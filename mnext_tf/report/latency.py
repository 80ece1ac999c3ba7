"""The report's part on latency: on phones beside the published numbers, and on this host."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.results import ratio_text
from mnext_tf.benchmark.settings import untrained_classes
from mnext_tf.device.session import Device
from mnext_tf.files import write_csv, write_json
from mnext_tf.report import plots, published
from mnext_tf.report.markdown import Markup, code, decimals, escape_markdown, number, span, table, threads_text
from mnext_tf.report.rows import Measurement, ordered
from mnext_tf.report.run_facts import RunFacts


def published_table(rows: Sequence[Measurement] = ()) -> str:
    """The published rows, below those measured on phones; each says which it is."""
    groups: dict[tuple, list[Measurement]] = {}
    for row in ordered(rows):
        groups.setdefault((str(row.source.folder), row.file), []).append(row)
    places = {
        backend: decimals(ms for row in rows if row.backend == backend and row.as_asked for ms in row.round_ms)
        for backend in ("cpu", "gpu")
    }
    body = []
    for group in groups.values():
        first = group[0]
        ours = " (ours)" if first.network and first.network.model == published.OURS else ""
        what = f", {first.precision_text}, {first.network.input_size} px" if first.network else ""
        platform = Markup(f"{escape_markdown(first.source.platform)}, {first.source.tool}{what}: **measured here**")
        body.append((first.title + ours, *(_cell(group, backend, places[backend]) for backend in places), platform))
    where = Markup(f"Google Pixel 4, TF Lite: published by {published.MNEXT_LINK}, not measured here")
    body += [(name, cpu, gpu, where) for name, cpu, gpu in published.LATENCY]
    return table(("network", "CPU, ms", "GPU, ms", "platform"), body)


def _cell(rows: Sequence[Measurement], backend: str, places: int) -> str:
    """Ranges over the rounds that `backend` ran entirely; words for what ran elsewhere."""
    parts = []
    mine = [row for row in rows if row.backend == backend]
    for row in mine:
        if row.as_asked:
            text = span(row.round_ms, places)
        elif row.ran_on.endswith("_partial"):
            text = f"partly: {row.delegated} nodes"
        else:
            text = row.verdict
        alone = backend == "gpu" and len({other.threads for other in mine}) == 1
        mark = " †" if row.is_doubtful else ""
        parts.append(text + mark if alone else f"{text}{mark} ({threads_text(row.threads)})")
    return "; ".join(dict.fromkeys(parts)) or "-"


def details(rows: Sequence[Measurement]) -> str:
    """A line for each row: what ran it, every number, and what makes it doubtful."""
    header = (
        "network|precision|pixels|asked for|threads|ran on|nodes delegated|rounds|median of rounds, ms|range, ms|spread"
        "|ratio (quartiles)|first, ms|init, ms|memory, MB|peak memory, MB|battery, °C|doubts"
    )
    places = decimals(ms for row in rows for ms in row.round_ms)
    others = ("first_ms", "init_ms", "memory_overall_mb", "memory_peak_mb")
    places_of = {name: decimals(getattr(row, name) for row in rows) for name in others}
    body = [
        (
            row.title,
            row.precision_text,
            row.input_size or "-",
            row.backend,
            row.threads,
            row.verdict.removeprefix("ran on ") if row.round_ms else "nothing",
            f"{row.delegated} ({row.delegate})" if row.delegate else row.delegated or "-",
            len(row.rounds),
            "-" if row.median_ms is None else f"{number(row.median_ms, places)} ({row.statistic}s)",
            span(row.round_ms, places) if row.round_ms else "-",
            "-" if row.spread is None else f"{row.spread:.0%}",
            "-" if row.ratio is None else ratio_text(row.ratio.median, row.ratio.p25, row.ratio.p75),
            *(number(getattr(row, name), places_of[name]) for name in others),
            "-" if row.battery_celsius is None else span(row.battery_celsius, 1),
            "; ".join([*row.doubts, *row.failures]) or "none",
        )
        for row in ordered(rows)
    ]
    return table(header.split("|"), body, drop_empty=True)


def operators(rows: Sequence[Measurement]) -> str:
    """The slowest operators of the runs that were profiled; "" where none was."""
    places = decimals(op.avg_ms for row in rows for op in row.operators)
    body = [
        (row.title, row.precision_text, row.backend, op.node_type, op.name[:60], number(op.avg_ms, places), percent)
        for row in ordered(rows)
        for op, percent in ((op, number(op.percent, 1)) for op in row.operators)
    ]
    header = ("network", "precision", "asked for", "operator", "node", "ms", "% of the time")
    return table(header, body) if body else ""


_BROWSER_NOTE = (
    "LiteRT.js: `wasm` is XNNPACK as WebAssembly on the CPU, `webgpu` WebGPU on the GPU. Native code on the same "
    "device is faster, by a factor that is not known here: compare these rows with each other only. A time "
    "has the image copied in and the output copied back. Ratio: time over that of the first network of the same "
    "precision, size, processor, and threads, MobileNetV2 where it is there, taken within each round. Init: compiled."
)


def section(
    out: Path,
    hosts: Sequence[Sequence[Measurement]],
    phones: Sequence[tuple[Device, Sequence[Measurement]]],
    browsers: Sequence[Sequence[Measurement]] = (),
) -> str:
    """Everything on latency, with a plot for each source."""
    parts = ["## Latency"]
    if phones:
        parts += [
            "### On the phone",
            published_table([row for _, rows in phones for row in rows]),
            "Measured: the rounds' medians (or averages, where the build prints no median: the table below says "
            "which), fastest to slowest. A cell has a number only where that processor ran every node; otherwise it "
            "says in words what happened. † marks doubts, listed below (charging, inevitable on a cable, is listed "
            "but not marked). Published: a phone and a runtime of 2020; compare those rows with each other only.",
        ]
    for index, (device, rows) in enumerate(phones):
        name = rows[0].source.name if rows else device.folder.name
        parts.append(f"#### {escape_markdown(f'{device.title}, {device.soc}, {device.android}')} ({code(name)})")
        if device.notes:
            parts.append("\n".join(f"- {escape_markdown(note)}" for note in device.notes))
        parts += _measured(out, rows, "device", index)
        profile = operators(rows)
        parts += [f"Slowest operators, from runs of their own:\n\n{profile}"] if profile else []
    if any(browsers):
        parts += ["### In a browser", _BROWSER_NOTE]
    for index, rows in enumerate(filter(None, browsers)):
        source = rows[0].source
        parts.append(f"#### {escape_markdown(source.details)} ({code(source.name)})")
        parts += _measured(out, rows, "browser", index)
    for index, rows in enumerate(hosts):
        source = rows[0].source
        parts.append(f"### Measured: {escape_markdown(source.details)} ({code(source.name)})")
        parts += [_host_note(rows), *_measured(out, rows, "latency", index)]
    if not hosts and not phones and not any(browsers):
        parts.append("Nothing was timed yet: `python -m pipelines.benchmark` does that.")
    if not phones:  # otherwise these rows are in the phone's table
        parts += [
            "### Published by the MobileNeXt authors, not measured here",
            "A phone and a runtime of 2020: compare within this table only.",
            published_table(),
        ]
    return "\n\n".join(parts)


def _measured(out: Path, rows: Sequence[Measurement], name: str, index: int) -> list[str]:
    """The table and the plot of one source."""
    if not rows:
        return []
    parts = [details(rows)]
    drawn = [row for row in ordered(rows) if row.round_ms]
    if drawn:
        plot = f"{name}.png" if index == 0 else f"{name}_{index + 1}.png"
        plots.rounds(out / plot, drawn)
        parts.append(f"![Every round on {escape_markdown(rows[0].source.platform)}]({plot})")
        missing = [f"{row.title} {row.asked}" for row in ordered(rows) if not row.round_ms]
        if missing:
            what = escape_markdown("; ".join(missing))
            parts.append(f"Not in the plot because nothing was measured (the table says why): {what}.")
    return parts


def _host_note(rows: Sequence[Measurement]) -> str:
    gpu = "" if any(row.backend == "gpu" for row in rows) else " GPU: not measured on this host."
    untrained = [row for row in rows if not row.name]
    which = "The networks" if len(untrained) == len(rows) else "Networks without the name of a run or a file"
    classes = sorted({untrained_classes(row.network.model) if row.network else 1000 for row in untrained})
    random = f" {which} have random weights and {' or '.join(map(str, classes))} classes." if untrained else ""
    several = len({row.network.width for row in untrained if row.network}) > 1
    same = "the first network of the same width, " if several else f"{escape_markdown(rows[0].title)} of the same "
    return (
        "Times are the medians of rounds; networks took turns within each round. Ratio: time over that of "
        f"{same}precision, size, processor, and threads, taken within each round, which on a busy host "
        "is more reliable than the ratio of the medians. "
        f"Init: the interpreter built and its tensors allocated.{gpu}{random}"
    )


def summary_line(rows: Sequence[Measurement]) -> str:
    """The newest phone's widths of 1 in words, or why there is no number."""
    measured = [row for row in rows if row.as_asked]
    if not rows:
        return "Phone: nothing was measured yet."
    if not any(row.round_ms for row in rows):
        return "Phone: nothing was measured: every run failed; see below."
    if not measured:
        return "Phone: no run used the processor that it was asked to use; see below."
    mine = [row for row in measured if row.source == measured[-1].source]
    first = mine[0]
    kept = (first.precision_text, first.backend, first.threads)
    same = [row for row in mine if (row.precision_text, row.backend, row.threads) == kept]
    same = [row for row in same if row.network and (row.network.width, row.network.share) == (1, 1)] or same[:4]
    places = decimals(ms for row in same for ms in row.round_ms)
    words = ", ".join(f"{row.title} {span(row.round_ms, places)} ms" for row in same)
    doubts = " with doubts that are listed below" if any(row.is_doubtful for row in same) else ""
    where = f"{first.source.platform}, {first.precision_text}, {first.backend.upper()}, {first.threads} thr."
    return f"Phone ({where}): {words}{doubts}."


RECORD = (
    *("model", "width", "identity_tensor_multiplier", "input_size", "type", "file", "backend", "threads"),
    *("ran_on", "as_asked", "delegate", "nodes_delegated", "rounds", "inferences", "statistic", "median_ms"),
    *("min_ms", "max_ms", "spread", "first_ms", "init_ms", "memory_overall_mb", "memory_peak_mb", "accuracy"),
    *("doubts", "failures", "tool_warnings", "battery_celsius", "round_numbers", "round_ms", "mask", "commands"),
    *("sha256", "sha256_device", "tool_kind", "tool_sha256", "phone", "soc", "android_release"),
    *("build_fingerprint", "abi", "session", "started_utc", "session_status"),
)


def write_phone_data(
    out: Path, phones: Sequence[tuple[Device, Sequence[Measurement]]], facts: Sequence[RunFacts]
) -> None:
    """`out`/device.csv and device.json: every row with all that is needed to repeat it."""
    rows = [phone_record(device, row, facts) for device, measured in phones for row in ordered(measured)]
    sessions = [
        {"folder": d.folder, "session": d.session, "device": d.device, "notes": d.notes, "models": d.models}
        for d, _ in phones
    ]
    write_json(out / "device.json", {"rows": rows, "sessions": sessions})
    write_csv(out / "device.csv", [{name: _as_text(value) for name, value in row.items()} for row in rows])


def _as_text(value):
    if isinstance(value, tuple):
        return "; ".join(str(_as_text(v)) for v in value)
    return f"{value:.6g}" if isinstance(value, float) else value


def accuracy_of(row: Measurement, facts: Sequence[RunFacts]) -> float | None:
    """Measured top-1, or a detector's mAP50 (0..1), of the very file that was timed, by its hash; None where no run
    knows it."""
    files = ((export, run) for run in facts for export in run.exports)
    return next(
        (
            export.checks["tflite"].metric
            for export, run in files
            if row.sha256 == export.sha256 and "tflite" in export.checks and run.run.trained
        ),
        None,
    )


def phone_record(device: Device, row: Measurement, facts: Sequence[RunFacts]) -> dict:
    """For device.csv and device.json: everything that is needed to believe and to repeat the row."""
    network, about, session = row.network, device.device, device.session
    values = {
        "model": network.model if network else None,
        "width": network.width if network else None,
        "identity_tensor_multiplier": network.share if network else None,
        "input_size": network.input_size if network else None,
        "type": network.precision_text if network else None,
        "ran_on": row.ran_on or None,
        "nodes_delegated": row.delegated or None,
        "rounds": len(row.rounds),
        "min_ms": min(row.round_ms, default=None),
        "max_ms": max(row.round_ms, default=None),
        "accuracy": accuracy_of(row, facts),
        "doubts": row.flags,
        "tool_warnings": row.remarks,
        "round_numbers": row.rounds,
        "mask": row.masks,
        "phone": device.title,
        "soc": device.soc,
        "session": device.folder.name,
        "session_status": session.get("status"),
        **{name: session.get(name) for name in ("tool_kind", "tool_sha256", "started_utc")},
        **{name: about.get(name) for name in ("android_release", "build_fingerprint", "abi")},
    }
    return {name: values[name] if name in values else getattr(row, name) for name in RECORD}
