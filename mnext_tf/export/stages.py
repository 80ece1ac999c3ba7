"""The stages from a run's weights to a verified TFLite file; each makes those before it as needed.

    init or train -> reference (Keras logits) -> saved_model -> frozen -> tflite_*

Every stage runs its network on the same validation images and compares with the reference.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from mnext_tf.compression.calibration import calibration_images
from mnext_tf.errors import ConfigError, one_of
from mnext_tf.evaluation.equivalence import (
    FLOAT_TOLERANCE,
    compare,
    failures,
    layer_differences,
    refuse,
    rounding_noise,
)
from mnext_tf.evaluation.tolerance import Tolerance
from mnext_tf.export.checks import check_batch_norms_folded, check_full_integer
from mnext_tf.files import sha256, write_csv, write_json
from mnext_tf.inference.predictor import keras_function, run_network
from mnext_tf.naming import IO_TYPES, QUANTIZE, network_name, network_title, stage_name
from mnext_tf.runs.config import RunConfig
from mnext_tf.runs.dataset import run_dataset, validation_images
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import StageResult, run_stage
from mnext_tf.runs.weights import load_network, require_weights
from mnext_tf.tflite.metadata import Metadata
from mnext_tf.version import __version__


def describe(config: RunConfig, stage: str, *, author: str, license: str) -> Metadata:
    """What a .tflite file says of itself that a stage makes of a run with this configuration."""
    model, labels = config.model, config.class_names
    title = network_title(model.name, model.width, model.identity_tensor_multiplier)
    origin = {"trained": "trained", "imported": "imported weights", "random": "random weights"}[config.init]
    return Metadata(
        name=f"{title}, {model.input_size} px, {stage.removeprefix('tflite_').split('_')[0]}",
        description=f"Classifies a photograph as one of {len(labels)} classes ({origin}). Made with mnext_tf.",
        version=__version__,
        author=author,
        license=license,
        labels=labels,
        preprocess=config.preprocess.to_dict(),
    )


CALIBRATION_IMAGES = {"trained": 200, "imported": 200, "random": 32}


def reference(run: Run) -> StageResult:
    """Logits of the Keras network on the validation images: what every export is compared with."""

    def build(folder: Path) -> dict:
        images, labels = validation_images(run)
        logits = run_network(keras_function(load_network(run)), images)
        np.save(folder / "logits.npy", logits)
        return {"images": len(images), "measured": compare(logits, logits, labels)}

    return export_stage(run, "reference", {"weights": require_weights(run)}, {}, build, False)


def saved_model(run: Run, *, force: bool = False) -> StageResult:
    """Keras to SavedModel, verified."""
    expected = reference(run)

    def build(folder: Path) -> dict:
        from mnext_tf.export.saved_model import write_saved_model
        from mnext_tf.inference.saved_model import load_saved_model

        write_saved_model(load_network(run), run.config.class_names, folder)
        _write_preprocess(run, folder)
        return _verified(run, "saved_model", load_saved_model(folder), expected, folder)

    return export_stage(
        run, "saved_model", {"weights": run.weights, "reference": expected.folder / "logits.npy"}, {}, build, force
    )


def freeze(run: Run, *, force: bool = False) -> StageResult:
    """SavedModel to one frozen GraphDef, verified."""
    source = saved_model(run)
    expected = reference(run)

    def build(folder: Path) -> dict:
        from mnext_tf.export.frozen import write_frozen
        from mnext_tf.inference.frozen import load_frozen

        nodes = write_frozen(source.folder, folder / "frozen.pb")
        _write_labels(run, folder)
        _write_preprocess(run, folder)
        return {"nodes": nodes, **_verified(run, "frozen", load_frozen(folder / "frozen.pb"), expected, folder)}

    return export_stage(
        run, "frozen", {"saved_model": source.folder / "saved_model.pb", "weights": run.weights}, {}, build, force
    )


def tflite(
    run: Run,
    quantize: str = "float32",
    *,
    io_type: str = "int8",
    calibration_count: int | None = None,
    tolerance: Tolerance | None = None,
    author: str | None = None,
    license: str | None = None,
    force: bool = False,
) -> StageResult:
    """Frozen graph to a verified TFLite file; `result["file"]` is its name in the stage's folder.

    `calibration_count` images set the ranges of an int8 file. `author` and `license` are written into the
    file. None for any of these or for `tolerance` takes what the file that is there was made with, else 200 images
    (untrained 32), "not stated" and `Tolerance()`.

    Raises ExportError where batch norms were left over or int8 is not whole, VerificationError where
    the file is not the network it came from; no file is left then.
    """
    one_of("quantize", quantize, QUANTIZE)
    one_of("io_type", io_type, IO_TYPES)
    if io_type != "int8" and quantize != "int8":
        raise ConfigError(f"io_type={io_type} is for quantize=int8; {quantize} files take and give float32.")
    name = stage_name(quantize, io_type)
    before = (run.manifest(name) or {}).get("settings", {})
    if calibration_count is None:
        calibration_count = before.get("calibration_count", CALIBRATION_IMAGES[run.config.init])
    if calibration_count < 1:
        raise ConfigError(f"calibration_count must be at least 1; received {calibration_count}.")
    tolerance = tolerance or Tolerance(**before.get("tolerance", {}))
    said = before.get("about", {"author": "not stated", "license": "not stated"})
    about = {"author": said["author"] if author is None else author}
    about |= {"license": said["license"] if license is None else license}
    source = freeze(run)
    settings = {"quantize": quantize, "tolerance": vars(tolerance), "about": about}
    if quantize == "int8":
        settings |= {"io_type": io_type, "calibration_count": calibration_count}

    def build(folder: Path) -> dict:
        from mnext_tf.export.tflite import convert
        from mnext_tf.tflite.metadata import add_metadata

        path = folder / tflite_name(run, name)
        calibration = []
        if quantize == "int8":
            preprocess = run.config.preprocess
            calibration = calibration_images(run_dataset(run), preprocess, calibration_count, seed=run.config.seed)
        frozen = source.folder / "frozen.pb"
        content = convert(frozen, quantize, io_type=io_type, calibration=calibration)
        path.write_bytes(add_metadata(content, describe(run.config, name, **about), output="logits"))
        return {**verified_tflite(run, path, quantize, tolerance), "calibration_images": len(calibration)}

    return export_stage(run, name, {"frozen": source.folder / "frozen.pb"}, settings, build, force)


def verified_tflite(run: Run, path: Path, quantize: str, tolerance: Tolerance) -> dict:
    """A stage's result for a new .tflite file; writes what lies beside it. Raises VerificationError, ExportError."""
    from mnext_tf.inference.tflite import TFLiteNetwork, describe_ends
    from mnext_tf.tflite import operators

    folder = path.parent
    ops = operators.read_operators(path)
    check_batch_norms_folded(ops)
    network = TFLiteNetwork(path)
    if quantize == "int8":
        check_full_integer(ops if network.gives == "logits" else ops[:-1])

    expected = reference(run)
    images, measured, found = _measure(run, quantize, network, expected, tolerance)
    model = load_network(run)
    rows = layer_differences(model, path, images[:8])
    noise = rounding_noise(model, images[:32]) if found and quantize in FLOAT_TOLERANCE else 0.0
    refuse(f"{path.name} ({quantize})", found, rows, noise)
    write_csv(folder / "layers.csv", rows)
    verify = {
        "images": len(images),
        "passed": True,
        "max_accuracy_drop": tolerance.max_accuracy_drop,
        "min_agreement": tolerance.min_agreement,
        "networks": {
            "keras": expected.result["measured"],
            "saved_model": run.manifest("saved_model")["result"]["measured"],
            "frozen": run.manifest("frozen")["result"]["measured"],
            "tflite": measured,
        },
    }
    write_json(folder / "verify.json", verify)
    _write_labels(run, folder)
    _write_preprocess(run, folder)
    delegation = operators.delegation(path)
    return {
        "file": path.name,
        "file_bytes": path.stat().st_size,
        "sha256": sha256(path),
        "nodes_total": delegation.nodes_total,
        "nodes_delegated": delegation.nodes_delegated,
        "not_delegated": list(delegation.left),
        **describe_ends(path),
        "verify": verify,
    }


