"""The parts of a report that are about phones, and the accuracy-latency picture of phones and hosts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.results import Results
from mnext_tf.device.session import Device
from mnext_tf.files import write_csv, write_json
from mnext_tf.report import accuracy_latency, device_plots, device_tables, published
from mnext_tf.report.device_rows import DeviceRow, device_rows
from mnext_tf.report.markdown import decimals, span, threads
from mnext_tf.report.run_facts import RunFacts


def rows_of(devices: Sequence[Device]) -> list[DeviceRow]:
    return device_tables.ordered([row for device in devices for row in device_rows(device)])


def write_data(out: Path, rows: Sequence[DeviceRow], devices: Sequence[Device], facts: Sequence[RunFacts]) -> None:
    """`out`/device.csv and device.json: every row with all that is needed to repeat it."""
    plain = [device_tables.plain_row(row, facts) for row in rows]
    sessions = [
        {"folder": d.folder, "session": d.session, "device": d.device, "notes": d.notes, "models": d.models}
        for d in devices
    ]
    write_json(out / "device.json", {"rows": plain, "sessions": sessions})
    write_csv(out / "device.csv", [device_tables.csv_row(row) for row in plain])


def latency(out: Path, rows: Sequence[DeviceRow], devices: Sequence[Device]) -> str:
    """The published table with the phones' rows in it, the details and a picture of each session."""
    parts = [
        "### On the phone",
        device_tables.published_table(rows),
        "Measured: the rounds' medians (or averages, where the build prints no median: the table below says which), "
        "fastest to slowest. A cell has a number only where that processor ran every node; else it says in words "
        "what happened. † marks doubts, listed below (charging, which a cable brings along, is listed, not marked). "
        "Published: a phone and a runtime of 2020; compare those rows with each other only.",
    ]
    for index, device in enumerate(devices):
        mine = [row for row in rows if row.device is device]
        parts.append(f"#### {device.title}, {device.soc}, {device.android} (`{device.folder.name}`)")
        if device.notes:
            parts.append("\n".join(f"- {note}" for note in device.notes))
        if mine:
            parts.append(device_tables.details(mine))
        if any(row.round_ms for row in mine):
            picture = "device.png" if index == 0 else f"device_{index + 1}.png"
            device_plots.rounds(out / picture, mine)
            parts.append(f"![Every round on {device.title}]({picture})")
            parts += _not_drawn(mine)
        profile = device_tables.operators(mine)
        parts += [f"Slowest operators, from runs of their own:\n\n{profile}"] if profile else []
    return "\n\n".join(parts)


def _not_drawn(rows: Sequence[DeviceRow]) -> list[str]:
    """A note on the rows without a round, which the picture has no line for."""
    missing = [
        f"{row.title} {row.kind} {row.backend.upper()}, {threads(row.threads)}" for row in rows if not row.round_ms
    ]
    return (
        [f"Not in the picture, for nothing was measured (the table says why): {'; '.join(missing)}."] if missing else []
    )


def accuracy_against_latency(out: Path, rows: Sequence[DeviceRow], timed: Sequence[Results]) -> str:
    """ "" where no network was timed at several widths."""
    parts = []
    for index, comparison in enumerate(accuracy_latency.comparisons(rows, timed)):
        picture = f"accuracy_latency{'' if index == 0 else f'_{index + 1}'}.png"
        device_plots.accuracy_against_latency(out / picture, comparison)
        parts += [accuracy_latency.answer(comparison), f"![Published accuracy against measured latency]({picture})"]
    if not parts:
        return ""
    note = (
        "The accuracies are those that the networks' authors published for their float weights at 224 pixels; "
        f"nothing here measured them: MobileNeXt from {published.MNEXT_LINK}, MobileNetV1 and V2 from "
        f"{published.SLIM_LINK}. An int8 file may be a point or so lower. "
        "Only files that ran whole where they were asked to run are drawn."
    )
    return "\n\n".join(["## Accuracy against latency", note, *parts])


def summary_line(rows: Sequence[DeviceRow]) -> str:
    measured = [row for row in rows if row.as_asked]
    if not rows:
        return "Phone: nothing was measured yet."
    if not any(row.round_ms for row in rows):
        return "Phone: nothing was measured: every run failed; see below."
    if not measured:
        return "Phone: no run there was what it was asked to be; see below."
    newest = measured[-1].device
    mine = [row for row in measured if row.device is newest]
    first = mine[0]
    same = [row for row in mine if (row.kind, row.backend, row.threads) == (first.kind, first.backend, first.threads)]
    same = [row for row in same if row.network and (row.network.width, row.network.share) == (1, 1)] or same[:4]
    places = decimals(ms for row in same for ms in row.round_ms)
    words = ", ".join(f"{row.title} {span(row.round_ms, places)} ms" for row in same)
    doubts = " with doubts that are listed below" if any(row.is_doubtful for row in same) else ""
    return f"Phone ({newest.title}, {first.kind}, {first.backend.upper()}, {first.threads} thr.): {words}{doubts}."
