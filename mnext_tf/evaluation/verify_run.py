"""Everything that a run has exported against its Keras network, from the files as they are now."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import tensorflow as tf

from mnext_tf.errors import ConfigError, ExportError, MnextError
from mnext_tf.evaluation.equivalence import compare, failures, layer_differences, worst_layer
from mnext_tf.evaluation.tolerance import Tolerance
from mnext_tf.files import write_json
from mnext_tf.inference.frozen import load_frozen
from mnext_tf.inference.predictor import exports_of, keras_function, run_network
from mnext_tf.inference.saved_model import load_saved_model
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.runs.dataset import validation_images
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network

_log = logging.getLogger(__name__)


def verify_run(
    run: Run,
    tolerance: Tolerance,
    *,
    max_images: int | None = None,
    arm64: Path | None = None,
    arm64_images: int | None = None,
) -> dict:
    """Run Keras, SavedModel, frozen graph and every TFLite file of `run` on the same validation images.

    Reads the files as they are now, and writes `verify.json` into the run's folder. A graph or file that
    fails is renamed to `<name>.failed`, so that nothing wrong keeps its final name.

    With `arm64`, a folder made by environments/arm64.sh, every TFLite file that passed is also computed by ARM64
    kernels, on `arm64_images` of those images (None: as many as take a minute or so), and compared with this machine.

    Returns:
      {images, passed, networks: {name: numbers of `compare`}, failures: {name: what is wrong}}, and with `arm64`
      {arm64: {name: numbers of `compare_arm64`}}.

    Raises ConfigError where nothing has been exported yet, ExportError where `arm64` is no such folder.
    """
    if arm64 is not None:
        from mnext_tf.inference.arm64_root import check_root

        arm64 = check_root(arm64)
    exported, files = {}, {}  # name -> (kind, function that opens it); name -> file
    for name, path in exports_of(run):
        if name == "saved_model":
            exported[name] = (name, lambda path=path: load_saved_model(path))
            continue
        files[name] = path
        if name == "frozen":
            exported[name] = (name, lambda path=path: load_frozen(path))
        else:
            quantize = run.manifest(name)["settings"]["quantize"]
            exported[name] = (quantize, lambda path=path: TFLiteNetwork(path))
    if not exported:
        raise ConfigError(
            f"{run.folder} has no exports yet. python -m pipelines.export_tflite --run={run.folder} makes one."
        )

    images, labels = validation_images(run, max_images=max_images)
    model = load_network(run)
    expected = run_network(keras_function(model), images)
    networks, failed = {"keras": compare(expected, expected, labels)}, {}
    for name, (kind, open_network) in exported.items():
        try:
            network = open_network()
            outputs = run_network(network, images)
        except (OSError, ValueError, RuntimeError, MnextError, tf.errors.OpError) as e:
            failed[name] = f"it cannot be read ({str(e)[:300]}). Exporting again makes it again"
            continue
        networks[name] = compare(outputs, expected, labels, gives=getattr(network, "gives", "logits"))
        found = failures(kind, networks[name], networks["keras"], tolerance, trained=run.trained)
        if found:
            failed[name] = "; ".join(found)
            if name.startswith("tflite"):
                failed[name] += f". By layers, {worst_layer(layer_differences(model, files[name], images[:8]))}"
            if name in files:
                failed[name] += _put_aside(files[name])
    verified = {"images": len(images), "networks": networks, "failures": failed}
    if arm64:
        whole = {n: (exported[n][0], p) for n, p in files.items() if n.startswith("tflite") and n not in failed}
        verified["arm64"], wrong = _on_arm64(run, model, whole, arm64, images, expected, arm64_images)
        failed |= wrong
    verified["passed"] = not failed
    write_json(run.folder / "verify.json", verified)
    return verified


def _put_aside(path: Path) -> str:
    path.rename(path.with_name(path.name + ".failed"))
    return f". Renamed to {path.name}.failed"


def _on_arm64(run: Run, model, files: dict, root: Path, images, expected, count: int | None) -> tuple[dict, dict]:
    """({name: numbers}, {name: what is wrong}) of TFLite files, name -> (kind, path), by ARM64 kernels."""
    from mnext_tf.evaluation.arm64_equivalence import compare_arm64, default_images
    from mnext_tf.models.summary import count_multiply_adds

    counts = default_images([kind for kind, _ in files.values()], count_multiply_adds(model))
    measured, wrong = {}, {}
    for (name, (kind, path)), default in zip(files.items(), counts, strict=True):
        _log.info(f"{name}: {min(count or default, len(images))} images by ARM64 kernels ...")
        few = np.unique(np.linspace(0, len(images) - 1, count or default).round().astype(int))
        try:
            measured[name], found = compare_arm64(
                path,
                kind,
                root,
                images[few],
                expected[few],
                trained=run.trained,
                layers=[layer.name for layer in model.layers],
                progress=True,
            )
        except ExportError as e:
            wrong[f"{name} on ARM64"] = str(e)
            continue
        if found:
            text = f"{'; '.join(found)}. It differs {measured[name]['first_difference']}"
            wrong[f"{name} on ARM64"] = text + _put_aside(path)
    return measured, wrong