def _write_labels(run: Run, folder: Path) -> None:
    """labels.txt: one class name a line, in order of the logits."""
    (folder / "labels.txt").write_text("".join(f"{n}\n" for n in run.config.class_names), encoding="utf-8")


def _write_preprocess(run: Run, folder: Path) -> None:
    """preprocess.json: how an image is resized and cropped before the network sees it."""
    write_json(folder / "preprocess.json", run.config.preprocess.to_dict())


def tflite_name(run: Run, stage: str) -> str:
    """For example mnext_1.0_224_int8.tflite: network, width, input size, kind."""
    m = run.config.model
    kind = stage.removeprefix("tflite_")
    name = network_name(m.name, m.width, m.identity_tensor_multiplier, m.input_size)
    return f"{name}_{kind}.tflite"


def _verified(run: Run, kind: str, network, expected: StageResult, folder: Path) -> dict:
    """Compare a function of images with the reference logits; raises VerificationError."""
    images, measured, found = _measure(run, kind, network, expected, Tolerance())
    if found:
        model = load_network(run)
        refuse(kind, found, _layers(model, kind, folder, images[:8]), rounding_noise(model, images[:32]))
    return {"images": len(images), "measured": measured}


def _measure(run: Run, kind: str, network, expected: StageResult, tolerance: Tolerance):
    """(validation images, numbers of `compare` with the reference, what is wrong in words) of a function of images."""
    images, labels = validation_images(run)
    outputs = run_network(network, images)
    measured = compare(
        outputs, np.load(expected.folder / "logits.npy"), labels, gives=getattr(network, "gives", "logits")
    )
    return images, measured, failures(kind, measured, expected.result["measured"], tolerance, trained=run.trained)


def _layers(model, kind: str, folder: Path, images: np.ndarray) -> list[dict]:
    """Differences by layer of a SavedModel or frozen graph, which TFLite lets us look into."""
    from mnext_tf.export.frozen import write_frozen
    from mnext_tf.export.tflite import convert

    with tempfile.TemporaryDirectory() as scratch:
        frozen = folder / "frozen.pb" if kind == "frozen" else Path(scratch) / "frozen.pb"
        if kind == "saved_model":
            write_frozen(folder, frozen)
        path = Path(scratch) / "look.tflite"
        path.write_bytes(convert(frozen, "float32"))
        return layer_differences(model, path, images)


def export_stage(run: Run, name: str, inputs: dict, settings: dict, build, force: bool) -> StageResult:
    """`run_stage` for what depends on the run's network, data and preprocessing."""
    config = run.config.to_dict()
    data = {k: config[k] for k in ("preprocess", "class_names", "verify_images", "model")}
    settings = {**settings, **data, "dataset": run.config.dataset.fingerprint}
    return run_stage(run, name, inputs=inputs, settings=settings, build=build, force=force)
