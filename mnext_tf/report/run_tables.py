"""The report's tables on runs and their files."""

from __future__ import annotations

from collections.abc import Sequence

from mnext_tf.benchmark.settings import untrained_classes
from mnext_tf.report.markdown import table
from mnext_tf.report.rows import Measurement
from mnext_tf.report.run_facts import Export, RunFacts, outputs_of
from mnext_tf.tflite import preflight
from mnext_tf.tflite.preflight import CPU, GPU


def accuracy(facts: Sequence[RunFacts]) -> str:
    """A table for each task, of a row for each checked export, data set by data set."""
    return "\n\n".join(filter(None, map(_accuracy, _by_task(facts))))


def _by_task(facts: Sequence[RunFacts]) -> list[list[RunFacts]]:
    names = sorted({f.task.name for f in facts})
    return [[f for f in facts if f.task.name == name] for name in names]


def _accuracy(facts: Sequence[RunFacts]) -> str:
    """Of one task; no accuracy without training or without labels."""
    task = facts[0].task
    metric = "" if task.metric == "accuracy" else f" {task.metric_title}"
    header = (
        f"network|run|data|precision|Keras{metric}, %|TFLite{metric}, %|change, points"
        f"|{task.agreement_title} as Keras, %|largest relative difference of {outputs_of(facts)}|images|check"
    )
    body = []
    for run in sorted(facts, key=lambda f: f.data):
        for export in run.exports:
            if not export.checks:
                continue
            keras, tflite = export.checks["keras"], export.checks["tflite"]
            known = run.run.trained and keras.metric is not None
            body.append(
                (
                    run.title,
                    run.name,
                    run.data,
                    export.precision_text,
                    f"{100 * keras.metric:.2f}" if known else "-",
                    f"{100 * tflite.metric:.2f}" if known else "-",
                    f"{100 * (tflite.metric - keras.metric):+.2f}" if known else "-",
                    f"{100 * tflite.agreement:.2f}",
                    "-" if tflite.max_relative_difference is None else f"{tflite.max_relative_difference:.1e}",
                    export.images,
                    _check(run, export),
                )
            )
    if not body:
        return ""
    notes = []
    if len({f.data for f in facts if f.measures_accuracy}) > 1:
        what = {"accuracy": "Accuracies"}.get(task.metric_title, f"Values of {task.metric_title}")
        notes.append(f"{what} on different data sets are not comparable.")
    if any(e.checks for f in facts if not f.measures_accuracy for e in f.exports):
        notes.append(f"No {task.metric_title}: the network was not trained, or its images have no labels.")
    return "\n\n".join([table(header.split("|"), body), *notes])


def _check(facts: RunFacts, export: Export) -> str:
    if export.passed:
        allowed = facts.tolerance_text(export)
        return f"passed ({allowed})" if allowed else "passed"
    return {False: "FAILED", None: "-"}[export.passed]


def sizes(facts: Sequence[RunFacts], rows: Sequence[Measurement]) -> str:
    """A row for each file: those of the runs, then those that were timed on this host and belong to none of them."""
    body = [
        (
            f.title,
            e.precision_text,
            f"{e.file_bytes / 1e6:.2f}",
            f.run.config.model.num_classes,
            f.run.config.model.input_size,
            f"{e.file.name} in {f.name}",
        )
        for f in facts
        for e in f.exports
    ]
    known = {e.sha256 for f in facts for e in f.exports}
    for row in rows:
        if row.sha256 not in known and not row.source.on_phone:
            known.add(row.sha256)
            classes = untrained_classes(row.network.model) if row.network and not row.name else "-"
            size, where = f"{row.file_mb:.2f}", f"{row.file} in {row.source.name}"
            body.append((row.title, row.precision_text, size, classes, row.input_size or "-", where))
    return table(("network", "precision", "MB (1e6 bytes)", "classes", "pixels", "file"), body) if body else ""


def processors(facts: Sequence[RunFacts]) -> str:
    """A row for each file of a run: which processors take it, and why they leave what they leave."""
    found = [(f, e, e.preflight) for f in facts for e in f.exports if e.preflight]
    if not found:
        return ""
    body = [
        (f.title, f.name, e.precision_text, preflight.summary(p, CPU), preflight.summary(p, GPU), p["note"] or "-")
        for f, e, p in found
    ]
    header = (
        "network",
        "run",
        "precision",
        "XNNPACK (CPU), tried",
        "GPU delegate, by its rules",
        "on the GPU",
    )
    return table(header, body, drop_empty=True)


def training(facts: Sequence[RunFacts]) -> str:
    """A table for each task, of a row for each run: its best epoch with all that was measured in it, and its last."""
    return "\n\n".join(map(_training, _by_task(facts)))


def _training(facts: Sequence[RunFacts]) -> str:
    metric, column = facts[0].task.metric_title, facts[0].metric_column
    header = (
        f"network|run|data|epochs|best epoch|validation {metric} there, %|of averaged weights, %|top-5, %|macro F1, %"
        f"|loss|{metric} in the last epoch, %"
    )
    body = []
    for f in facts:
        best, last = f.best, f.history[-1]
        row, prefix = f.history[best.epoch - 1], "ema_" * (best.weights == "ema")
        body.append(
            (
                f.title,
                f.name,
                f.data,
                f"{last['epoch']:.0f}",
                f"{best.epoch}" + " (averaged)" * bool(prefix),
                _percent(row[column]),
                *(_percent(row.get(name)) for name in (f"ema_{column}", f"{prefix}val_top5_accuracy")),
                _percent(row.get(f"{prefix}val_macro_f1")),
                f"{row[f'{prefix}val_loss']:.4f}",
                _percent(last[f"{prefix}{column}"]),
            )
        )
    return table(header.split("|"), body, drop_empty=True)


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.2f}"
