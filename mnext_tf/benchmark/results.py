"""The results of a benchmark: benchmark.csv for people and spreadsheets, benchmark.json with every detail."""

from __future__ import annotations

import csv
import dataclasses
import os
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.benchmark.gpu import Adapter
from mnext_tf.benchmark.keras_networks import full_name
from mnext_tf.benchmark.timing import CaseResult
from mnext_tf.errors import DataError
from mnext_tf.files import read_json, sha256, write_csv, write_json
from mnext_tf.naming import command_line, network_of
from mnext_tf.provenance import now, versions
from mnext_tf.text import printable
from mnext_tf.tflite.operators import size_and_precision

# model, width, identity_tensor_multiplier: None for a file whose name does not tell its network. quantize: the
# precision. name: of the run or the file that was timed, "" for an untrained network. accuracy_check: "passed" at the
# export, "not checked" (exported for timing alone), "untrained"; None where it is unknown.
COLUMNS = (
    *("model", "width", "input_size", "quantize", "delegate", "adapter", "threads", "runs", "rounds", "init_ms"),
    *("min_ms", "median_ms", "p95_ms", "mean_ms", "std_ms", "ratio", "ratio_p25", "ratio_p75", "peak_memory_mb"),
    *("file", "file_mb", "sha256", "nodes_delegated", "nodes_total", "not_delegated", "host_cpu"),
    *("litert_version", "tensorflow_version", "mnext_tf_version", "date", "name", "accuracy_check"),
    "identity_tensor_multiplier",
)
JSON_ONLY = ("round_medians_ms", "peak_memory_reason", "gpu_difference")


@dataclass(frozen=True)
class Results:
    """One benchmark folder. `rows` hold `COLUMNS` and `JSON_ONLY`; times in ms, sizes in 1e6 bytes,
    `file` relative to `folder`, `not_delegated` a list of operator names. `delegate` is xnnpack, gpu, or
    software_gpu where the `adapter` (None with xnnpack) computes on the CPU; `gpu_difference` is the result
    of `gpu.check_on_gpu`."""

    folder: Path
    command: str  # that makes these results again
    settings: dict  # fields of `suite.Settings`
    made_of: str  # hash of settings, files, versions, and host
    host: dict  # cpu, cores, load_at_start (over 1, 5, and 15 minutes; None if unknown), platform
    rows: list[dict]

    @property
    def date(self) -> str:
        return self.rows[0]["date"]


def describe_host() -> dict:
    """The host's processor and its current load."""
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "load_at_start": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "platform": platform.platform(),
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name" and value.strip():
                return value.strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "unknown"


def make_rows(
    results: Sequence[CaseResult],
    delegations: dict[Path, object],
    host: dict,
    folder: Path,
    *,
    adapter: Adapter | None = None,
    gpu_differences: dict[Path, float] | None = None,
) -> list[dict]:
    """Rows for `write_results`. `delegations` has a `tflite.operators.Delegation` for each file; `adapter`
    and `gpu_differences` are for cases on the GPU, which runs all of a file or is refused."""
    used, date = versions(), now()

    def row(r: CaseResult) -> dict:
        case, nodes, on_cpu = r.case, delegations[r.case.file], r.case.delegate == "cpu"
        network = case.network
        kind = (network.input_size, network.precision) if network else size_and_precision(case.file)
        return {
            "model": network.model if network else None,
            "width": network.width if network else None,
            "input_size": kind[0],
            "quantize": kind[1],
            "delegate": "xnnpack" if on_cpu else "software_gpu" if adapter.software else "gpu",
            "adapter": None if on_cpu else str(adapter),
            "gpu_difference": None if on_cpu else gpu_differences[case.file],
            "nodes_delegated": nodes.nodes_delegated if on_cpu else nodes.nodes_total,
            "nodes_total": nodes.nodes_total,
            "not_delegated": list(nodes.left) if on_cpu else [],
            "threads": case.threads,
            "runs": sum(map(len, r.run_ms)),
            "rounds": len(r.run_ms),
            **r.numbers,
            "file": Path(os.path.relpath(case.file, folder)).as_posix(),
            "file_mb": case.file.stat().st_size / 1e6,
            "sha256": sha256(case.file),
            "host_cpu": f"{host['cpu']}, {host['cores']} cores",
            "litert_version": used.get("ai-edge-litert"),
            "tensorflow_version": used.get("tensorflow"),
            "mnext_tf_version": used["mnext_tf"],
            "date": date,
            "name": case.name,
            "accuracy_check": case.accuracy_check,
            "identity_tensor_multiplier": network.share if network else None,
            "round_medians_ms": r.round_medians_ms,
            "peak_memory_reason": r.peak_memory_reason,
        }

    return list(map(row, results))


