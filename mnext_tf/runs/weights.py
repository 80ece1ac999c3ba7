"""The weights of a run."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.errors import CheckpointError
from mnext_tf.files import cached_sha256
from mnext_tf.runs.run import Run


def require_weights(run: Run) -> Path:
    """The weights of a run, whole and as they were written.

    Raises CheckpointError where they are not finished, with the command that finishes them, or have changed.
    """
    manifest = run.manifest(run.weights.parent.name)
    if not (manifest and run.weights.is_file()):
        raise CheckpointError(f"{run.folder} has no finished weights. Resume with `{_command(run)}`.")
    recorded = manifest.outputs.get(run.weights.name)
    if recorded and (found := cached_sha256(run.weights)) != recorded:
        raise CheckpointError(
            f"The weights of {run.folder} have changed since {manifest.created or 'they were written'}: "
            f"{run.weights} has sha256 {found[:12]}, {run.weights.parent.name}/manifest.json says {recorded[:12]}. "
            f"Put the original file back, or delete {run.weights.parent / 'manifest.json'} and make the weights again "
            f"with `{_command(run)}`."
        )
    return run.weights


def _command(run: Run) -> str:
    """What makes the weights of a run, or finishes them."""
    if run.imported:
        source = run.config.source.file if run.config.source else "FILE"
        return f"python -m pipelines.import_checkpoint --checkpoint={source} --out={run.folder}"
    if not run.trained:
        return "python -m pipelines.export_tflite --init=random"
    return f"python -m pipelines.train --resume --run={run.folder}"


def load_network(run: Run):
    """The Keras network of a run with its weights. CheckpointError where they are damaged or of another network."""
    weights = require_weights(run)
    model = run.config.model.create()
    try:
        model.load_weights(weights)
    except (OSError, ValueError, KeyError) as e:
        raise CheckpointError(f"{weights} is damaged or of another network: {e}") from e
    return model
