"""The stages from a run's weights to a verified TFLite file; each makes those before it as needed.

    init, train, or import -> reference (Keras logits) -> saved_model -> frozen -> tflite_*

Every stage runs its network on the same validation images and compares the outputs with the reference.
"""

from __future__ import annotations

import dataclasses
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mnext_tf.evaluation.equivalence import layer_differences, refuse, rounding_noise
from mnext_tf.export.about import decoding_of, describe, described
from mnext_tf.export.checks import check_full_integer, check_operators
from mnext_tf.export.plan import make_plan
from mnext_tf.export.settings import ExportSettings
from mnext_tf.files import sha256, write_csv, write_json, write_text
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.naming import CALIBRATED, full_name_of, network_name, stage_name
from mnext_tf.runs.dataset import validation_batches
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import StageResult, configuration, run_stage
from mnext_tf.runs.weights import load_network, require_weights
from mnext_tf.tasks import Tolerance, task_of
from mnext_tf.tasks.classification import FLOAT_TOLERANCE
from mnext_tf.tflite import operators
from mnext_tf.tflite.metadata import DETECTOR, LABELS, PREPROCESS, labels_text
from mnext_tf.tflite.preflight import preflight
from mnext_tf.tflite.zeros import zero_share

_log = logging.getLogger(__name__)


def reference(run: Run) -> StageResult:
    """Logits of the Keras network on the validation images: what every export is compared with."""

    def build(folder: Path) -> dict:
        comparison, logits = task_of(run.config).comparison(), []
        with open_predictor(run) as network:
            for images, labels in validation_batches(run):
                logits.append(network.logits(images))
                comparison.update(logits[-1], logits[-1], labels)
        np.save(folder / "logits.npy", np.concatenate(logits))
        return {"measured": comparison.result()}

    return export_stage(run, "reference", {"weights": require_weights(run)}, {}, build)


def saved_model(run: Run, **options) -> StageResult:
    """Keras to SavedModel, verified; `options` are those of `export_stage`."""
    expected = reference(run)

    def build(folder: Path) -> dict:
        from mnext_tf.export.saved_model import write_saved_model

        write_saved_model(load_network(run), run.config.class_names, folder)
        write_json(folder / PREPROCESS, run.config.preprocess.to_dict())
        _write_decoding(run, folder)
        return {"measured": _verified(run, "saved_model", folder, expected)}

    inputs = {"weights": run.weights, "reference": expected.folder / "logits.npy"}
    return export_stage(run, "saved_model", inputs, {}, build, **options)


def freeze(run: Run, **options) -> StageResult:
    """SavedModel to one frozen GraphDef, verified; `options` are those of `export_stage`."""
    source = saved_model(run)
    expected = reference(run)

    def build(folder: Path) -> dict:
        from mnext_tf.export.frozen import write_frozen

        nodes = write_frozen(source.folder, folder / "frozen.pb")
        _write_sidecars(run, folder)
        return {"nodes": nodes, "measured": _verified(run, "frozen", folder / "frozen.pb", expected)}

    inputs = {"saved_model": source.folder / "saved_model.pb", "weights": run.weights}
    return export_stage(run, "frozen", inputs, {}, build, **options)


