"""The report's tables on runs and their files."""

from __future__ import annotations

from collections.abc import Sequence

from mnext_tf.report.markdown import table
from mnext_tf.report.rows import Measurement
from mnext_tf.report.run_facts import Export, RunFacts


def accuracy(facts: Sequence[RunFacts]) -> str:
    """A row for each checked export, data set by data set; no accuracy without training or without labels."""
    header = (
        "network|run|data|precision|Keras, %|TFLite, %|change, points|same top-1 as Keras, %"
        "|largest relative difference of logits|images|check"
    )
    body = []
    for run in sorted(facts, key=lambda f: f.data):
        for export in run.exports:
            if not export.checks:
                continue
            keras, tflite = export.checks["keras"], export.checks["tflite"]
            known = run.run.trained and keras.accuracy is not None
            body.append(
                (
                    run.title,
                    run.name,
                    run.data,
                    export.precision_text,
                    f"{100 * keras.accuracy:.2f}" if known else "-",
                    f"{100 * tflite.accuracy:.2f}" if known else "-",
                    f"{100 * (tflite.accuracy - keras.accuracy):+.2f}" if known else "-",
                    f"{100 * tflite.top1_agreement:.2f}",
                    f"{tflite.max_relative_difference:.1e}",
                    export.images,
                    _check(run, export),
                )
            )
    if not body:
        return ""
    notes = []
    if len({f.data for f in facts if f.measures_accuracy}) > 1:
        notes.append("Accuracies on different data sets are not comparable.")
    if any(e.checks for f in facts if not f.measures_accuracy for e in f.exports):
        notes.append("No accuracy: the network was not trained, or its images have no labels.")
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
            classes = "-" if row.name else 1000
            size, where = f"{row.file_mb:.2f}", f"{row.file} in {row.source.name}"
            body.append((row.title, row.precision_text, size, classes, row.network.input_size, where))
    return table(("network", "precision", "MB (1e6 bytes)", "classes", "pixels", "file"), body) if body else ""


# Of the best epoch, beside the accuracy: column of the history -> (header, factor)
_ALSO_MEASURED = {
    "val_accuracy": ("of the weights themselves, %", 100),
    "val_top5_accuracy": ("top-5, %", 100),
    "val_macro_f1": ("macro F1, %", 100),
}


def training(facts: Sequence[RunFacts]) -> str:
    """A row for each run: its best and its last epoch, with all that was measured, and what was published for it."""
    also = [n for n in _ALSO_MEASURED if any(n in f.best and n != f.best_column for f in facts)]
    header = ["network", "run", "data", "epochs", "best epoch", "validation accuracy there, %"]
    header += [_ALSO_MEASURED[name][0] for name in also]
    header += ["loss there", "published for that epoch, %", "accuracy in the last epoch, %"]
    body = []
    for f in facts:
        best, last = f.best, f.history[-1]
        published = f.curve.top1(int(best["epoch"])) if f.curve else None
        others = [(best.get(n) if n != f.best_column else None, _ALSO_MEASURED[n][1]) for n in also]
        body.append(
            (
                f.title,
                f.name,
                f.data,
                f"{last['epoch']:.0f}",
                f"{best['epoch']:.0f}",
                f"{100 * best[f.best_column]:.2f}",
                *("-" if value is None else f"{factor * value:.2f}" for value, factor in others),
                f"{best['val_loss']:.4f}",
                "-" if published is None else f"{published:.2f}",
                f"{100 * last.get(f.best_column, last['val_accuracy']):.2f}",
            )
        )
    return table(header, body, drop_empty=True)
