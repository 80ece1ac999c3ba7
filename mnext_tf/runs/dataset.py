"""The data that a run was made with."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from mnext_tf.data import detection_pipeline, input_pipeline
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import report_damage
from mnext_tf.data.opening import reopen_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.runs.config import DatasetConfig
from mnext_tf.runs.run import Run


def validation_batches(
    run: Run, *, max_images: int | None = None, batch_size: int = 64
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """(images float32 (n, size, size, 3), labels or None) on which every form of the network is compared.

    Labels are classes (n,), or the objects (n, most, 6) of `detection_pipeline.eval_batches`.
    """
    dataset = run_dataset(run)
    most = max_images or run.config.verify_images
    with report_damage(dataset, "validation"):
        for images, labels in batches_for(dataset)(dataset, run.config.preprocess, batch_size, max_images=most):
            yield images.numpy(), labels.numpy() if dataset.labelled and dataset.task == run.config.task else None


def batches_for(dataset: Dataset) -> Callable:
    """`eval_batches` for the task of the data."""
    return (detection_pipeline if dataset.task == "detection" else input_pipeline).eval_batches


def run_dataset(run: Run) -> Dataset:
    """The data a run was made with. Raises ConfigError where it has changed since."""
    dataset = reopen_dataset(run.config.dataset, len(run.config.class_names))
    check_same_data(run, dataset)
    return dataset


def check_same_data(run: Run, dataset: Dataset) -> None:
    """Raise ConfigError, saying what changed, unless `dataset` is what `run` was made with; it may have moved."""
    if run.config.init == "trained" and dataset.task != run.config.task:
        raise ConfigError(
            f"{run.folder} is for {run.config.task}, the data {dataset.name!r} for {dataset.task}. Use the data "
            "that it was made with, or start a new run."
        )
    classes = run.config.model.num_classes
    if run.config.init == "trained" and classes != dataset.num_classes:
        raise ConfigError(
            f"{run.folder} has a network of {classes} classes, the data {dataset.name!r} has {dataset.num_classes}. "
            "Use the data that it was made with, or start a new run."
        )
    recorded, found = run.config.dataset, DatasetConfig.of(dataset)
    if recorded.fingerprint == found.fingerprint:
        return
    counts = ("num_train", "num_validation")
    changed = [f"{getattr(found, n)} instead of {getattr(recorded, n)} {n.removeprefix('num_')} images" for n in counts]
    changed = [c for c, n in zip(changed, counts, strict=True) if getattr(found, n) != getattr(recorded, n)]
    raise ConfigError(
        f"The data {dataset.name!r} in {dataset.folder} has changed since {run.folder} was made: "
        f"{', '.join(changed) or 'as many images, but others, or other labels'} (fingerprint "
        f"{found.fingerprint[:12]} instead of {recorded.fingerprint[:12]}). Restore the data, or start a new run."
    )
