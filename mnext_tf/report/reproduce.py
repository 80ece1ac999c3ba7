"""How to repeat each number: commands, versions, hashes, devices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from mnext_tf.benchmark.results import Results, delegated_text
from mnext_tf.data.opening import EMBEDDED
from mnext_tf.device.browser import BrowserSession
from mnext_tf.device.session import Device
from mnext_tf.naming import CALIBRATED, OUTPUTS, command_line
from mnext_tf.report.markdown import code, code_block, decimals, escape_markdown, number, table
from mnext_tf.report.rows import Measurement, ordered
from mnext_tf.report.run_facts import Export, RunFacts
from mnext_tf.runs.config import RunConfig

_ORIGIN = {
    "trained": "trained on",
    "imported": "imported; checked on",
    "random": "not trained; checked and calibrated on",
}


def benchmark(results: Results, name: str) -> str:
    """Command, versions, and every file of a benchmark on this host."""
    row, load = results.rows[0], results.host["load_at_start"]
    times = ("median_ms", "min_ms", "p95_ms")
    places = decimals(r[time] for r in results.rows for time in times)
    busy = f"; load at the start {load[0]:.2f}" if load else ""
    about = (
        f"{results.date[:19]} UTC, {row['host_cpu']}{busy}; ai-edge-litert {row['litert_version']}, "
        f"TensorFlow {row['tensorflow_version']}, mnext-tf {row['mnext_tf_version']}"
    )
    header = "file|sha256|precision|threads|delegate|inferences|rounds|median of inferences, ms|min|p95"
    body = [
        (
            code(r["file"]),
            code(r["sha256"][:16]),
            *(r[column] for column in ("quantize", "threads", "delegate", "runs", "rounds")),
            *(number(r[time], places) for time in times),
        )
        for r in results.rows
    ]
    files = table(header.split("|"), body)
    return f"Benchmark {code(name)}, {escape_markdown(about)}:\n\n{code_block([results.command])}\n\n{files}"


def run(facts: RunFacts) -> str:
    """Commands of a run and its exports, and what they were made with."""
    config = facts.run.config
    about = f"{facts.title}, {_ORIGIN[config.init]} {facts.data}, seed {config.seed}; all settings in its config.json"
    parts = [f"Run {code(facts.name)}: {escape_markdown(about)}.", code_block(commands(facts))]
    body = [
        (
            e.precision_text,
            code(e.sha256[:16]),
            e.created[:19],
            ", ".join(f"{k} {v}" for k, v in e.versions.items()),
            delegated_text(e.nodes_delegated, e.nodes_total, e.not_delegated),
        )
        for e in facts.exports
    ]
    if body:
        parts.append(table(("precision", "sha256", "made, UTC", "versions", "on XNNPACK"), body))
    return "\n\n".join(parts)


def commands(facts: RunFacts) -> list[str]:
    """The command lines that make a run and its files."""
    config, folder = facts.run.config, facts.run.folder
    lines = []
    if facts.run.imported:
        lines.append(command_line("import_checkpoint", _import_flags(config, folder)))
    elif facts.run.trained and config.recipe:
        others = {"init": config.init_from, "teacher": config.teacher}
        recipe = {"task": config.task} if config.task == "detection" else {}
        recipe |= {**_fields(config.recipe), **_fields(config.recipe.detection), "detection": None}
        flags = {"model": config.model.name, **{flag: start.run for flag, start in others.items() if start}}
        flags |= {"out": folder, **_data_flags(config), **config.model.options}
        flags |= {name: value for name, value in recipe.items() if value is not None}
        lines.append(command_line("train", flags))
    if facts.run.config.init == "random" and config.task == "detection":
        flags = {"task": "detection", "models": config.model.name, "width": config.model.width}
        precisions = tuple(dict.fromkeys(export.precision for export in facts.exports))
        return [command_line("benchmark", flags | {"input_size": config.model.input_size, "quantize": precisions})]
    which = {"run": folder}
    if not facts.run.trained:
        names = ("width", "input_size", "num_classes", "identity_tensor_multiplier")
        which = {"init": "random", "model": config.model.name} | {n: getattr(config.model, n) for n in names}
    return [*lines, *(command_line("export_tflite", which | _export_flags(export)) for export in facts.exports)]


def _fields(record) -> dict:
    """Field -> value; of None nothing."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)} if record else {}


def _data_flags(config: RunConfig) -> dict:
    data = config.dataset
    if data.name in EMBEDDED and Path(data.folder).name == data.name:
        return {}
    flags = {"data_dir": data.folder}
    if data.cache_dir is not None:  # shards of others, which do not say all of it themselves
        flags |= {"label_offset": data.label_offset, "num_classes": len(config.class_names)}
        flags |= {"cache_dir": data.cache_dir}
        flags |= {"validation_share": data.validation_share} if data.validation_share else {}
    return flags


