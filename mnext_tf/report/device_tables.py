"""What a report says about sessions on phones, in Markdown and as plain rows."""

from __future__ import annotations

from collections.abc import Sequence

from mnext_tf.device.session import Device
from mnext_tf.report import published
from mnext_tf.report.device_rows import DeviceRow
from mnext_tf.report.markdown import decimals, markdown, number, span, threads
from mnext_tf.report.run_facts import RunFacts


def ordered(rows: Sequence[DeviceRow]) -> list[DeviceRow]:
    """By phone, type, and network as the published table has them."""

    def key(row: DeviceRow) -> tuple:
        n, where = row.network, str(row.device.folder)
        if n is None:
            return where, True, row.model
        return where, False, n.kind, -n.input_size, published.ORDER.get(n.model, 1), -n.width, n.share

    return sorted(rows, key=lambda row: (*key(row), row.backend, row.threads))


def published_table(rows: Sequence[DeviceRow]) -> str:
    """The measured rows above the published ones, in one table that says of each which it is."""
    groups: dict[tuple, list[DeviceRow]] = {}
    for row in ordered(rows):
        groups.setdefault((str(row.device.folder), row.model), []).append(row)
    places = {
        backend: decimals(ms for row in rows if row.backend == backend and row.as_asked for ms in row.round_ms)
        for backend in ("cpu", "gpu")
    }
    body = []
    for group in groups.values():
        first = group[0]
        ours = " (ours)" if first.network and first.network.model == published.OURS else ""
        kind = f", {first.kind}, {first.network.input_size} px" if first.network else ""
        platform = f"{first.device.title}, {first.device.tool}{kind}: **measured here**"
        body.append((first.title + ours, *(_cell(group, backend, places[backend]) for backend in places), platform))
    where = f"Google Pixel 4, TF Lite: published by {published.MNEXT_LINK}, not measured here"
    body += [(name, cpu, gpu, where) for name, cpu, gpu in published.LATENCY]
    return markdown(("network", "CPU, ms", "GPU, ms", "platform"), body)


def _cell(rows: Sequence[DeviceRow], backend: str, places: int) -> str:
    """Ranges over the rounds that `backend` ran whole; words for what was asked of it and ran elsewhere."""
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
        parts.append(text + mark if alone else f"{text}{mark} ({threads(row.threads)})")
    return "; ".join(dict.fromkeys(parts)) or "-"


def details(rows: Sequence[DeviceRow]) -> str:
    """A line for each row: what ran it, every number, and what speaks against it."""
    header = (
        "network|type|asked for|threads|ran on|nodes delegated|rounds|median of rounds, ms|range, ms|spread"
        "|first, ms|init, ms|memory, MB|peak, MB|battery, °C|doubts"
    )
    places = decimals(ms for row in rows for ms in row.round_ms)
    others = ("first_ms", "init_ms", "memory_overall_mb", "memory_peak_mb")
    places_of = {name: decimals(getattr(row, name) for row in rows) for name in others}
    body = [
        (
            row.title,
            row.kind,
            row.backend,
            row.threads,
            row.verdict.removeprefix("ran on ") if row.round_ms else "nothing",
            f"{row.delegated} ({row.delegate})" if row.delegate else row.delegated or "-",
            len(row.rounds),
            "-" if row.median_ms is None else f"{number(row.median_ms, places)} ({row.statistic}s)",
            span(row.round_ms, places) if row.round_ms else "-",
            "-" if row.spread is None else f"{row.spread:.0%}",
            *(number(getattr(row, name), places_of[name]) for name in others),
            "-" if row.battery_celsius is None else span(row.battery_celsius, 1),
            "; ".join([*row.doubts, *row.failures]) or "none",
        )
        for row in ordered(rows)
    ]
    return markdown(header.split("|"), body)


def operators(rows: Sequence[DeviceRow]) -> str:
    """The slowest operators of the runs that were profiled; "" where none was."""
    places = decimals(op.avg_ms for row in rows for op in row.operators)
    body = [
        (row.title, row.kind, row.backend, op.node_type, op.name[:60], number(op.avg_ms, places), number(op.percent, 1))
        for row in ordered(rows)
        for op in row.operators
    ]
    header = ("network", "type", "asked for", "operator", "node", "ms", "% of the time")
    return markdown(header, body) if body else ""


def accuracy_of(row: DeviceRow, facts: Sequence[RunFacts]) -> float | None:
    """Measured top-1 (0..1) of the very file that was timed, by its hash; None where no run knows it."""
    known = row.device.models.get(row.model)
    for run in facts:
        for export in run.exports:
            tflite = export.checks.get("tflite")
            if known and known.sha256 == export.sha256 and tflite and run.run.trained:
                return tflite.accuracy
    return None


