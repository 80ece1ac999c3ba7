"""Import published weights as a run: PyTorch, safetensors, Paddle, Keras, or TensorFlow, detected from the content.

python -m pipelines.import_checkpoint --checkpoint=model_best.pth.tar
python -m pipelines.import_checkpoint --checkpoint=mobilenet_v2-b0353104.pth --data_dir=photos
python -m pipelines.import_checkpoint --checkpoint=mobilenet_v2_1.0_224.ckpt --drop_background
"""

from __future__ import annotations

import shlex

from absl import flags

from mnext_tf.data.preprocess import INTERPOLATIONS
from mnext_tf.errors import ConfigError
from mnext_tf.models import list_models
from mnext_tf.naming import full_name_of
from pipelines import _cli, _flags

CHECKPOINT = flags.DEFINE_string(
    "checkpoint",
    None,
    "Checkpoint file, or prefix or folder of a TensorFlow checkpoint; docs/weights.md lists published ones.",
)
MODEL = flags.DEFINE_enum("model", None, list_models(), "Expected network (default: recognized).")
OUT = flags.DEFINE_string("out", None, "Run folder to create (default: named after the file, under --runs_root).")
RUNS_ROOT = _flags.runs_root()
DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Images to verify and calibrate on, labeled or not (default: the embedded samples)."
)
CACHE_DIR = _flags.cache_dir()
MAX_MEGAPIXELS = _flags.max_megapixels()
LABEL_OFFSET = flags.DEFINE_integer(
    "label_offset",
    None,
    "Stored label of the first class in --data_dir, 0 or 1, for TFRecord shards that do not specify it.",
)
WIDTH = flags.DEFINE_float("width", None, "Expected width multiplier (default: recognized).")
NUM_CLASSES = flags.DEFINE_integer("num_classes", None, "Expected number of classes (default: that of the file).")
IDENTITY = flags.DEFINE_float(
    "identity_tensor_multiplier", 1.0, "Share 1/k of the channels that mnext's shortcuts carry; weights do not show it."
)
INPUT_SIZE = flags.DEFINE_integer("input_size", None, "Side of the input, in pixels (default: the checkpoint's).")
CROP = flags.DEFINE_float("crop_fraction", None, "Share of the short side to crop (default: the publisher's).")
INTERPOLATION = flags.DEFINE_enum("interpolation", None, INTERPOLATIONS, "Resizing (default: the publisher's).")
MEAN = flags.DEFINE_list("mean", None, "Subtracted from red,green,blue in [0, 255] (default: the publisher's).")
STD = flags.DEFINE_list("std", None, "Divides red,green,blue in [0, 255] (default: the publisher's).")
ENTRY = flags.DEFINE_string(
    "entry", None, "State dict or model to use if the file has several, such as state_dict_ema."
)
DROP_BACKGROUND = flags.DEFINE_bool("drop_background", False, "Remove class 0 of 1001.")
LABELS = flags.DEFINE_string(
    "labels", None, "File of class names, one per line (default: ImageNet's for 1000 classes)."
)
FORCE = flags.DEFINE_bool("force", False, "Rewrite the weights even if nothing has changed.")


def main() -> None:
    if not CHECKPOINT.value:
        raise ConfigError("--checkpoint=FILE is required; docs/weights.md lists published weights.")
    mean, std = _three_numbers("mean", MEAN.value), _three_numbers("std", STD.value)
    names = None
    if LABELS.value:
        from mnext_tf.inference.sidecars import read_labels

        names = read_labels(LABELS.value)
    from mnext_tf.checkpoints import default_folder, import_checkpoint

    run = import_checkpoint(
        CHECKPOINT.value,
        OUT.value or default_folder(CHECKPOINT.value, RUNS_ROOT.value),
        dataset=_open_data,
        model=MODEL.value,
        width=WIDTH.value,
        num_classes=NUM_CLASSES.value,
        identity_tensor_multiplier=IDENTITY.value,
        input_size=INPUT_SIZE.value,
        crop_fraction=CROP.value,
        interpolation=INTERPOLATION.value,
        mean=mean,
        std=std,
        entry=ENTRY.value,
        drop_background=DROP_BACKGROUND.value,
        class_names=names,
        force=FORCE.value,
    )
    for line in describe(run):
        print(line)


def describe(run) -> list[str]:
    """The recognized network, its preprocessing, and the next commands."""
    from mnext_tf.checkpoints.recognize import PUBLISHERS

    model, source, preprocess = run.config.model, run.config.source, run.config.preprocess
    mean, std = model.normalization
    options = "".join(f", {k}={v}" for k, v in model.options.items())
    entry = f", entry {source.entry}" if source.entry else ""
    return [
        f"{source.file}: {source.format}{entry}, tensor names of {PUBLISHERS[source.naming].title}",
        f"  {full_name_of(model)} at width {model.width:g}{options}: {run.manifest('import').result['parameters']:,} "
        f"parameters, {model.num_classes} classes ({', '.join(run.config.class_names[:3])} ...)",
        f"  {preprocess.words}; mean {_numbers(mean)}, std {_numbers(std)} of pixels in [0, 255]",
        *(f"  note: {note}" for note in source.notes),
        f"run: {run.folder}",
        f"next: python -m pipelines.export_tflite --run={shlex.quote(str(run.folder))}",
        f"      python -m pipelines.predict --run={shlex.quote(str(run.folder))} --images IMAGES",
        f"      python -m pipelines.train --init={shlex.quote(str(run.folder))} --data_dir=IMAGES",
    ]


def _open_data(class_names: tuple[str, ...]):
    from mnext_tf.data import open_dataset

    return open_dataset(
        DATA_DIR.value or "photographs",
        CACHE_DIR.value,
        label_offset=LABEL_OFFSET.value,
        class_names=class_names,
        max_pixels=_flags.pixels(MAX_MEGAPIXELS),
    )


def _three_numbers(flag: str, values: list[str] | None) -> tuple[float, ...] | None:
    """A list flag's three values. Raises ConfigError for anything else."""
    if values is None:
        return None
    try:
        numbers = tuple(float(value) for value in values)
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise ConfigError(f"--{flag} takes three numbers, red,green,blue in units of [0, 255]; received {values}.")
    return numbers


def _numbers(values) -> str:
    return "/".join(f"{v:g}" for v in values)


if __name__ == "__main__":
    _cli.run(main)