def _import_flags(config: RunConfig, folder: Path) -> dict:
    source, model = config.source, config.model
    flags = {"model": model.name, "checkpoint": source.file if source else "FILE", "out": folder, **_data_flags(config)}
    kept = ("input_size", "interpolation", *(("crop_fraction",) if config.preprocess.fit == "crop" else ()))
    flags |= {name: getattr(config.preprocess, name) for name in kept}
    flags |= {name: getattr(model, name) for name in ("mean", "std") if getattr(model, name) is not None}
    if model.identity_tensor_multiplier != 1:
        flags["identity_tensor_multiplier"] = model.identity_tensor_multiplier
    if source and source.entry:
        flags["entry"] = source.entry
    if source and source.drop_background:
        flags["drop_background"] = True
    if model.num_classes != 1000 and (folder / "frozen" / "labels.txt").is_file():
        flags["labels"] = folder / "frozen" / "labels.txt"
    flags.pop("validation_share", None)  # the command has no such flag
    return flags


def _export_flags(export: Export) -> dict:
    settings, flags = export.settings, {"quantize": export.precision}
    if export.variant:
        flags["output" if export.variant in OUTPUTS else "io_type"] = export.variant
    if "calibration_count" in settings and export.precision in CALIBRATED:
        flags["calibration_images"] = settings["calibration_count"]
    if "calibration_data" in settings:
        flags["calibration_data"] = settings["calibration_data"]["folder"]
    flags |= {
        name: settings[name] for name in ("effort", "sparse", "keep_float", "auto_keep_float") if name in settings
    }
    tolerance = settings.get("tolerance", {})
    flags |= {name: tolerance[name] for name in ("max_accuracy_drop", "min_agreement") if name in tolerance}
    about = settings.get("about", {})
    return flags | {name: text for name, text in about.items() if text != "not stated"}


def phone(device: Device, rows: Sequence[Measurement], name: str) -> str:
    """Phone, tool, files, and the exact command of every row."""
    session, about = device.session, device.device
    facts = [
        ("phone", f"{device.title} ({about.get('product') or '?'}, {about.get('device') or '?'})"),
        ("SoC", f"{device.soc}; maximum clocks of the cores {about.get('cpu_max_khz') or 'unknown'} kHz"),
        ("system", f"{device.android}, ABI {about.get('abi') or 'unknown'}"),
        ("build", code(about.get("build_fingerprint") or "unknown")),
        ("tool", f"{session.get('tool') or 'unknown'} ({device.tool}, {session.get('tool_abi') or 'unknown ABI'})"),
        ("tool's sha256", code(session.get("tool_sha256") or "unknown")),
        ("fixed performance mode", session.get("fixed_performance_mode") or "unknown"),
        ("pinned to", f"mask {session.get('mask') or 'none'}, cores {session.get('big_cores') or 'unknown'}"),
        ("measured", f"{session.get('started_utc') or '?'} to {session.get('finished_utc') or '(unfinished)'} UTC"),
    ]
    arrived = {True: "the same", False: "another file", None: "unknown"}
    files = [(n, m.bytes or "-", code(m.sha256 or "unknown"), arrived[m.arrived]) for n, m in device.models.items()]
    commands = [
        (row.title, row.precision_text, row.backend, row.threads, row.inferences or "-", code(command))
        for row in ordered(rows)
        for command in row.commands
    ]
    header = ("network", "precision", "asked for", "threads", "inferences", "command on the phone")
    parts = [
        f"Session {code(name)}:",
        code_block([session.get("command") or "benchmarks/run_adb.sh"]),
        table(("what", "value"), facts),
        table(("file", "bytes", "sha256 on the host", "on the phone"), files) if files else "",
        table(header, commands) if commands else "",
    ]
    return "\n\n".join(part for part in parts if part)


def browser(session: BrowserSession, rows: Sequence[Measurement]) -> str:
    """The browser, the device as it describes itself, and the files of a session in a browser."""
    facts = [
        *((k, v) for k, v in session.facts.items() if v),
        ("GPU", session.gpu or "not used"),
        ("measured", session.started),
    ]
    body = [(row.title, row.precision_text, code(row.file), code((row.sha256 or "unknown")[:16])) for row in rows]
    files = list(dict.fromkeys(body))
    about = (
        f"Session {code(session.folder.name)}, {escape_markdown(session.runtime)}, on the page of `pipelines.serve`:"
    )
    parts = [about, table(("what", "value"), facts), table(("network", "precision", "file", "sha256"), files)]
    return "\n\n".join(parts)
