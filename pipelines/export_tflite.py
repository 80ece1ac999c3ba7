"""Export a run's network as a verified TFLite file.

python -m pipelines.export_tflite --quantize int8
python -m pipelines.export_tflite --init=random --model=mobilenet_v2 --input_size=192
"""

from absl import flags

from mnext_tf.errors import ConfigError
from mnext_tf.export.kinds import IO_TYPES, QUANTIZE, Tolerance
from pipelines import _cli, _runs

flags.adopt_module_key_flags(_runs)
KIND = flags.DEFINE_enum("quantize", "float32", QUANTIZE, "What the file computes with. int8: full integer.")
IO_TYPE = flags.DEFINE_enum("io_type", "int8", IO_TYPES, "Input and output of an int8 file.")
CALIBRATION = flags.DEFINE_integer(
    "calibration_images", None, "Training images that set the ranges of an int8 file. Without it: 200."
)
MAX_DROP = flags.DEFINE_float("max_accuracy_drop", 1.0, "Percentage points of accuracy that quantizing may cost.")
MIN_AGREEMENT = flags.DEFINE_float("min_agreement", 0.9, "Least share of images with the same top-1 after quantizing.")


def main() -> None:
    if IO_TYPE.value != "int8" and KIND.value != "int8":
        raise ConfigError(f"--io_type={IO_TYPE.value} needs --quantize=int8; {KIND.value} files take and give float32.")
    if CALIBRATION.value is not None and CALIBRATION.value < 1:
        raise ConfigError(f"--calibration_images must be at least 1; received {CALIBRATION.value}.")
    tolerance = Tolerance(MAX_DROP.value, MIN_AGREEMENT.value)
    run = _runs.select_run()
    from mnext_tf.export.stages import tflite

    stage = tflite(
        run,
        KIND.value,
        io_type=IO_TYPE.value,
        calibration_count=CALIBRATION.value,
        tolerance=tolerance,
        force=_runs.FORCE.value,
        log=_cli.log,
    )
    result, verify = stage.result, stage.result["verify"]
    networks = verify["networks"]
    print(f"{stage.folder / result['file']}  {result['file_bytes'] / 1e6:.2f} MB")
    print(f"  input {_tensor(result['input'])}; output {_tensor(result['output'])}")
    left = f"; left to other kernels: {', '.join(result['not_delegated'])}" if result["not_delegated"] else ""
    print(f"  {result['nodes_delegated']} of {result['nodes_total']} operators on XNNPACK{left}")
    if run.trained:
        print(
            f"  verified on {verify['images']} validation images: accuracy {networks['tflite']['accuracy']:.2%} "
            f"(Keras {networks['keras']['accuracy']:.2%}), same top-1 on {networks['tflite']['top1_agreement']:.2%}, "
            f"largest relative difference {networks['tflite']['max_relative_difference']:.1e}"
        )
    else:
        difference = networks["tflite"]["max_relative_difference"]
        print(f"  untrained: largest relative difference of the logits {difference:.1e} on {verify['images']} images")


def _tensor(end: dict) -> str:
    scale = f", scale {end['scale']:.6g}, zero point {end['zero_point']}" if end["scale"] else ""
    return f"{end['dtype']} {'x'.join(map(str, end['shape']))}{scale}"


if __name__ == "__main__":
    _cli.run(main)