def write_results(results: Results) -> None:
    """`benchmark.json`, then `benchmark.csv`, whose presence means that both are complete."""
    content = dataclasses.asdict(results)
    del content["folder"]  # it may be moved
    write_json(results.folder / "benchmark.json", content)
    write_csv(results.folder / "benchmark.csv", [_csv_row(row) for row in results.rows])


def _csv_row(row: dict) -> dict:
    plain = {column: row[column] for column in COLUMNS}
    plain = {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in plain.items()}
    names = row["not_delegated"]
    return {**plain, "not_delegated": "; ".join(names) if len(names) <= MOST_NAMES else summarize_operators(names)}


def read_results(folder: Path) -> Results:
    """Read a benchmark folder; DataError says what is missing or damaged and how to make it again."""
    folder = Path(folder)
    again = f"`{command_line('benchmark', {'out': folder, 'force': True})}` makes it"
    for name in ("benchmark.json", "benchmark.csv"):
        if not (folder / name).is_file():
            raise DataError(f"{folder} holds no benchmark: there is no {name}. {again}.")
    try:
        with open(folder / "benchmark.csv", newline="", encoding="utf-8") as f:
            csv_rows = list(csv.DictReader(f))
        content = read_json(folder / "benchmark.json")
        results = Results(folder, **{f.name: content[f.name] for f in dataclasses.fields(Results)[1:]})
        for row in results.rows:
            for name in ("adapter", "gpu_difference", "accuracy_check"):  # later columns
                row.setdefault(name, None)
            row.setdefault("name", "")
            row["model"] = full_name(row["model"])
            named = network_of(Path(row["file"]).stem)
            share = named.share if named and named.model == row["model"] else 1.0
            row.setdefault("identity_tensor_multiplier", share)
            missing = [column for column in [*COLUMNS, *JSON_ONLY] if column not in row]
            if missing:
                raise KeyError(", ".join(missing))
    except (ValueError, KeyError, TypeError) as e:
        what = f"lacks {e}" if isinstance(e, KeyError) else e
        raise DataError(f"The benchmark in {folder} is damaged ({what}). {again} again.") from e
    if not results.rows or [r["sha256"] for r in csv_rows] != [r["sha256"] for r in results.rows]:
        raise DataError(f"benchmark.csv and benchmark.json in {folder} belong to different benchmarks. {again} again.")
    return results


MOST_NAMES = 3


def summarize_operators(names: Sequence[str]) -> str:
    """ "12 CONV_2D, 1 MEAN, first CONV_2D stem": counts by operator; names where they are few.

    A dynamic-range file leaves every convolution to the CPU's own kernels, each with a name of several layers.
    """
    short = [printable(name[:80]) for name in names]
    counts = Counter(name.split(" ")[0] for name in short)
    if len(short) > MOST_NAMES:
        short = [*(f"{count} {operator}" for operator, count in counts.items()), f"first {short[0]}"]
    return ", ".join(short)


def delegated_text(delegated: int, total: int, left: Sequence[str]) -> str:
    return f"{delegated} of {total}" + (f" (left: {summarize_operators(left)})" if left else "")


def ratio_text(ratio: float, p25: float, p75: float) -> str:
    """Median and quartiles, or that the others are compared with this one."""
    return "reference" if p25 == p75 == ratio == 1 else f"{ratio:.3f} ({p25:.3f} .. {p75:.3f})"


def format_table(rows: Sequence[dict]) -> str:
    """The rows for a terminal: one line each, and the GPU's name below."""
    header = "model|width|pixels|precision|on|threads|median ms|min .. p95|ratio (quartiles)|MB|MB peak|nodes delegated"
    lines = [header.split("|")]
    for row in rows:
        peak = row["peak_memory_mb"]
        lines.append(
            (
                printable(
                    f"{row['model']} ({row['name']})" if row["model"] and row["name"] else row["model"] or row["name"]
                ),
                "-" if row["width"] is None else f"{row['width']:g}",
                str(row["input_size"]),
                row["quantize"],
                row["delegate"],
                str(row["threads"]),
                f"{row['median_ms']:.2f}",
                f"{row['min_ms']:.2f} .. {row['p95_ms']:.2f}",
                ratio_text(row["ratio"], row["ratio_p25"], row["ratio_p75"]),
                f"{row['file_mb']:.2f}",
                "-" if peak is None else f"{peak:.1f}",
                delegated_text(row["nodes_delegated"], row["nodes_total"], row["not_delegated"]),
            )
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    left = (0, 3, 4, 11)  # columns aligned to the left
    table = [
        "  ".join(
            c.ljust(w) if i in left else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    adapters = dict.fromkeys((row["delegate"], row["adapter"]) for row in rows if row["adapter"])
    return "\n".join([*table, *(f"{on}: {printable(adapter)}{_caution(on)}" for on, adapter in adapters)])


def _caution(delegate: str) -> str:
    software = "\n  It computes on the CPU: these times show that the files run; they are not a GPU's."
    return software if delegate == "software_gpu" else ""
