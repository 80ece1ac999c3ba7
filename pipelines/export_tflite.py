"""Export a run's network as a verified TFLite file.

python -m pipelines.export_tflite --quantize int8
python -m pipelines.export_tflite --quantize int8 --effort=good
python -m pipelines.export_tflite --quantize int8 --android
python -m pipelines.export_tflite --sparse --run=runs/pruned
python -m pipelines.export_tflite --init=random --model=mobilenet_v2 --input_size=192
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.export import app_assets
from mnext_tf.naming import CALIBRATED, EFFORTS, IO_TYPES, OUTPUTS, PRECISIONS
from mnext_tf.tasks.tolerance import Tolerance
from pipelines import _cli, _flags, _runs

flags.adopt_module_key_flags(_runs)
_QUANTIZE = (
    "What the file computes with. int8: full integer; int16x8: with int16 activations, for microcontrollers and NPUs; "
    "weight_int8: weights stored as int8, computed in float32."
)
PRECISION = flags.DEFINE_enum("quantize", "float32", PRECISIONS, _QUANTIZE)
IO_TYPE = flags.DEFINE_enum("io_type", "int8", IO_TYPES, "Input and output of an int8 file.")
OUTPUT = flags.DEFINE_enum(
    "output",
    "logits",
    OUTPUTS,
    "For apps and MediaPipe: probabilities of a classifier, by a softmax; of a detector, detections, the boxes "
    "themselves, or anchors, boxes and scores of all priors, which GPUs compute. int8 files take uint8 pixels.",
)
ANDROID = flags.DEFINE_bool(
    "android", False, "Put it into an Android project's assets; means --output=probabilities or detections."
)
ASSETS = flags.DEFINE_string("assets", "android_assets/app/src/main/assets", "The assets folder of --android.")
AUTHOR = flags.DEFINE_string("author", None, "Author in the file's metadata. Without it: as before, else not stated.")
LICENSE = flags.DEFINE_string(
    "license", None, "License of the weights, for the metadata. Without it: as before, else not stated."
)
CALIBRATION = flags.DEFINE_integer(
    "calibration_images",
    None,
    "Training images for the ranges of an int8 or int16x8 file. Without it: as before, else 200.",
)
CALIBRATION_DATA = flags.DEFINE_string(
    "calibration_data",
    None,
    "A folder of images, labeled or not, that set these ranges in place of the training images; empty for those. "
    "Without it: as before.",
)
EFFORT = flags.DEFINE_enum(
    "effort",
    None,
    EFFORTS,
    "For the accuracy of an int8 file. fast: rounded by the converter; good: fitted layer by layer to the float "
    "network, a minute or two at 224 pixels; best: with ranges chosen by their effect, several minutes; trained: as "
    "`train --qat` left it. Without it: as before, else trained or fast.",
)
SPARSE = flags.DEFINE_bool(
    "sparse",
    None,
    "Store a pruned network's float32 weights without their zeros: a smaller file, which XNNPACK's sparse kernels "
    "compute faster on ARM. Without it: as before, else not.",
)
KEEP_FLOAT = flags.DEFINE_string(
    "keep_float",
    None,
    "Layers of an int8 file that compute in float32: their names, or starts of these, a,b; empty for none. Without it: "
    "as before.",
)
AUTO_KEEP_FLOAT = flags.DEFINE_integer(
    "auto_keep_float",
    None,
    "As many layers of an int8 file, besides, compute in float32: those whose rounding changes the logits most, on 40 "
    "calibration images. Without it: as before.",
    lower_bound=0,
)
MAX_DROP, MIN_AGREEMENT = _flags.tolerance()


def main() -> None:
    if IO_TYPE.value != "int8" and PRECISION.value != "int8":
        raise ConfigError(
            f"--io_type={IO_TYPE.value} needs --quantize=int8; {PRECISION.value} files take and give float32."
        )
    if CALIBRATION.value is not None and CALIBRATION.value < 1:
        raise ConfigError(f"--calibration_images must be at least 1; received {CALIBRATION.value}.")
    if CALIBRATION_DATA.value and PRECISION.value not in CALIBRATED:
        raise ConfigError(f"--calibration_data needs --quantize={' or '.join(CALIBRATED)}; other files have no ranges.")
    if EFFORT.value and PRECISION.value != "int8":
        raise ConfigError(f"--effort={EFFORT.value} needs --quantize=int8; it is for int8 files alone.")
    if SPARSE.value and PRECISION.value != "float32":
        raise ConfigError(f"--sparse needs --quantize=float32; XNNPACK has no sparse kernels for {PRECISION.value}.")
    if (KEEP_FLOAT.value or AUTO_KEEP_FLOAT.value) and PRECISION.value != "int8":
        raise ConfigError("--keep_float and --auto_keep_float need --quantize=int8; they are for int8 files alone.")
    for_apps = ANDROID.value or OUTPUT.value != "logits"
    if for_apps and flags.FLAGS["io_type"].present:
        raise ConfigError("--io_type is for files that give logits; those for apps take uint8 pixels or float32.")
    if ANDROID.value and flags.FLAGS["output"].present and OUTPUT.value in ("logits", "anchors"):
        raise ConfigError(
            f"--android takes files that give probabilities or detections; remove --output={OUTPUT.value}."
        )
    if flags.FLAGS["assets"].present and not ANDROID.value:
        raise ConfigError("--assets names the folder of --android; give both.")
    tolerance = Tolerance(MAX_DROP.value, MIN_AGREEMENT.value)
    if ANDROID.value:
        app_assets.require_project(Path(ASSETS.value))  # before the minutes that exporting takes
    run = _runs.select_run()
    from mnext_tf.export import stages

    options = {"calibration_count": CALIBRATION.value, "effort": EFFORT.value, "tolerance": tolerance}
    options |= {"sparse": SPARSE.value, "author": AUTHOR.value, "license": LICENSE.value, **_runs.stage_options()}
    options |= {"calibration_data": CALIBRATION_DATA.value, "keep_float": KEEP_FLOAT.value}
    options |= {"auto_keep_float": AUTO_KEEP_FLOAT.value}
    if for_apps:
        stage = app_assets.for_apps(
            run, PRECISION.value, output=None if OUTPUT.value == "logits" else OUTPUT.value, **options
        )
    else:
        stage = stages.tflite(run, PRECISION.value, io_type=IO_TYPE.value, **options)
    _describe(run, stage)
    for path in app_assets.publish(run, stage, Path(ASSETS.value)) if ANDROID.value else ():
        print(f"{path}  {path.stat().st_size / 1e6:.2f} MB")


def _describe(run, stage) -> None:
    """The file, its ends, where it runs, and how it was verified."""
    from mnext_tf.tasks import task_of

    result, verify = stage.result, stage.result["verify"]
    networks = verify["networks"]
    print(f"{stage.folder / result['file']}  {result['file_bytes'] / 1e6:.2f} MB")
    outputs = result.get("outputs") or {"output": result["output"]}
    print(
        f"  input {_tensor(result['input'])}; " + "; ".join(f"{name} {_tensor(end)}" for name, end in outputs.items())
    )
    if result.get("calibration_images"):
        data = result.get("calibration_data")
        images = (
            f"{result['calibration_images']} images of {data['folder']}"
            if data
            else (f"{result['calibration_images']} training images")
        )
        print(f"  calibrated on {images}")
    effort = result.get("effort")
    if effort and effort["step"] == "trained":
        print("  with the ranges of the quantization-aware training")
    elif effort:
        steps = ", ".join(f"{step} {m['sqnr_db']:.1f}" for step, m in effort["measured"].items())
        print(f"  effort {effort['step']}; signal over error of the logits, in dB: {steps}")
    if result.get("zero_share", 0) >= 0.1:  # rounding to int8 gives a few percent by itself
        stored = "left out of the file" if result["sparse"] else "stored like the others"
        print(f"  {result['zero_share']:.1%} of the weights of its 1x1 convolutions are zero, {stored}")
    if kept := result.get("keep_float"):
        print(f"  in float32, with weights {kept['weights']}: {', '.join(kept['layers'])}")
    print(f"  {_processors(result)}")
    task, m = task_of(run.config), networks["tflite"]
    keras = networks["keras"][task.metric]
    shown = run.trained and keras is not None
    accuracy = f"{task.metric_title} {m[task.metric]:.2%} (Keras {keras:.2%}), " if shown else ""
    agreement = f"{task.agreement_title} on {m[task.agreement]:.2%}, " if run.trained else "untrained, "
    difference = m["max_relative_difference"]
    if difference is not None:
        agreement += f"largest relative difference {difference:.1e}; "
    bounds = _cli.bounds_text(verify.get("bounds", {}))
    print(f"  verified on {verify['images']} validation images: {accuracy}{agreement}required: {bounds}")


def _processors(result: dict) -> str:
    """What each processor takes of the file; preflight.csv names the operators that one leaves."""
    from mnext_tf.tflite.preflight import CPU, GPU, summary

    if not (found := result.get("preflight")):  # made by an older release
        return f"XNNPACK takes {result['nodes_delegated']} of {result['nodes_total']} operators"
    note = f"; {found['note']}" if found["note"] else ""
    return f"XNNPACK takes {summary(found, CPU)}; a GPU delegate, by its rules, {summary(found, GPU)}{note}"


def _tensor(end: dict) -> str:
    scale = f", scale {end['scale']:.6g}, zero point {end['zero_point']}" if end["scale"] else ""
    return f"{end['dtype']} {'x'.join(map(str, end['shape']))}{scale}"


if __name__ == "__main__":
    _cli.run(main)
