"""The stages from a run's weights to a verified TFLite file; each makes those before it as needed.

    init or train -> reference (Keras logits) -> saved_model -> frozen -> tflite_*

Every stage runs its network on the same validation images and compares with the reference.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnext_tf.data.dataset import Dataset, calibration_images, eval_batches, naming_damage, reopen_dataset
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError, one_of
from mnext_tf.export.kinds import IO_TYPES, QUANTIZE, Tolerance, network_name, stage_name
from mnext_tf.export.verify import (
    FLOAT_TOLERANCE,
    compare,
    failures,
    layer_differences,
    refuse,
    rounding_noise,
)
from mnext_tf.files import sha256, write_csv, write_json
from mnext_tf.run_folder import Run, StageResult, load_network, require_weights, run_stage

Log = Callable[[str], None]
CALIBRATION_IMAGES = {"trained": 200, "imported": 200, "random": 32}


def validation_images(
    run: Run, log: Log | None = None, *, max_images: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(images float32 (n, size, size, 3), labels (n,) or None) on which every network of the run is compared."""
    dataset = run_dataset(run, log)
    preprocess = Preprocess.from_dict(run.config["preprocess"])
    with naming_damage(dataset, "validation"):
        batches = list(
            eval_batches(
                dataset, preprocess, 64, max_images=run.config["verify_images"] if max_images is None else max_images
            )
        )
    labels = np.concatenate([y for _, y in batches]) if dataset.labelled else None
    return np.concatenate([x for x, _ in batches]), labels


def run_dataset(run: Run, log: Log | None = None) -> Dataset:
    """The data a run was made with. Raises ConfigError where it has changed since."""
    dataset = reopen_dataset(run.config["dataset"], len(run.config["class_names"]), log=log)
    if dataset.fingerprint != run.config["dataset"]["fingerprint"]:
        raise ConfigError(f"The data in {dataset.folder} has changed since {run.folder} was made. Train again.")
    return dataset


def exports_of(run: Run) -> list[tuple[str, Path]]:
    """(stage, its SavedModel, graph or file) of everything that a run has exported, in the order of making."""
    found = [("saved_model", run.stage("saved_model"))] if run.manifest("saved_model") else []
    if run.manifest("frozen"):
        found.append(("frozen", run.stage("frozen") / "frozen.pb"))
    for manifest in sorted(run.folder.glob("tflite_*/manifest.json")):
        stage = manifest.parent.name
        found.append((stage, manifest.parent / run.manifest(stage)["result"]["file"]))
    return found


def reference(run: Run, *, log: Log | None = None) -> StageResult:
    """Logits of the Keras network on the validation images: what every export is compared with."""

    def build(folder: Path) -> dict:
        images, labels = validation_images(run, log)
        logits = run_network(keras_function(load_network(run)), images)
        np.save(folder / "logits.npy", logits)
        return {"images": len(images), "measured": compare(logits, logits, labels)}

    return export_stage(run, "reference", {"weights": require_weights(run)}, {}, build, False, log)


def saved_model(run: Run, *, force: bool = False, log: Log | None = None) -> StageResult:
    """Keras to SavedModel, verified."""
    expected = reference(run, log=log)

    def build(folder: Path) -> dict:
        from mnext_tf.export.saved_model import load_saved_model, write_saved_model

        write_saved_model(load_network(run), run.config["class_names"], folder)
        _write_preprocess(run, folder)
        return _verified(run, "saved_model", load_saved_model(folder), expected, folder)

    return export_stage(
        run, "saved_model", {"weights": run.weights, "reference": expected.folder / "logits.npy"}, {}, build, force, log
    )


