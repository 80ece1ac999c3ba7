"""The weights of a run."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.errors import CheckpointError
from mnext_tf.runs.run import Run


def require_weights(run: Run) -> Path:
    """The trained (or random) weights; CheckpointError says how to finish an interrupted training."""
    if run.weights.is_file() and run.manifest(run.weights.parent.name):
        return run.weights
    go_on = f"python -m pipelines.train --resume --run={run.folder}"
    if run.imported:
        source = run.config.source.file if run.config.source else "FILE"
        go_on = f"python -m pipelines.import_checkpoint --checkpoint={source} --out={run.folder}"
    raise CheckpointError(f"{run.folder} has no finished weights. `{go_on}` goes on.")


def load_network(run: Run):
    """The Keras network of a run with its weights. CheckpointError where they are damaged or of another network."""
    weights = require_weights(run)
    model = run.config.model.create()
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError) as e:
        raise CheckpointError(f"{weights} is damaged or of another network: {e}") from e
    return model
