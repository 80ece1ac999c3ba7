"""Times inference and whole training steps, ours beside PyTorch's of the same networks, on this machine.

All variants take turns for several rounds, because a shared machine slows down and recovers in seconds. A step is
what the training loop computes: forward, backward, decay, and the update of weights and statistics. Needs PyTorch for
its side (`make extras`), and goes without it otherwise.
"""

from __future__ import annotations

import os
import statistics
from pathlib import Path

import numpy as np
from absl import flags

from benchmarks.train_step_variants import KINDS, Variant, Worker
from mnext_tf.benchmark.results import describe_host
from mnext_tf.benchmark.timing import round_ratio
from mnext_tf.errors import ConfigError, one_of
from mnext_tf.files import atomic_write, write_csv, write_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.provenance import now, versions
from pipelines import _cli

FLAGS = flags.FLAGS
flags.DEFINE_list("models", ["mnext", "mobilenet_v2"], "Networks to time.")
flags.DEFINE_float("width", 1.0, "Width multiplier of the networks.")
flags.DEFINE_integer("input_size", 224, "Side of the images, in pixels.")
flags.DEFINE_integer("batch_size", 16, "Images in a batch; inference is timed with one image, too.", lower_bound=2)
flags.DEFINE_integer("threads", 0, "Cores, and threads of every framework. 0: all.", lower_bound=0)
flags.DEFINE_integer("rounds", 7, "The variants take turns this many times.", lower_bound=1)
flags.DEFINE_integer("runs", 3, "Measured runs in a turn, after one that is not.", lower_bound=1)
flags.DEFINE_list("frameworks", ["tensorflow", "litert", "pytorch"], "Which to time.")
flags.DEFINE_list("devices", ["cpu", "gpu"], "Which to time on; a GPU only where a framework finds one.")
flags.DEFINE_string("out", "runs/train_step", "Folder for train_step.csv, .json and .png, and the exported files.")

BOTH = ("forward", "step")
VARIANTS = (  # framework, precision, what is timed with a batch, what with one image
    ("tensorflow", "float32", BOTH, ("forward",)),
    ("tensorflow", "float32 folded", ("forward",), ("forward",)),
    ("tensorflow", "bfloat16", BOTH, ()),
    ("tensorflow", "bfloat16 folded", ("forward",), ()),
    ("litert", "float32", (), ("forward",)),
    ("litert", "int8", (), ("forward",)),
    ("pytorch", "float32", BOTH, ("forward",)),
    ("pytorch", "float32 channels_last", BOTH, ("forward",)),
    ("pytorch", "bfloat16 channels_last", BOTH, ("forward",)),
)
REFERENCE = ("pytorch", "float32")


def main() -> None:
    for framework in FLAGS.frameworks:
        one_of("framework", framework, sorted({v[0] for v in VARIANTS}))
    configs = [ModelConfig(n, width=FLAGS.width, input_size=FLAGS.input_size) for n in FLAGS.models]
    cores, out = sorted(os.sched_getaffinity(0)), Path(FLAGS.out)
    threads = FLAGS.threads or len(cores)
    if threads > len(cores):
        raise ConfigError(f"--threads must be at most the {len(cores)} cores there are; received {threads}.")
    os.sched_setaffinity(0, cores[:threads])  # the workers inherit it
    host, rows, found = describe_host(), [], versions()
    for config in configs:
        workers, used = _start_workers(threads, out / "models")
        found |= used
        try:
            measured = _measure(config, workers)
        finally:
            for worker in workers.values():
                worker.close()
        rows += _make_rows(measured)
        print(_table(rows, config.name), flush=True)
    names = ("width", "input_size", "batch_size", "rounds", "runs")
    settings = {"threads": threads, **{name: FLAGS[name].value for name in names}}
    print(
        f"\n{threads} threads, medians of {FLAGS.rounds} rounds of {FLAGS.runs} (range of the rounds), {_onednn()}.\n"
        "x: times as fast as PyTorch's float32. x cpu: the same of processor time, steadier on a busy machine."
    )
    made = {"date": now(), "settings": settings, "host": host, "versions": found, "onednn": _onednn()}
    _write(out, {**made, "rows": rows})
    _plot(out / "train_step.png", rows, host)