def tflite(
    run: Run,
    precision: str = "float32",
    *,
    io_type: str = "int8",
    calibration_count: int | None = None,
    effort: str | None = None,
    sparse: bool | None = None,
    tolerance: Tolerance | None = None,
    author: str | None = None,
    license: str | None = None,
    calibration_data: str | Path | None = None,
    keep_float: str | None = None,
    auto_keep_float: int | None = None,
    **options,
) -> StageResult:
    """Frozen graph to a verified TFLite file; `result["file"]` is its name in the stage's folder.

    `calibration_count` images set the ranges of an integer file: of the run's training images, or below the folder
    `calibration_data` ("": of the training images again). `effort` for its accuracy, one of `EFFORTS`: see
    `mnext_tf.compression.post_training`. Of an int8 file, the layers whose names begin with one in `keep_float`, "a,b",
    compute in float32, and `auto_keep_float` more, whose rounding costs most at the logits. `sparse` leaves the zeros
    of a pruned network out of a float32 file. `author` and `license` are written into the file. None for any of these
    takes what an earlier call was given, even one whose check failed; else 200 images (untrained 32), "fast", no
    layers, False, and "not stated". None for `tolerance` takes that of the accepted file, else `Tolerance()`. `options`
    are those of `export_stage`.

    Raises ExportError where batch norms were left over or an integer file computes in float, VerificationError where
    the file is not the network it came from; a file of an earlier call stays then.
    """
    name = stage_name(precision, io_type)
    data = None if calibration_data is None else str(calibration_data)
    given = ExportSettings(author, license, calibration_count, effort, sparse, data, keep_float, auto_keep_float)
    plan = make_plan(run, name, precision, io_type, given)
    accepted = run.manifest(name)
    tolerance = tolerance or tolerance_of(accepted.settings if accepted else {})
    source = freeze(run)
    settings = {**plan.settings(), "tolerance": dataclasses.asdict(tolerance)}

    def build(folder: Path) -> dict:
        from mnext_tf.export.tflite import convert

        path = folder / tflite_name(run, name)
        calibration, found = plan.calibration_images(run)
        _log.info(f"{path.name}: converting")
        options = {"io_type": io_type, "calibration": calibration, "sparse": plan.sparse}
        content = convert(source.folder / "frozen.pb", precision, **options)
        if plan.changes_int8:
            from mnext_tf.export.better_int8 import better_int8

            content, better = better_int8(run, content, calibration, plan, folder)
            found |= better
        path.write_bytes(described(run.config, content, describe(run.config, name, **plan.about)))
        return {**verified_tflite(run, path, precision, tolerance, float_layers(found)), **found}

    return export_stage(run, name, {"frozen": source.folder / "frozen.pb"}, settings, build, **options)


def float_layers(result: dict) -> list[str]:
    """The layers of an int8 file that compute in float32, from a stage's result."""
    return result.get("keep_float", {}).get("layers", [])


def verified_tflite(run: Run, path: Path, precision: str, tolerance: Tolerance, in_float: Sequence[str] = ()) -> dict:
    """A stage's result for a new .tflite file; writes what lies beside it. Raises VerificationError, ExportError.

    in_float: see `float_layers`.
    """
    from mnext_tf.inference.tflite import describe_ends
    from mnext_tf.inference.tflite_detector import is_for_apps

    folder = path.parent
    _write_sidecars(run, folder, {"anchors": "two", "detections": "four"}.get(path.stem.rpartition("_")[2], "raw"))
    ops = operators.read_operators(path)
    check_operators(ops, task_of(run.config))
    if precision == "dynamic" and any(op.kind == "LOGISTIC" for op in ops):
        _log.warning(
            f"{path.name}: dynamic-range rounding costs networks with swish and squeeze-excite accuracy. Compare it "
            "with weight_int8, which is nearly as small, int8, or float16."
        )
    if precision in CALIBRATED:
        activations = precision.removesuffix("x8")
        if not is_for_apps(path):  # it was checked before operators for apps were added
            check_full_integer(ops if operators.output_kind(ops) == "logits" else ops[:-1], activations, in_float)
    expected = reference(run)
    measured, model = _verified(run, precision, path, expected, tolerance), load_network(run)
    write_csv(folder / "layers.csv", layer_differences(model, path, _first_images(run, 8)))
    verify = {
        "images": measured["images"],
        "passed": True,
        "bounds": task_of(run.config).bounds(precision, tolerance, trained=run.trained),
        "networks": {
            "keras": expected.result["measured"],
            "saved_model": run.manifest("saved_model").result["measured"],
            "frozen": run.manifest("frozen").result["measured"],
            "tflite": measured,
        },
    }
    write_json(folder / "verify.json", verify)
    delegation = operators.delegation(path)
    found = preflight(path, [layer.name for layer in model.layers], delegation)
    if found.left:
        write_csv(folder / "preflight.csv", found.rows())
    return {
        "file": path.name,
        "file_bytes": path.stat().st_size,
        "sha256": sha256(path),
        "nodes_total": delegation.nodes_total,
        "nodes_delegated": delegation.nodes_delegated,
        "not_delegated": list(delegation.left),
        "preflight": found.to_dict(),
        "zero_share": round(zero_share(path.read_bytes()), 6),
        "sparse": any(op.kind == "DENSIFY" for op in ops),
        **describe_ends(path),
        "verify": verify,
    }


