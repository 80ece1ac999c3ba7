"""Rows from a session on a phone: rounds of one model on one processor, and what makes them doubtful."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence

from mnext_tf.device.log_profile import Operator
from mnext_tf.device.session import Device, Run
from mnext_tf.naming import network_of
from mnext_tf.report.rows import CHARGING, Measurement, Source, processor

WARM_CELSIUS = 40.0

TOP_OPERATORS = 5


def phone_rows(device: Device, name: str = "") -> list[Measurement]:
    """In the order of models.csv, then backend and threads; `name` is the session's, by default that of its folder."""
    details = f"{device.title}, {device.soc}, {device.android}"
    source = Source(device.folder, name or device.folder.name, device.title, details, device.tool, on_phone=True)
    order = {name: index for index, name in enumerate(device.models)}
    groups: dict[tuple, list[Run]] = {}
    for run in device.runs:
        groups.setdefault((run.model, run.backend, run.threads), []).append(run)
    rows = []
    for model, backend, threads in sorted(groups, key=lambda g: (order.get(g[0], len(order)), g[0], g[1], g[2])):
        rows += _rows_of(source, device, model, backend, threads, groups[model, backend, threads])
    return rows


def _rows_of(
    source: Source, device: Device, model: str, backend: str, threads: int, runs: Sequence[Run]
) -> list[Measurement]:
    known = device.models.get(model)
    if known and known.arrived is False:
        return []  # `Device.notes` say so
    latency = sorted((run for run in runs if run.kind == "latency"), key=lambda run: run.round)
    good = [run for run in latency if run.failure is None]
    failures = _failures(latency)
    by_processor: dict[str, list[Run]] = {}
    for run in good:
        by_processor.setdefault(run.log.ran_on, []).append(run)
    asked = {
        "source": source,
        "network": network_of(model),
        "file": model,
        "sha256": known.sha256 if known else None,
        "sha256_device": known.sha256_device if known else None,
        "file_mb": known.bytes / 1e6 if known and known.bytes else None,
        "backend": backend,
        "threads": threads,
    }
    if not by_processor:
        return [_row(asked, "", [], runs, failures, ())] if latency else []
    rows = []
    for ran_on, mine in by_processor.items():
        split = ()
        if len(by_processor) > 1:
            others = ", ".join(f"{len(o)} on {processor(k)}" for k, o in by_processor.items() if k != ran_on)
            split = (f"the rounds disagree: {len(mine)} on {processor(ran_on)}, {others}",)
        rows.append(_row(asked, ran_on, mine, runs, failures, split))
        failures = ()
    return rows


def _row(asked: dict, ran_on: str, mine: Sequence[Run], runs, failures, split) -> Measurement:
    logs = [run.log for run in mine]
    statistic = "median" if logs and all(log.median_ms is not None for log in logs) else "average"
    extra = [run for run in runs if run.failure is None and run.log.ran_on == ran_on]
    memory = [run.log for run in extra if run.kind == "memory"]
    profiles = [run.log.operators for run in extra if run.kind == "profile" and run.log.operators]
    temperatures = [t for run in mine for t in run.battery_celsius if t is not None]
    return Measurement(
        **asked,
        ran_on=ran_on,
        rounds=tuple(run.round for run in mine),
        round_ms=tuple(log.median_ms if statistic == "median" else log.avg_ms for log in logs),
        statistic=statistic,
        first_ms=_median(log.first_ms for log in logs),
        init_ms=_median(log.init_ms for log in logs),
        inferences=sum(log.count for log in logs) if logs and all(log.count is not None for log in logs) else None,
        delegate=next((log.delegate for log in logs if log.delegate), None),
        delegated=" or ".join(dict.fromkeys(_delegated(log) for log in logs)),
        memory_overall_mb=_median(log.memory_overall_mb for log in memory),
        memory_peak_mb=_median(log.memory_peak_mb for log in memory),
        operators=_slowest(profiles[-1]) if profiles else (),
        masks=tuple(dict.fromkeys(run.mask for run in mine)),
        commands=tuple(dict.fromkeys(run.command for run in mine)),
        battery_celsius=(min(temperatures), max(temperatures)) if temperatures else None,
        flags=tuple(dict.fromkeys([*split, *_flags(mine, asked["threads"])])),
        remarks=tuple(dict.fromkeys(warning for log in logs for warning in log.warnings)),
        failures=failures,
    )


def _flags(runs: Sequence[Run], threads: int) -> list[str]:
    flags = []
    thermal = [value for run in runs for value in run.thermal]
    if any(run.thermal[0] != run.thermal[1] for run in runs if None not in run.thermal):
        flags.append("the thermal status changed during a run")
    if any(value for value in thermal):
        flags.append(f"thermal status {max(value for value in thermal if value is not None)}, not 0")
    if thermal and all(value is None for value in thermal):
        flags.append("the phone reports no thermal status")
    elif None in thermal:
        flags.append("the phone reported no thermal status in some rounds")
    if any(run.charging for run in runs):
        flags.append(CHARGING)
    warmest = max((t for run in runs for t in run.battery_celsius if t is not None), default=0)
    if warmest >= WARM_CELSIUS:
        flags.append(f"battery at {warmest:.1f} °C")
    for mask in dict.fromkeys(run.mask for run in runs):
        cores = _cores(mask)
        if cores is None:
            flags.append("threads not pinned")
        elif threads > cores:
            flags.append(f"{threads} threads on {cores} pinned core{'s' if cores > 1 else ''}")
    if len({run.mask for run in runs}) > 1:
        flags.append("pinned to other cores in some rounds")
    return flags


def _cores(mask: str) -> int | None:
    try:
        return int(mask, 16).bit_count() or None
    except ValueError:
        return None


def _failures(runs: Sequence[Run]) -> tuple[str, ...]:
    counts = Counter(run.failure for run in runs if run.failure)
    return tuple(f"{count} run{'s' if count > 1 else ''}: {why}" for why, count in counts.items())


def _delegated(log) -> str:
    if log.nodes_delegated is None:
        return "not said"
    return f"{log.nodes_delegated} of {log.nodes_total}" if log.nodes_total else str(log.nodes_delegated)


def _slowest(operators: Sequence[Operator]) -> tuple[Operator, ...]:
    """Of what the delegate did where the tool says so, else of the graph's nodes."""
    inside = [op for op in operators if op.in_delegate] or list(operators)
    timed = [op for op in inside if op.avg_ms is not None]
    return tuple(sorted(timed, key=lambda op: -op.avg_ms)[:TOP_OPERATORS])


def _median(values) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
