"""The report's tables, in Markdown."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence

from mnext_tf.benchmark.results import Results, ratio_text
from mnext_tf.report import published
from mnext_tf.report.markdown import decimals, markdown, number, span, threads
from mnext_tf.report.run_facts import Export, RunFacts, row_title


def measured_latency(results: Results) -> str:
    rows = sorted(
        results.rows,
        key=lambda r: (
            *(-r["input_size"], _index(r["quantize"]), r["delegate"] != "xnnpack", r["threads"]),
            published.ORDER.get(r["model"], 1),
        ),
    )
    places = {
        on_cpu: decimals(ms for r in rows if (r["delegate"] == "xnnpack") is on_cpu for ms in r["round_medians_ms"])
        for on_cpu in (True, False)
    }

    def fastest_to_slowest(row: dict) -> str:
        return span(row["round_medians_ms"], places[row["delegate"] == "xnnpack"])

    header = "network|CPU, ms|GPU, ms|platform|pixels|type|ratio (quartiles)|init, ms|peak memory, MB|nodes delegated"
    body = [
        (
            row_title(r) + (" (ours)" if r["model"] == published.OURS else ""),
            f"{fastest_to_slowest(r)} ({threads(r['threads'])})" if r["delegate"] == "xnnpack" else "-",
            {"gpu": fastest_to_slowest(r), "software_gpu": f"no GPU: {fastest_to_slowest(r)} in software"}.get(
                r["delegate"], "-"
            ),
            f"TF Lite, {r['adapter'] or results.host['cpu']}",
            r["input_size"],
            r["quantize"],
            ratio_text(r),
            f"{r['init_ms']:.1f}",
            "-" if r["peak_memory_mb"] is None else f"{r['peak_memory_mb']:.1f}",
            _delegated(r["nodes_delegated"], r["nodes_total"], r["not_delegated"]),
        )
        for r in rows
    ]
    first = row_title(results.rows[0])
    measures_gpu = any(r["delegate"] != "xnnpack" for r in results.rows)
    gpu = "" if measures_gpu else " GPU: not measured on this host."
    untrained = "" if results.settings["runs"] else " The networks have random weights and 1000 classes."
    note = (
        f"CPU: the medians of {results.rows[0]['rounds']} rounds, fastest to slowest; networks took turns within each "
        f"round. Ratio: time over that of {first} of the same type, size and threads, taken within each round, "
        "which on a busy host says more than the quotient of the medians. "
        f"Init: the interpreter built and its tensors allocated.{gpu}{untrained}"
    )
    return f"{note}\n\n{markdown(header.split('|'), body)}"


def published_latency() -> str:
    rows = [(name, cpu, gpu, "Google Pixel 4, TF Lite (published)") for name, cpu, gpu in published.LATENCY]
    return (
        "### Published by the MobileNeXt authors, not measured here\n\n"
        f"From the table in {published.MNEXT_LINK}. A phone and a runtime of 2020: compare within this table only.\n\n"
        + markdown(("network", "CPU, ms", "GPU, ms", "platform"), rows)
    )


def accuracy(facts: Sequence[RunFacts]) -> str:
    """A row for each checked export; no accuracy without training or without labels."""
    header = (
        "network|run|file|Keras, %|TFLite, %|change, points|same top-1 as Keras, %"
        "|largest relative difference of logits|images|check"
    )
    body = []
    for facts_of_run in facts:
        for export in facts_of_run.exports:
            if not export.checks:
                continue
            keras, tflite = export.checks["keras"], export.checks["tflite"]
            known = facts_of_run.run.trained and keras.accuracy is not None
            body.append(
                (
                    facts_of_run.title,
                    facts_of_run.run.name,
                    export.label,
                    f"{100 * keras.accuracy:.2f}" if known else "-",
                    f"{100 * tflite.accuracy:.2f}" if known else "-",
                    f"{100 * (tflite.accuracy - keras.accuracy):+.2f}" if known else "-",
                    f"{100 * tflite.top1_agreement:.2f}",
                    f"{tflite.max_relative_difference:.1e}",
                    export.images,
                    _check(facts_of_run, export),
                )
            )
    if not body:
        return ""
    without = any(e.checks for f in facts if not f.measures_accuracy for e in f.exports)
    note = "\n\nNo accuracy: the network was not trained, or its images have no labels." if without else ""
    return markdown(header.split("|"), body) + note


def _check(facts: RunFacts, export: Export) -> str:
    if export.passed and facts.compares_loosely(export):
        return "passed (untrained: difference only)"
    return {True: "passed", False: "FAILED", None: "-"}[export.passed]


def sizes(facts: Sequence[RunFacts], timed: Sequence[Results]) -> str:
    """A row for each file: those of the runs, then those that were timed and belong to none of them."""
    body = [
        (
            f.title,
            e.label,
            f"{e.file_bytes / 1e6:.2f}",
            f.run.config.model.num_classes,
            f.run.config.model.input_size,
            f"`{e.file.name}` in {f.run.name}",
        )
        for f in facts
        for e in f.exports
    ]
    known = {e.sha256 for f in facts for e in f.exports}
    for results in timed:
        for row in results.rows:
            if row["sha256"] not in known:
                known.add(row["sha256"])
                source = f"`{row['file']}` in {results.folder.name}"
                name = row_title(row)
                classes = "-" if results.settings["runs"] else 1000
                body.append((name, row["quantize"], f"{row['file_mb']:.2f}", classes, row["input_size"], source))
    return markdown(("network", "type", "MB (1e6 bytes)", "classes", "pixels", "file"), body) if body else ""


def training(facts: Sequence[RunFacts]) -> str:
    body = [
        (
            f.title,
            f.run.name,
            f.run.config.dataset.name,
            f"{f.history[-1]['epoch']:.0f}",
            f"{f.history[-1]['val_loss']:.4f}",
            f"{100 * f.history[-1]['val_accuracy']:.2f}",
        )
        for f in facts
    ]
    return markdown(("network", "run", "data", "epochs", "validation loss", "validation accuracy, %"), body)


def reproduce(facts: Sequence[RunFacts], timed: Sequence[Results]) -> str:
    """For every number: command, versions, file hash, device, threads, inferences."""
    parts = ["## How to get each number again"]
    for results in timed:
        row = results.rows[0]
        times = ("median_ms", "min_ms", "p95_ms")
        places = decimals(r[name] for r in results.rows for name in times)
        load = results.host["load_at_start"]
        busy = f"; load at the start {load[0]:.2f}" if load else ""
        parts += [
            f"Benchmark `{results.folder.name}`, {results.date[:19]} UTC, {row['host_cpu']}{busy}; "
            f"ai-edge-litert {row['litert_version']}, TensorFlow {row['tensorflow_version']}, "
            f"mnext-tf {row['mnext_tf_version']}:",
            f"```\n{results.command}\n```",
            markdown(
                ("file", "sha256", "type", "threads", "delegate", "inferences", "rounds", "median ms", "min", "p95"),
                [
                    (
                        f"`{r['file']}`",
                        f"`{r['sha256'][:16]}`",
                        r["quantize"],
                        r["threads"],
                        r["delegate"],
                        r["runs"],
                        r["rounds"],
                        *(number(r[name], places) for name in times),
                    )
                    for r in results.rows
                ],
            ),
        ]
    for f in facts:
        rows = [
            (
                e.label,
                f"`{e.sha256[:16]}`",
                e.created[:19],
                ", ".join(f"{k} {v}" for k, v in e.versions.items()),
                _delegated(e.nodes_delegated, e.nodes_total, e.not_delegated),
            )
            for e in f.exports
        ]
        made = f"{f.run.config.dataset.name}, seed {f.run.config.seed}; all settings in its config.json"
        parts.append(f"Run `{f.run.name}`: {f.title}, {_ORIGIN[f.run.config.init]} {made}.")
        parts.append("```\n" + "\n".join(commands(f)) + "\n```")
        if rows:
            parts.append(markdown(("type", "sha256", "made, UTC", "versions", "on XNNPACK"), rows))
    if timed or any(f.exports for f in facts):
        parts.append("Hashes are cut to 16 digits above; benchmark.csv and each manifest.json hold them whole.")
    return "\n\n".join(parts)


_ORIGIN = {
    "trained": "trained on",
    "imported": "imported; checked on",
    "random": "not trained; checked and calibrated on",
}


def commands(facts: RunFacts) -> list[str]:
    """The command lines that make a run and its files."""
    config, lines = facts.run.config, []
    if facts.run.imported:
        given = {"model": config.model.name, "checkpoint": config.source.file, "out": facts.run.folder}
        lines.append(_command_line("import_checkpoint", given))
    elif config.recipe and facts.run.trained:
        data = {} if config.dataset.name == "digits" else {"data_dir": config.dataset.folder}
        source = {"init": config.init_from.run} if config.init_from else {}
        given = {"model": config.model.name, **source, "out": facts.run.folder, **data}
        given |= config.model.options | {
            f.name: getattr(config.recipe, f.name) for f in dataclasses.fields(config.recipe)
        }
        lines.append(_command_line("train", given))
    for export in facts.exports:
        quantize, _, rest = export.label.partition("_")
        more = {"output": rest} if rest == "probabilities" else {"io_type": rest} if rest else {}
        given = {"run": facts.run.folder, "quantize": quantize} | more
        lines.append(_command_line("export_tflite", given))
    return lines


def _command_line(command: str, given: dict) -> str:
    return f"python -m pipelines.{command} " + " ".join(shlex.quote(f"--{k}={v}") for k, v in given.items())


def _delegated(delegated: int, total: int, left: Sequence[str]) -> str:
    return f"{delegated}/{total}" + (f" (left: {', '.join(left)})" if left else "")


def _index(quantize: str) -> int:
    order = ("float32", "float16", "dynamic", "int8")
    return order.index(quantize) if quantize in order else len(order)