def reproduce(device: Device, rows: Sequence[DeviceRow]) -> str:
    """Phone, tool, files, and the exact command of every row."""
    session, phone = device.session, device.device
    facts = [
        ("phone", f"{device.title} ({phone.get('product') or '?'}, {phone.get('device') or '?'})"),
        ("SoC", f"{device.soc}; cores' highest clocks {phone.get('cpu_max_khz') or 'unknown'} kHz"),
        ("system", f"{device.android}, ABI {phone.get('abi') or 'unknown'}"),
        ("build", f"`{phone.get('build_fingerprint') or 'unknown'}`"),
        ("tool", f"{session.get('tool') or 'unknown'} ({device.tool}, {session.get('tool_abi') or 'unknown ABI'})"),
        ("tool's sha256", f"`{session.get('tool_sha256') or 'unknown'}`"),
        ("fixed performance mode", session.get("fixed_performance_mode") or "unknown"),
        ("pinned to", f"mask {session.get('mask') or 'none'}, cores {session.get('big_cores') or 'unknown'}"),
        ("measured", f"{session.get('started_utc') or '?'} to {session.get('finished_utc') or '(unfinished)'} UTC"),
    ]
    files = [
        (name, model.bytes or "-", f"`{model.sha256 or 'unknown'}`", _on_phone(model))
        for name, model in device.models.items()
    ]
    commands = [
        (row.title, row.kind, row.backend, row.threads, row.inferences or "-", f"`{command}`")
        for row in ordered(rows)
        for command in row.commands
    ]
    parts = [
        f"Session `{device.folder.name}`:",
        f"```\n{session.get('command') or 'benchmarks/run_adb.sh'}\n```",
        markdown(("what", "value"), facts),
        markdown(("file", "bytes", "sha256 on the host", "on the phone"), files) if files else "",
        markdown(("network", "type", "asked for", "threads", "inferences", "command on the phone"), commands)
        if commands
        else "",
    ]
    return "\n\n".join(part for part in parts if part)


def _on_phone(model) -> str:
    return {True: "the same", False: "**another file**", None: "unknown"}[model.arrived]


def plain_row(row: DeviceRow, facts: Sequence[RunFacts]) -> dict:
    """For device.csv and device.json: everything that is needed to believe and to repeat the row."""
    device, network, known = row.device, row.network, row.device.models.get(row.model)
    return {
        "model": network.model if network else None,
        "width": network.width if network else None,
        "identity_tensor_multiplier": network.share if network else None,
        "input_size": network.input_size if network else None,
        "type": network.kind if network else None,
        "file": row.model,
        "backend": row.backend,
        "threads": row.threads,
        "ran_on": row.ran_on or None,
        "as_asked": row.as_asked,
        "delegate": row.delegate,
        "nodes_delegated": row.delegated or None,
        "rounds": len(row.rounds),
        "inferences": row.inferences,
        "statistic": row.statistic,
        "median_ms": row.median_ms,
        "min_ms": min(row.round_ms, default=None),
        "max_ms": max(row.round_ms, default=None),
        "spread": row.spread,
        "first_ms": row.first_ms,
        "init_ms": row.init_ms,
        "memory_overall_mb": row.memory_overall_mb,
        "memory_peak_mb": row.memory_peak_mb,
        "accuracy": accuracy_of(row, facts),
        "doubts": row.flags,
        "failures": row.failures,
        "tool_warnings": row.remarks,
        "battery_celsius": row.battery_celsius,
        "round_numbers": row.rounds,
        "round_ms": row.round_ms,
        "mask": row.masks,
        "commands": row.commands,
        "sha256": known.sha256 if known else None,
        "sha256_device": known.sha256_device if known else None,
        "tool_kind": device.session.get("tool_kind"),
        "tool_sha256": device.session.get("tool_sha256"),
        "phone": device.title,
        "soc": device.soc,
        "android_release": device.device.get("android_release"),
        "build_fingerprint": device.device.get("build_fingerprint"),
        "abi": device.device.get("abi"),
        "session": device.folder.name,
        "started_utc": device.session.get("started_utc"),
        "session_status": device.session.get("status"),
    }


def csv_row(plain: dict) -> dict:
    """Lists as text."""
    return {
        key: "; ".join(f"{v:.6g}" if isinstance(v, float) else str(v) for v in value)
        if isinstance(value, tuple)
        else f"{value:.6g}"
        if isinstance(value, float)
        else value
        for key, value in plain.items()
    }
