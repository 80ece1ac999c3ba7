"""The data that a run was made with."""

from __future__ import annotations

import numpy as np

from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import eval_batches, report_damage
from mnext_tf.data.opening import reopen_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.runs.run import Run


def validation_images(run: Run, *, max_images: int | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """(images float32 (n, size, size, 3), labels (n,) or None) on which every network of the run is compared."""
    dataset = run_dataset(run)
    preprocess = run.config.preprocess
    with report_damage(dataset, "validation"):
        batches = list(
            eval_batches(
                dataset, preprocess, 64, max_images=run.config.verify_images if max_images is None else max_images
            )
        )
    labels = np.concatenate([y for _, y in batches]) if dataset.labelled else None
    return np.concatenate([x for x, _ in batches]), labels


def run_dataset(run: Run) -> Dataset:
    """The data a run was made with. Raises ConfigError where it has changed since."""
    dataset = reopen_dataset(run.config.dataset, len(run.config.class_names))
    if dataset.fingerprint != run.config.dataset.fingerprint:
        raise ConfigError(f"The data in {dataset.folder} has changed since {run.folder} was made. Train again.")
    return dataset
