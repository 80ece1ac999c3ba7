"""The data that a run was made with."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import eval_batches, report_damage
from mnext_tf.data.opening import reopen_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.runs.run import Run


def validation_batches(
    run: Run, *, max_images: int | None = None, batch_size: int = 64
) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    """(images float32 (n, size, size, 3), labels (n,) or None) on which every form of the network is compared."""
    dataset = run_dataset(run)
    most = max_images or run.config.verify_images
    with report_damage(dataset, "validation"):
        for images, labels in eval_batches(dataset, run.config.preprocess, batch_size, max_images=most):
            yield images.numpy(), labels.numpy() if dataset.labelled else None


def run_dataset(run: Run) -> Dataset:
    """The data a run was made with. Raises ConfigError where it has changed since."""
    dataset = reopen_dataset(run.config.dataset, len(run.config.class_names))
    if dataset.fingerprint != run.config.dataset.fingerprint:
        raise ConfigError(f"The data in {dataset.folder} has changed since {run.folder} was made. Train again.")
    return dataset