def export_stage(run: Run, name: str, inputs: dict, settings: dict, build, *, force: bool = False, **options):
    """`run_stage` for what depends on the run's network, data, and preprocessing; `options` are those of it."""
    settings = {**settings, **configuration(run)}
    return run_stage(run, name, inputs=inputs, settings=settings, build=build, force=force, **options)


def tolerance_of(settings: dict) -> Tolerance:
    """The bounds that a stage's settings name, else the defaults."""
    return Tolerance.from_dict({**dataclasses.asdict(Tolerance()), **settings.get("tolerance", {})})


def tflite_name(run: Run, stage: str) -> str:
    """For example mnext_1.0_224_int8.tflite: network, width, input size, precision."""
    m = run.config.model
    name = network_name(full_name_of(m), m.width, m.identity_tensor_multiplier, m.input_size)
    return f"{name}_{stage.removeprefix('tflite_')}.tflite"


def _write_sidecars(run: Run, folder: Path, form: str = "raw") -> None:
    """labels.txt, one class name per line in order of the outputs, preprocess.json, and a detector's detector.json."""
    write_text(folder / LABELS, labels_text(run.config.class_names))
    write_json(folder / PREPROCESS, run.config.preprocess.to_dict())
    _write_decoding(run, folder, form)


def _write_decoding(run: Run, folder: Path, form: str = "raw") -> None:
    if run.config.task == "detection":
        write_json(folder / DETECTOR, decoding_of(run.config, form).to_dict())


def _verified(run: Run, form: str, path: Path, expected: StageResult, tolerance: Tolerance | None = None) -> dict:
    """How a file differs from the reference; raises VerificationError where it is not the same network.

    form: "saved_model", "frozen", or the precision of a TFLite file.
    """
    from tqdm import tqdm

    task, logits, at = task_of(run.config), np.load(expected.folder / "logits.npy", mmap_mode="r"), 0
    format = form if form in ("saved_model", "frozen") else "tflite"
    bar = tqdm(total=len(logits), desc=f"verifying {form}", unit="img", disable=None, leave=False)
    with open_predictor(path, format=format) as network, bar:
        comparison = task.comparison(network.output)
        for images, labels in validation_batches(run):
            comparison.update(network.compared(images), logits[at : at + len(images)], labels)
            at += len(images)
            bar.update(len(images))
    measured = comparison.result()
    bounds = task.bounds(form, tolerance or Tolerance(), trained=run.trained)
    if found := task.failures(measured, expected.result["measured"], bounds):
        model, images = load_network(run), _first_images(run, 32)
        noise = rounding_noise(model, images) if form in FLOAT_TOLERANCE else 0.0
        name = f"{path.name} ({form})" if format == "tflite" else form
        refuse(name, found, _layers(model, format, path, images[:8]), noise)
    return measured


def _first_images(run: Run, count: int) -> np.ndarray:
    return next(iter(validation_batches(run)))[0][:count]


def _layers(model, format: str, path: Path, images: np.ndarray) -> list[dict]:
    """Differences by layer; a SavedModel or frozen graph becomes TFLite first, which lets us look into it."""
    if format == "tflite":
        return layer_differences(model, path, images)
    from mnext_tf.export.frozen import write_frozen
    from mnext_tf.export.tflite import convert

    with tempfile.TemporaryDirectory() as scratch:
        frozen = path if format == "frozen" else Path(scratch) / "frozen.pb"
        if format == "saved_model":
            write_frozen(path, frozen)
        file = Path(scratch) / "look.tflite"
        file.write_bytes(convert(frozen, "float32"))
        return layer_differences(model, file, images)
