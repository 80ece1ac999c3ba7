"""What an effort makes of the converter's int8 file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.compression.aware import load_twin
from mnext_tf.compression.int8_file import write_twin
from mnext_tf.compression.post_training import improve
from mnext_tf.compression.steps import check_steps
from mnext_tf.evaluation.equivalence import CHANNEL_FACTORS
from mnext_tf.files import write_csv
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network


def better_int8(
    run: Run, content: bytes, calibration: Sequence[np.ndarray], effort: str, folder: Path
) -> tuple[bytes, dict]:
    """(the file that `effort` gives, what each step brought); tables of it are written to `folder`."""
    network = load_network(run)
    if effort == "trained":
        twin = load_twin(network, run.weights)
        content = write_twin(content, twin)
        check_steps(content, twin, np.stack(calibration[:2]))
        return content, {"step": effort, "measured": {}}
    best = improve(network, content, calibration, effort=effort, seed=run.config.seed)
    if best.factors:
        np.savez_compressed(folder / CHANNEL_FACTORS, **best.factors)
    if best.layers:
        write_csv(folder / "fitted_layers.csv", best.layers)
    return best.content, {"step": best.step, "measured": best.measured}
