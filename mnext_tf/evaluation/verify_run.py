"""Everything that a run has exported against its Keras network, from the files as they are now."""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.errors import ConfigError, ExportError, MnextError
from mnext_tf.evaluation.equivalence import layer_differences, worst_layer
from mnext_tf.files import write_json
from mnext_tf.inference.predictor import exports_of, format_of, open_predictor
from mnext_tf.naming import precision_of
from mnext_tf.runs.dataset import validation_batches
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network
from mnext_tf.tasks import Tolerance, task_of
from mnext_tf.tflite.zeros import NEEDED, zero_share

_log = logging.getLogger(__name__)
_LOOK = 8  # images whose layers are compared


@dataclass
class _Form:
    """One exported form: its precision (or format), its file, and what was found."""

    precision: str
    path: Path
    network: object = None
    comparison: object = None
    failure: str = ""


def verify_run(
    run: Run,
    tolerance: Tolerance | None = None,
    *,
    max_images: int | None = None,
    arm64: Path | None = None,
    arm64_images: int | None = None,
) -> dict:
    """Run Keras, SavedModel, frozen graph, and every TFLite file of `run` on the same validation images.

    Reads the files as they are now, and writes `verify.json` into the run's folder. A graph or file that
    fails is renamed to `<name>.failed`, so that nothing wrong keeps its final name.

    With `arm64`, a folder made by environments/arm64.sh, every TFLite file that passed, int16x8 excepted, is also
    computed by ARM64 kernels, on `arm64_images` of those images (None: as many as take a minute or so), and compared
    with this machine.
    Of a float file with zeros in two thirds of its 1x1 weights it is measured whether XNNPACK's sparse kernels take it.

    Returns:
      {images, passed, networks: {name: numbers of `Comparison`}, bounds: {name: what was required of it}, failures:
      {name: what is wrong}}, and with `arm64` {arm64: {name: numbers of `compare_arm64` and of `sparse_kernels`}}.

    Raises ConfigError where nothing has been exported yet, ExportError where `arm64` is no such folder.
    """
    if arm64 is not None:
        from mnext_tf.inference.arm64 import check_root

        arm64 = check_root(arm64)
    tolerance = tolerance or Tolerance()
    forms = {
        stage: _Form(precision_of(stage)[0] if stage.startswith("tflite") else stage, path)
        for stage, path in exports_of(run)
    }
    if not forms:
        raise ConfigError(
            f"{run.folder} has no exports yet. python -m pipelines.export_tflite --run={run.folder} makes one."
        )
    task = task_of(run.config)
    keras, first = _compare(run, task, forms, max_images)
    model = load_network(run)
    networks, bounds = {"keras": keras}, {}
    for name, form in forms.items():
        if form.failure:
            continue
        networks[name] = form.comparison.result()
        bounds[name] = task.bounds(form.precision, tolerance, trained=run.trained)
        if found := task.failures(networks[name], keras, bounds[name]):
            form.failure = "; ".join(found)
            if name.startswith("tflite"):
                form.failure += f". By layer, {worst_layer(layer_differences(model, form.path, first))}"
            if name != "saved_model":
                form.failure += _set_aside(form.path)
    failed = {name: form.failure for name, form in forms.items() if form.failure}
    verified = {"images": keras["images"], "bounds": bounds, "networks": networks, "failures": failed}
    if arm64:
        sound = {n: f for n, f in forms.items() if n.startswith("tflite") and n not in failed}
        verified["arm64"], wrong = _on_arm64(run, model, sound, arm64, arm64_images, keras["images"])
        failed |= wrong
    verified["passed"] = not failed
    write_json(run.stage("verify.json"), verified)
    return verified


def _compare(run: Run, task, forms: dict[str, _Form], max_images: int | None) -> tuple[dict, np.ndarray]:
    """(numbers of the Keras network, the first images); the forms have their comparison or failure afterward."""
    from tqdm import tqdm

    keras, first = task.comparison(), None
    with contextlib.ExitStack() as stack:
        reference = stack.enter_context(open_predictor(run))
        for name, form in forms.items():
            try:
                form.network = stack.enter_context(open_predictor(form.path, format=format_of(name)))
                form.comparison = task.comparison(form.network.output)
            except (OSError, ValueError, RuntimeError, MnextError) as e:
                form.failure = f"it cannot be read ({str(e)[:300]}). Exporting again makes it again"
        bar = stack.enter_context(tqdm(desc=f"verifying {len(forms)} forms", unit="img", disable=None, leave=False))
        for images, labels in validation_batches(run, max_images=max_images):
            expected = reference.logits(images)
            keras.update(expected, expected, labels)
            first = images[:_LOOK] if first is None else first
            for form in (f for f in forms.values() if not f.failure):
                try:
                    form.comparison.update(form.network.compared(images), expected, labels)
                except (ValueError, RuntimeError) as e:
                    form.failure = f"it cannot be run ({str(e)[:300]}). Exporting again makes it again"
            bar.update(len(images))
    return keras.result(), first


def _set_aside(path: Path) -> str:
    path.rename(path.with_name(path.name + ".failed"))
    return f". Renamed to {path.name}.failed"


def _on_arm64(run: Run, model, forms: dict[str, _Form], root: Path, count: int | None, available: int):
    """({name: numbers}, {name: what is wrong}) of TFLite files by ARM64 kernels, on few of `available` images."""
    from mnext_tf.evaluation.arm64_equivalence import SECONDS, compare_arm64, default_images, sparse_kernels
    from mnext_tf.inference.graphs import packed
    from mnext_tf.models.summary import count_multiply_adds

    for name in [name for name, form in forms.items() if form.precision not in SECONDS]:
        _log.info(f"{name}: left out on ARM64, XNNPACK has no kernels for it")
        del forms[name]
    for name in [name for name, form in forms.items() if form.network.output == "detections"]:
        _log.info(f"{name}: left out on ARM64, where the file that it was made from is compared")
        del forms[name]
    if not forms:
        return {}, {}
    counts = default_images([form.precision for form in forms.values()], count_multiply_adds(model))
    counts = [min(count or default, available) for default in counts]
    batches = list(validation_batches(run, max_images=max(counts)))
    images = np.concatenate([images for images, _ in batches])
    expected = np.concatenate([packed(model(images, training=False)) for images, _ in batches])
    measured, wrong = {}, {}
    for (name, form), n in zip(forms.items(), counts, strict=True):
        few = np.unique(np.linspace(0, len(images) - 1, n).round().astype(int))
        _log.info(f"{name}: {len(few)} images by ARM64 kernels ...")
        try:
            measured[name], found = compare_arm64(
                form.path,
                form.precision,
                root,
                images[few],
                expected[few],
                task=task_of(run.config),
                trained=run.trained,
                layers=[layer.name for layer in model.layers],
                progress=True,
            )
        except ExportError as e:
            wrong[f"{name} on ARM64"] = str(e)
            continue
        share = zero_share(form.path.read_bytes())
        if form.precision in ("float32", "float16") and share >= NEEDED:
            measured[name] |= {"zero_share": round(share, 6), **sparse_kernels(form.path, root, images[0])}
        if found:
            text = f"{'; '.join(found)}. It differs {measured[name]['first_difference']}"
            wrong[f"{name} on ARM64"] = text + _set_aside(form.path)
    return measured, wrong
