"""The report's part on several seeds: tables, a plot, seeds.csv and seeds.json."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.files import write_csv, write_json
from mnext_tf.report import plots
from mnext_tf.report.markdown import code, escape_markdown, table
from mnext_tf.report.seeds import Network, Pair, missing_evaluations

_HOW = (
    "A network is called better where both intervals leave out zero. Over seeds: Student's interval of the difference, "
    "paired by seed, for other trainings on the same images. Over images: each image votes for the network that is "
    "right in more of the trainings, and the interval of the difference of the votes is exact (McNemar), for other "
    "images of the same kind."
)


def section(out: Path, found: Sequence[Network], compared: Sequence[Pair]) -> str:
    """ "" where no network was trained with several seeds."""
    if not found:
        return ""
    _write_data(out, found, compared)
    plots.seeds(out / "seeds.png", found)
    parts = ["## Comparison over seeds", _networks(found), f"![Validation {_metrics(found)} of every seed](seeds.png)"]
    if compared:
        parts += [_pairs(compared), "\n".join(f"- {escape_markdown(pair.verdict)}" for pair in compared), _HOW]
        if any(network.task.name == "detection" for network in found):
            parts.append("Detectors are compared over seeds alone: mAP50 has no share of a single image.")
        if len({pair.first.data for pair in compared}) < len(compared):
            parts.append(
                "With more than two networks the intervals are wider, so that all of them together hold at 95 %."
            )
    if lines := missing_evaluations(found):
        parts.append("Not every run was evaluated image by image: " + ", ".join(code(line) for line in lines) + ".")
    return "\n\n".join(parts)


def _networks(found: Sequence[Network]) -> str:
    header = f"network|data|seeds|mean validation {_metrics(found)}, %|standard deviation, points|range, %|best seed"
    body = [
        (
            network.label,
            network.data,
            ", ".join(map(str, network.trainings)),
            f"{network.mean:.2f}",
            f"{network.deviation:.2f}",
            f"{min(network.values):.2f}-{max(network.values):.2f}",
            max(network.trainings.values(), key=lambda training: training.value).seed,
        )
        for network in found
    ]
    return table(header.split("|"), body)


def _metrics(found: Sequence[Network]) -> str:
    return " or ".join(dict.fromkeys(network.task.metric_title for network in found))


def _pairs(compared: Sequence[Pair]) -> str:
    header = (
        "first|second|data|seeds|difference, points|interval over seeds|images|votes for the first|for the second"
        "|interval over images, points"
    )
    body = [
        (
            pair.first.label,
            pair.second.label,
            pair.first.data,
            len(pair.seeds),
            "-" if pair.difference is None else f"{pair.difference:+.2f}",
            _interval(pair.interval),
            *((pair.votes.images, pair.votes.first, pair.votes.second) if pair.votes else "---"),
            _interval(pair.votes.interval if pair.votes else None),
        )
        for pair in compared
    ]
    return table(header.split("|"), body, drop_empty=True)


def _interval(ends: tuple[float, float] | None) -> str:
    return "-" if ends is None else f"{ends[0]:+.2f} to {ends[1]:+.2f}"


def _write_data(out: Path, found: Sequence[Network], compared: Sequence[Pair]) -> None:
    """A row for each training, and all numbers of the tables with all their digits; accuracy and mAP50 in percent."""
    write_csv(
        out / "seeds.csv",
        [
            {
                "network": network.label,
                "data": network.data,
                "run": str(training.facts.run.folder),
                "seed": seed,
                f"val_{network.task.metric}": training.value,
                "images": len(training.answers.images) if training.answers else None,
            }
            for network in found
            for seed, training in network.trainings.items()
        ],
    )
    networks = [
        {
            "network": network.label,
            "data": network.data,
            "seeds": list(network.trainings),
            f"val_{network.task.metric}": network.values,
            "mean": network.mean,
            "standard_deviation": network.deviation,
        }
        for network in found
    ]
    pairs = [
        {
            "first": pair.first.label,
            "second": pair.second.label,
            "data": pair.first.data,
            "seeds": list(pair.seeds),
            "confidence": pair.confidence,
            "difference": pair.difference,
            "interval_over_seeds": pair.interval,
            "images": pair.votes and pair.votes.images,
            "images_for_first": pair.votes and pair.votes.first,
            "images_for_second": pair.votes and pair.votes.second,
            "interval_over_images": pair.votes and pair.votes.interval,
            "verdict": pair.verdict,
        }
        for pair in compared
    ]
    write_json(out / "seeds.json", {"networks": networks, "pairs": pairs})
