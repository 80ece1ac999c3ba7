"""A run's Keras network on its own validation images, kept in the run: what trainings are compared by."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.errors import MnextError
from mnext_tf.evaluation.accuracy import RESULT, evaluate
from mnext_tf.files import read_json
from mnext_tf.inference.image_stream import open_images
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.runs.run import Run


@dataclass(frozen=True)
class Answers:
    """Of each validation image its file and label, and whether the top-1 was right (n,)."""

    images: tuple[tuple[str, str], ...]
    correct: np.ndarray

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())


def evaluate_run(run: Run) -> Answers:
    """As `python -m pipelines.evaluate --run`, into `run`/evaluation; what is there and current is kept."""
    if kept := read_answers(run):
        return kept
    with open_predictor(run) as network:
        evaluate([network], open_images(None, network.labels, run=run), run.folder / "evaluation")
    return read_answers(run)


def read_answers(run: Run) -> Answers | None:
    """None where `run`/evaluation is missing or damaged, or is of other weights or images than the run's."""
    folder = run.folder / "evaluation"
    try:
        result = read_json(folder / RESULT)
        weights = run.manifest(run.weights.parent.name).outputs[run.weights.name]
        row = next(r for r in result["networks"] if (r["format"], r["sha256"]) == ("keras", weights))
        if result["data"] != f"{run.config.dataset.name}, validation":
            return None
        with open(_inside(folder, row["folder"]) / "predictions.csv", newline="", encoding="utf-8") as f:
            rows = list(csv.DictReader(f))
        if len(rows) + result["skipped"] != run.config.dataset.num_validation:
            return None
        return Answers(tuple((r["file"], r["label"]) for r in rows), np.array([int(r["correct"]) for r in rows], bool))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration, MnextError):
        return None


def _inside(folder: Path, name: str) -> Path:
    """The folder `name` within `folder`; the name was read from a file."""
    if Path(name).name != name:
        raise ValueError(f"{name} is not a name")
    return folder / name