def _onednn() -> str:
    value = os.environ.get("TF_ENABLE_ONEDNN_OPTS", "not set, so on")
    return f"TF_ENABLE_ONEDNN_OPTS {value}"


def _start_workers(threads: int, folder: Path) -> tuple[dict, dict[str, str]]:
    """({(framework, device): worker}, versions) of what is there."""
    workers, found = {}, {}
    for framework in dict.fromkeys(FLAGS.frameworks):
        for device in dict.fromkeys(FLAGS.devices):
            if framework == "litert" and device != "cpu":
                continue
            worker = Worker(framework, device, threads, folder)
            try:
                there = worker("has_device")
                found |= worker("versions")
            except ImportError as e:
                there = False
                _cli.log(f"{framework} is left out: {e}.")
            if there:
                workers[framework, device] = worker
            else:
                worker.close()
    return workers, found


def _measure(config: ModelConfig, workers: dict) -> dict:
    """{(variant, kind): [the runs of each round]}; a run is (ms, ms of processor time)."""
    from tqdm import tqdm

    variants = [
        Variant(framework, config, precision, device, size, kinds)
        for (framework, device) in workers
        for name, precision, batch, single in VARIANTS
        for size, kinds in ((FLAGS.batch_size, batch), (1, single))
        if name == framework and kinds
    ]
    for variant in tqdm(variants, f"{config.name}: preparing", leave=False, disable=None):
        workers[variant.framework, variant.device]("prepare", variant)
    turns = [(variant, kind) for variant in variants for kind in variant.kinds]
    times = {(variant.key, kind): [] for variant, kind in turns}
    with tqdm(total=FLAGS.rounds * len(turns), desc=f"{config.name}: timing", leave=False, disable=None) as bar:
        for i in range(FLAGS.rounds):
            for variant, kind in turns if i % 2 == 0 else turns[::-1]:
                worker = workers[variant.framework, variant.device]
                times[variant.key, kind].append(worker("time", variant.key, kind, FLAGS.runs))
                bar.update()
    return {"variants": variants, "times": times}


def _make_rows(measured: dict) -> list[dict]:
    rows = []
    for variant in measured["variants"]:
        framework, model, precision, device, batch = variant.key
        row = {
            "framework": framework,
            "model": model,
            "precision": precision,
            "device": device,
            "batch_size": batch,
            "input_size": variant.model.input_size,
        }
        for kind in KINDS:
            rounds = measured["times"].get((variant.key, kind))
            reference = measured["times"].get(((REFERENCE[0], model, REFERENCE[1], device, batch), kind))
            row |= _summary(kind, rounds, reference)
        step = row["step_ms"]
        row["images_per_second"] = None if step is None else batch / step * 1e3
        rows.append(row)
    return rows


def _summary(kind: str, rounds: list | None, reference: list | None) -> dict:
    """Median, rounds, processor time, and how many times as fast as the reference."""
    if not rounds:
        return {f"{kind}_ms": None}
    times = np.array(rounds)  # (rounds, runs, 2)
    medians = np.median(times, axis=1)
    summary = {
        f"{kind}_ms": float(np.median(medians[:, 0])),
        f"{kind}_rounds_ms": medians[:, 0].tolist(),
        f"{kind}_cpu_ms": float(np.median(medians[:, 1])),
    }
    if reference:
        for name, i in (("times_pytorch", 0), ("times_pytorch_cpu", 1)):
            ratio = round_ratio(np.array(reference)[..., i], times[..., i])
            summary[f"{kind}_{name}"] = {"median": ratio.median, "p25": ratio.p25, "p75": ratio.p75}
    return summary


COLUMNS = ("framework", "model", "precision", "device", "batch_size", "input_size")
COLUMNS += ("forward_ms", "step_ms", "images_per_second")


