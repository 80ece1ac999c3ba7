"""Rows from a session in a browser. Its backends are wasm and webgpu: no row stands with those of native code."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np

from mnext_tf.benchmark.timing import Ratio
from mnext_tf.device.browser import BACKENDS, BrowserRun, BrowserSession
from mnext_tf.naming import network_of
from mnext_tf.report.rows import Measurement, Source, ordered

_DELEGATED = {"webgpu_partial": "a part", "webgpu": "all", "wasm": "all"}


def browser_rows(session: BrowserSession, name: str = "") -> list[Measurement]:
    """In order; ratios are to the first network, MobileNetV2 where it is there, that was asked for in the same way."""
    facts = session.facts
    about = ", ".join(filter(None, [session.title, facts.get("cores") and f"{facts['cores']} cores", session.gpu]))
    source = Source(
        session.folder,
        name or session.folder.name,
        session.title,
        about,
        f"{session.runtime} in a browser",
        on_phone=False,
    )
    rows = [_row(source, session, run) for run in session.runs]
    first = {}
    for row in ordered(map(_without_softmax, rows)):
        if row.round_ms:
            first.setdefault(_group(row), row)
    return [dataclasses.replace(row, ratio=_ratio(row, first.get(_group(row), row))) for row in ordered(rows)]


def _group(row: Measurement) -> tuple:
    return row.backend, row.threads, _without_softmax(row).precision_text, row.input_size


def _without_softmax(row: Measurement) -> Measurement:
    """A softmax takes next to no time: files with and without one are compared."""
    if row.network is None:
        return row
    variant = row.network.variant.removesuffix("probabilities").rstrip("_")
    return dataclasses.replace(row, network=dataclasses.replace(row.network, variant=variant))


def _ratio(row: Measurement, first: Measurement) -> Ratio | None:
    count = min(len(row.round_ms), len(first.round_ms))
    if not count:
        return None
    by_round = np.divide(row.round_ms[:count], first.round_ms[:count])
    return Ratio(*(float(np.quantile(by_round, share)) for share in (0.5, 0.25, 0.75)))


def _row(source: Source, session: BrowserSession, run: BrowserRun) -> Measurement:
    model = next(model for model in session.models if model.name == run.model)
    software = session.gpu_is_software and run.ran_on.startswith("webgpu")
    return Measurement(
        source=source,
        network=network_of(model.network or run.model),
        name=model.run,
        kind=(model.input_size, model.precision or "-") if model.input_size else None,
        file=run.model,
        sha256=model.sha256 or None,
        sha256_device=model.sha256 or None,
        file_mb=model.bytes / 1e6 if model.bytes else None,
        backend=run.backend,
        threads=run.threads,
        ran_on="software_gpu" if software else run.ran_on,
        adapter=session.gpu if run.backend == "webgpu" else "",
        rounds=tuple(range(1, len(run.rounds) + 1)),
        round_ms=tuple(statistics.median(times) for times in run.rounds),
        inferences=sum(map(len, run.rounds)) or None,
        first_ms=run.first_ms,
        init_ms=run.compile_ms,
        delegate=BACKENDS.get(run.ran_on.removesuffix("_partial")),
        delegated=_DELEGATED.get(run.ran_on, ""),
        flags=_flags(run, session),
        failures=(f"1 run: {run.error}",) if run.error else (),
    )


def _flags(run: BrowserRun, session: BrowserSession) -> tuple[str, ...]:
    flags = []
    if session.facts.get("isolated") == "no":
        flags.append("the browser rounds the times, to 0.1 ms or coarser: the page was not isolated")
    if run.rounds and len(run.rounds) < 5:
        flags.append(f"{len(run.rounds)} rounds only")
    return tuple(flags)


def summary_line(rows: Sequence[Measurement]) -> str:
    """The newest session's networks on the processor that it measured first, in words."""
    measured = [row for row in rows if row.round_ms and row.ratio]
    if not measured:
        return "Browser: nothing was measured."
    last = [row for row in measured if row.source == measured[-1].source]
    mine = [row for row in last if _group(row) == _group(last[0])]
    words = ", ".join(
        f"{row.title} {row.median_ms:.3g} ms" + ("" if row.ratio.is_reference else f" (×{row.ratio.median:.2f})")
        for row in mine
    )
    return f"Browser ({mine[0].source.platform}, {mine[0].asked.replace('WASM', 'WebAssembly')}): {words}."