def freeze(run: Run, *, force: bool = False, log: Log | None = None) -> StageResult:
    """SavedModel to one frozen GraphDef, verified."""
    source = saved_model(run, log=log)
    expected = reference(run)

    def build(folder: Path) -> dict:
        from mnext_tf.export.frozen import load_frozen, write_frozen

        nodes = write_frozen(source.folder, folder / "frozen.pb")
        _write_labels(run, folder)
        _write_preprocess(run, folder)
        return {"nodes": nodes, **_verified(run, "frozen", load_frozen(folder / "frozen.pb"), expected, folder)}

    return export_stage(
        run, "frozen", {"saved_model": source.folder / "saved_model.pb", "weights": run.weights}, {}, build, force, log
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
    log: Log | None = None,
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
        calibration_count = before.get("calibration_count", CALIBRATION_IMAGES[run.config["init"]])
    if calibration_count < 1:
        raise ConfigError(f"calibration_count must be at least 1; received {calibration_count}.")
    tolerance = tolerance or Tolerance(**before.get("tolerance", {}))
    said = before.get("about", {"author": "not stated", "license": "not stated"})
    about = {"author": said["author"] if author is None else author}
    about |= {"license": said["license"] if license is None else license}
    source = freeze(run, log=log)
    settings = {"quantize": quantize, "tolerance": vars(tolerance), "about": about}
    if quantize == "int8":
        settings |= {"io_type": io_type, "calibration_count": calibration_count}

    def build(folder: Path) -> dict:
        from mnext_tf.export.metadata import add_metadata, describe
        from mnext_tf.export.tflite import convert

        path = folder / tflite_name(run, name)
        calibration = []
        if quantize == "int8":
            preprocess = Preprocess.from_dict(run.config["preprocess"])
            calibration = calibration_images(run_dataset(run), preprocess, calibration_count, seed=run.config["seed"])
        frozen = source.folder / "frozen.pb"
        content = convert(frozen, quantize, io_type=io_type, calibration=calibration)
        path.write_bytes(add_metadata(content, describe(run.config, name, **about), output="logits"))
        return {**verified_tflite(run, path, quantize, tolerance), "calibration_images": len(calibration)}

    return export_stage(run, name, {"frozen": source.folder / "frozen.pb"}, settings, build, force, log)


def verified_tflite(run: Run, path: Path, quantize: str, tolerance: Tolerance) -> dict:
    """A stage's result for a new .tflite file; writes what lies beside it. Raises VerificationError, ExportError."""
    from mnext_tf.export import operators
    from mnext_tf.export.tflite import TFLiteNetwork, describe_ends

    folder = path.parent
    ops = operators.read_operators(path)
    operators.check_batch_norms_folded(ops)
    network = TFLiteNetwork(path)
    if quantize == "int8":
        operators.check_full_integer(ops if network.gives == "logits" else ops[:-1])

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
    (folder / "labels.txt").write_text("".join(f"{n}\n" for n in run.config["class_names"]), encoding="utf-8")


def _write_preprocess(run: Run, folder: Path) -> None:
    """preprocess.json: how an image is resized and cropped before the network sees it."""
    write_json(folder / "preprocess.json", run.config["preprocess"])


def keras_function(model):
    """The network as Keras computes it, compiled."""
    import tensorflow as tf

    return tf.function(lambda images: model(images, training=False), autograph=False, reduce_retracing=True)


def run_network(network, images: np.ndarray) -> np.ndarray:
    """Logits of all images, in batches of 64."""
    return np.concatenate([np.asarray(network(_tensor(images[i : i + 64]))) for i in range(0, len(images), 64)])


def tflite_name(run: Run, stage: str) -> str:
    """For example mnext_1.0_224_int8.tflite: network, width, input size, kind."""
    m = run.config["model"]
    kind = stage.removeprefix("tflite_")
    name = network_name(m["name"], m["width"], m["identity_tensor_multiplier"], m["input_size"])
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


def _tensor(images: np.ndarray):
    import tensorflow as tf

    return tf.convert_to_tensor(images, tf.float32)


def export_stage(run: Run, name: str, inputs: dict, settings: dict, build, force: bool, log: Log | None) -> StageResult:
    """`run_stage` for what depends on the run's network, data and preprocessing."""
    data = {k: run.config[k] for k in ("preprocess", "class_names", "verify_images", "model")}
    settings = {**settings, **data, "dataset": run.config["dataset"]["fingerprint"]}
    return run_stage(run, name, inputs=inputs, settings=settings, build=build, force=force, log=log)