def _table(rows: list[dict], model: str) -> str:
    lines = [["", "on", "batch", *(h for k in KINDS for h in (f"{k} ms (range)", "images/s", "x", "x cpu"))]]
    for row in (row for row in rows if row["model"] == model):
        cells = [f"{row['framework']} {row['precision']}", row["device"], str(row["batch_size"])]
        for kind in KINDS:
            cells += _cells(row, kind)
        lines.append(cells)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(
            c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    title = f"{model}, width {FLAGS.width:g}, {FLAGS.input_size} pixels"
    return "\n".join(["", title, *text])


def _cells(row: dict, kind: str) -> list[str]:
    ms = row[f"{kind}_ms"]
    if ms is None:
        return [""] * 4
    rounds, speed = row[f"{kind}_rounds_ms"], row["batch_size"] / ms * 1e3
    ratios = (row.get(f"{kind}_{name}") for name in ("times_pytorch", "times_pytorch_cpu"))
    return [
        f"{ms:.1f} ({min(rounds):.1f} .. {max(rounds):.1f})",
        f"{speed:.1f}",
        *(f"{ratio['median']:.2f}" if ratio else "" for ratio in ratios),
    ]


def _write(folder: Path, results: dict) -> None:
    """train_step.json with everything, then train_step.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "train_step.json", results)
    plain = [{column: row[column] for column in COLUMNS} for row in results["rows"]]
    write_csv(
        folder / "train_step.csv",
        [{k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items()} for row in plain],
    )


def _plot(path: Path, rows: list[dict], host: dict) -> None:
    """Bars of images a second: a row of panels for each network and device; whiskers are the range of the rounds."""
    from matplotlib.figure import Figure

    from mnext_tf.report.plots import COLORS, DOTS_PER_INCH

    groups = list(dict.fromkeys((row["model"], row["device"]) for row in rows))
    colors = dict(zip(("tensorflow", "litert", "pytorch"), COLORS, strict=False))
    figure = Figure(figsize=(13, 0.6 + 3.4 * len(groups)), layout="constrained")
    panels = figure.subplots(len(groups), 3, squeeze=False)
    kinds = (("step", True, "Training step"), ("forward", True, "Inference"), ("forward", False, "Inference"))
    for (model, device), line in zip(groups, panels, strict=True):
        for axes, (kind, whole, title) in zip(line, kinds, strict=True):
            mine = [r for r in rows if (r["model"], r["device"]) == (model, device) and r[f"{kind}_ms"]]
            mine = [r for r in mine if (r["batch_size"] > 1) == whole]
            _bars(axes, mine, kind, colors)
            batch = f"batch {FLAGS.batch_size}" if whole else "one image"
            axes.set_title(f"{title}, {batch}\n{model}, {device}", fontsize=10)
    for axes in panels[-1]:
        axes.set_xlabel("images a second")
    figure.suptitle(f"{host['cpu']}, {FLAGS.input_size} pixels, width {FLAGS.width:g}; more is better", fontsize=11)
    with atomic_write(path) as part:
        figure.savefig(part, format="png", dpi=DOTS_PER_INCH)


def _bars(axes, rows: list[dict], kind: str, colors: dict) -> None:
    for y, row in enumerate(rows):
        rounds = row[f"{kind}_rounds_ms"]
        low, middle, high = (
            row["batch_size"] / ms * 1e3 for ms in (max(rounds), statistics.median(rounds), min(rounds))
        )
        axes.barh(y, middle, color=colors[row["framework"]], xerr=[[middle - low], [high - middle]], capsize=2)
        axes.annotate(f" {middle:.3g}", (high, y), va="center", fontsize=8)
    axes.set_yticks(range(len(rows)), [f"{row['framework']} {row['precision']}" for row in rows], fontsize=8)
    axes.invert_yaxis()
    fastest = max((row["batch_size"] / min(row[f"{kind}_rounds_ms"]) * 1e3 for row in rows), default=1)
    axes.set_xlim(0, 1.2 * fastest)  # room for the numbers


if __name__ == "__main__":
    _cli.run(main)
