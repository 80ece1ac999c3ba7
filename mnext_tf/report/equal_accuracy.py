"""Who is faster at equal published top-1, in words and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.files import write_csv
from mnext_tf.naming import network_title
from mnext_tf.report import published
from mnext_tf.report.accuracy_latency import Comparison, Point, Ratio, by_later_recipes, headline, ratios
from mnext_tf.report.markdown import escape_markdown

OURS = published.OURS


def name_of(model: str) -> str:
    """MobileNetV2, without a width."""
    return network_title(model, 1.0).removesuffix(" 1.0")


def answers(comparison: Comparison) -> list[str]:
    """A sentence for each rival: who is faster, or why that cannot be said."""
    where = escape_markdown(f"{comparison.where}, {comparison.precision}")
    rivals = comparison.rivals or ["mobilenet_v2"]
    ours = comparison.curves.get(OURS, [])
    return [f"{where}: {_answer(rival, ours, comparison.curves.get(rival, []))}" for rival in rivals]


def _answer(rival: str, ours: Sequence[Point], theirs: Sequence[Point]) -> str:
    found = headline(ours, theirs)
    if found is None:
        return _why_not(rival, ours, theirs)
    point, chosen = found
    our_name, their_name = name_of(OURS), name_of(rival)
    all_of_it = [ratio.median for _, ratio in ratios(ours, theirs)]
    low, high = (ratios(ours, theirs)[i][1].top1 for i in (0, -1))
    owner = f", {network_title(point.model, point.width)}'s" if point in theirs else ""
    span = f"; from {low:.1f} to {high:.1f} % it takes {min(all_of_it):.2f} to {max(all_of_it):.2f} of it"
    later = headline(ours, by_later_recipes(theirs))
    recipes = ""
    if later:
        recipes = (
            f" Against the best top-1 that later recipes published for {their_name} ({later[1].top1:.1f} %) it takes "
            f"{later[1].median:.2f} of its time."
        )
    several = len({p.source for p in [*ours, *theirs]}) > 1
    return (
        f"at equal published top-1 ({chosen.top1:.1f} %{owner}; interpolated between the measured widths) "
        f"{_verdict(our_name, their_name, chosen)}: {our_name} takes {chosen.median:.2f} of {their_name}'s time"
        f"{_over_rounds(chosen)}{span if low < high else ''}.{recipes}"
        + (" The widths were not all measured in one session: what changed in between is in these numbers." * several)
    )


def _verdict(our_name: str, their_name: str, ratio: Ratio) -> str:
    if ratio.sign == 0:
        return "the rounds do not agree on who is faster"
    return f"{our_name if ratio.sign < 0 else their_name} is faster"


def _over_rounds(ratio: Ratio) -> str:
    return "" if ratio.p25 is None else f" (quartiles of the rounds {ratio.p25:.2f} to {ratio.p75:.2f})"


def _why_not(rival: str, ours: Sequence[Point], theirs: Sequence[Point]) -> str:
    named = ((name_of(OURS), ours), (name_of(rival), theirs))
    few = [name for name, points in named if len(points) < 2]
    if few:
        return f"no comparison at equal accuracy; it takes two widths or more of {' and of '.join(few)}."
    spans = ", ".join(f"{name} {points[0].top1:.1f} to {points[-1].top1:.1f} %" for name, points in named)
    return f"no comparison at equal accuracy, for the measured widths share none ({spans})."


def table(comparisons: Sequence[Comparison]) -> list[dict]:
    """A row for each rival and each measured width of either whose top-1 the other's widths span. `top1_of` says whose
    figures the rival's are: its authors', or the best that was published for it."""
    rows = []
    for comparison in comparisons:
        ours = comparison.curves.get(OURS, [])
        for rival in comparison.rivals:
            theirs = comparison.curves[rival]
            for top1_of, curve in (("authors", theirs), ("best published", by_later_recipes(theirs))):
                rows += [_row(comparison, rival, top1_of, *found) for found in ratios(ours, curve)]
    return rows


def _row(comparison: Comparison, rival: str, top1_of: str, point: Point, ratio: Ratio) -> dict:
    faster = {-1: name_of(OURS), 0: "", 1: name_of(rival)}[ratio.sign]
    return {
        "where": comparison.where,
        "precision": comparison.precision,
        "network": name_of(OURS),
        "rival": name_of(rival),
        "top1_of": top1_of,
        "top1_percent": f"{ratio.top1:g}",
        "measured_width": network_title(point.model, point.width),
        "network_ms": f"{ratio.ours_ms:.6g}",
        "rival_ms": f"{ratio.theirs_ms:.6g}",
        "ratio": f"{ratio.median:.6g}",
        "ratio_p25": None if ratio.p25 is None else f"{ratio.p25:.6g}",
        "ratio_p75": None if ratio.p75 is None else f"{ratio.p75:.6g}",
        "faster": faster,
    }


def write_table(path: Path, comparisons: Sequence[Comparison]) -> bool:
    """Write `table` as CSV, if it has a row; returns whether."""
    rows = table(comparisons)
    if rows:
        write_csv(path, rows)
    return bool(rows)
