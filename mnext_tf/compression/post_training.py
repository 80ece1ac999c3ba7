"""A better int8 file of the same network, from unlabeled images: the efforts "good" and "best"."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from mnext_tf.compression.effects import choose_shares
from mnext_tf.compression.equalize import equalize, largest_outputs
from mnext_tf.compression.int8_file import Int8File, write_twin
from mnext_tf.compression.reconstruct import reconstruct
from mnext_tf.compression.steps import check_steps
from mnext_tf.compression.twin import kernels, make_twin
from mnext_tf.inference.graphs import packed
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.naming import EFFORTS

_KEPT_BACK = 5  # one image in this many is fitted by none of the steps, and chooses among their results
_LOOKED_AT = 40  # images by which ranges are chosen
_BATCH = 8  # a Keras network keeps all of its tensors until it is done
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Improved:
    """The best int8 file that was found.

    measured: {step: {"sqnr_db", "agreement"}} of the files of all steps, on the images that were kept back.
    layers: how each layer was fitted. factors: of the channels of layers whose outputs the file scales. weights: kernel
    and bias by layer, before rounding, with these factors; empty for the converter's file.
    """

    content: bytes
    step: str
    measured: dict[str, dict[str, float]]
    layers: list[dict]
    factors: dict[str, np.ndarray]
    weights: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)


def improve(network, content: bytes, images: Sequence[np.ndarray], *, effort: str = "good", seed: int = 0) -> Improved:
    """The best of the converter's int8 file `content` of a Keras network, and those with fitted weights and ranges.

    effort: "good", or "best", which tries that, too. images: for calibration, float32 (size, size, 3) in [0, 255].
    Every fifth of them fits nothing: on those the files are compared, by the signal-to-noise ratio of their logits.
    """
    images = np.stack(images)
    kept_back, fitted = images[::_KEPT_BACK], np.delete(images, np.s_[::_KEPT_BACK], axis=0)
    parts = [kept_back[i : i + _BATCH] for i in range(0, len(kept_back), _BATCH)]
    logits = np.concatenate([packed(network(part, training=False)) for part in parts])
    files, measured = {"fast": content}, {}

    twin = make_twin(network, Int8File(content, [layer.name for layer in network.layers]).ranges())
    factors = equalize(twin, largest_outputs(twin, fitted))
    weights = {layer.name: (layer.kernel.numpy(), layer.bias.numpy()) for layer in kernels(twin)}
    floats, layers = twin.get_weights(), {}
    for step in EFFORTS[1 : EFFORTS.index(effort) + 1]:
        twin.set_weights(floats)
        shares = (
            choose_shares(twin, fitted[:_LOOKED_AT], partial(layer_bar, "choosing ranges")) if step == "best" else {}
        )
        layers[step] = reconstruct(
            twin, fitted, shares=shares, seed=seed, progress=partial(layer_bar, "fitting layers")
        )
        files[step] = write_twin(content, twin)
        check_steps(files[step], twin, fitted[:2])
    for step, file in files.items():
        measured[step] = compare_file(file, kept_back, logits)
        _log.info(
            f"  {step}: {measured[step]['sqnr_db']:.1f} dB, same top-1 on {measured[step]['agreement']:.1%} of "
            f"{'the priors of ' * (logits.ndim > 2)}{len(kept_back)} images kept back"
        )
    chosen = max(measured, key=lambda step: measured[step]["sqnr_db"])
    if chosen == "fast":
        factors = weights = {}
    return Improved(files[chosen], chosen, measured, layers.get(chosen, []), factors, weights)


def compare_file(content: bytes, images: np.ndarray, expected: np.ndarray) -> dict:
    """Signal-to-noise ratio of a .tflite file's outputs, in dB, and the share of images with the top-1 of `expected`.

    Of a detector it is the share of the priors.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidate.tflite"
        path.write_bytes(content)
        file = TFLiteNetwork(path)
        try:
            found = file(images)
        finally:
            file.close()
    return {
        "sqnr_db": sqnr(found, expected),
        "agreement": float(np.mean(_top1(found) == _top1(expected))),
    }


def _top1(outputs: np.ndarray) -> np.ndarray:
    return (outputs if outputs.ndim == 2 else outputs[..., :-4]).argmax(-1)


def sqnr(found: np.ndarray, expected: np.ndarray) -> float:
    """Signal over error, in dB."""
    noise = np.square(found - expected, dtype=np.float64).sum()
    return float(10 * np.log10(np.square(expected, dtype=np.float64).sum() / max(noise, 1e-30)))


def layer_bar(what: str, items):
    from tqdm import tqdm

    return tqdm(items, desc=what, unit="layer", disable=None, leave=False)
