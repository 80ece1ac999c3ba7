"""What an effort makes of the converter's int8 file, and layers of it in float32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mnext_tf.compression.aware import load_twin
from mnext_tf.compression.int8_file import Int8File, write_twin
from mnext_tf.compression.keep_float import IMAGES, Weights, keep_float, kernel_layers, named_layers, rounding_costs
from mnext_tf.compression.post_training import improve, layer_bar
from mnext_tf.compression.steps import check_steps
from mnext_tf.compression.twin import assign_weights, folded, make_twin
from mnext_tf.evaluation.equivalence import CHANNEL_FACTORS
from mnext_tf.export.plan import Plan
from mnext_tf.files import write_csv
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network

SCALED, ROUNDED, PLAIN = "of the network, channels scaled", "of the training, rounded", "of the network"


def better_int8(
    run: Run, content: bytes, calibration: Sequence[np.ndarray], plan: Plan, folder: Path
) -> tuple[bytes, dict]:
    """(the file that `plan` asks for, what each step brought); tables of it are written to `folder`."""
    network, found, weights = load_network(run), {}, {}
    if plan.effort == "trained":
        twin = load_twin(network, run.weights)
        content = write_twin(content, twin)
        check_steps(content, twin, np.stack(calibration[:2]))
        found["effort"] = {"step": plan.effort, "measured": {}}
    elif plan.effort != "fast":
        best = improve(network, content, calibration, effort=plan.effort, seed=run.config.seed)
        content, weights = best.content, best.weights
        if best.factors:
            np.savez_compressed(folder / CHANNEL_FACTORS, **best.factors)
        if best.layers:
            write_csv(folder / "fitted_layers.csv", best.layers)
        found["effort"] = {"step": best.step, "measured": best.measured}
    if plan.keep_float or plan.auto_keep_float:
        content, layers = _with_float_layers(network, content, calibration, plan, weights, folder)
        which = SCALED if weights else ROUNDED if plan.effort == "trained" else PLAIN
        found["keep_float"] = {"layers": layers, "weights": which}
    return content, found


def _with_float_layers(
    network, content: bytes, calibration: Sequence[np.ndarray], plan: Plan, weights: Weights, folder: Path
) -> tuple[bytes, list[str]]:
    """(the int8 file with layers in float32, their names). `weights`: what the file rounds; empty: the network's."""
    names = [layer.name for layer in network.layers]
    kept = named_layers(plan.keep_float, kernel_layers(network))
    weights = weights or {name: folded(network, name) for name in kernel_layers(network)}
    if plan.auto_keep_float:
        twin = make_twin(network, Int8File(content, names).ranges())
        assign_weights(twin, weights)
        costs = rounding_costs(twin, np.stack(calibration[:IMAGES]), partial(layer_bar, "measuring layers"))
        write_csv(folder / "rounding_costs.csv", [{"layer": name, "noise": cost} for name, cost in costs.items()])
        others = sorted((name for name in costs if name not in kept), key=lambda name: -costs[name])
        kept += others[: plan.auto_keep_float]
    kept = [name for name in names if name in kept]
    return keep_float(content, {name: weights[name] for name in kept}, names), kept
