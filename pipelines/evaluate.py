"""Accuracy of networks in any of their forms on the same labeled images; of detectors, average precision.

python -m pipelines.evaluate --run=runs/... --exports --data_dir=photos
python -m pipelines.evaluate --tflite=a.tflite,b.tflite --data_dir=photos
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from pipelines import _cli, _flags, _networks

DATA_DIR = flags.DEFINE_string(
    "data_dir", None, "Labeled images or TFRecord shards, in any layout. Without it: the run's validation images."
)
DATASET = flags.DEFINE_string("dataset", None, "tfds:NAME instead of --data_dir.")
SPLIT = flags.DEFINE_enum(
    "split",
    None,
    ["train", "validation"],
    "Without it: validation, or all images of a folder without splits.",
)
LABEL_OFFSET = flags.DEFINE_integer("label_offset", None, "Stored label of the first class, for TFRecord shards.")
METRICS = flags.DEFINE_enum(
    "metrics", None, ["coco", "voc07", "voc", "kitti"], "Rules for detectors. Without it: those of the data's layout."
)
OUT = flags.DEFINE_string("out", None, "Folder for the results. Without it: evaluation in the run, or runs/evaluation.")
flags.adopt_module_key_flags(_networks)


def main() -> None:
    source = _cli.data_source(DATA_DIR.value, DATASET.value)
    runs = _networks.named_runs()
    if _networks.EXPORTS.value and not runs:
        raise ConfigError("--exports adds what the runs of --run have exported; give --run.")
    if not (runs or source):
        raise ConfigError("--data_dir is needed: files by themselves do not say which images they are for.")
    out = Path(OUT.value or (runs[0].folder if len(runs) == 1 else Path(_networks.RUNS_ROOT.value)) / "evaluation")

    from mnext_tf.evaluation.accuracy import check_output_folder, check_same_classes, evaluate, format_table
    from mnext_tf.inference.image_stream import open_images

    check_output_folder(out)
    networks = _networks.open_networks(runs)
    check_same_classes(networks)
    if networks[0].task.name == "detection":
        return _evaluate_detectors(networks, source, runs, out)
    if METRICS.value:
        raise ConfigError("--metrics is for detectors; classifiers have top-1 and top-5. Leave it out.")
    images = open_images(
        source,
        networks[0].labels,
        run=runs[0] if runs else None,
        split=SPLIT.value,
        label_offset=LABEL_OFFSET.value,
        cache_dir=_networks.CACHE_DIR.value,
        max_pixels=_flags.pixels(_networks.MAX_MEGAPIXELS),
    )
    result = evaluate(networks, images, out)
    present = f"{result['classes_with_images']} of {result['classes']} classes"
    print(f"{result['images']} images of {result['data']}, {present}")
    print(format_table(result))
    print(f"{out}: comparison.csv, evaluation.json; for each network predictions.csv, per_class.csv, confusion.png")


def _evaluate_detectors(networks, source, runs, out: Path) -> None:
    from mnext_tf.evaluation.detection.evaluate_networks import evaluate_detectors, format_table, truths_for

    options = {"cache_dir": _networks.CACHE_DIR.value, "max_pixels": _flags.pixels(_networks.MAX_MEGAPIXELS)}
    options |= {} if source is None else {"label_offset": LABEL_OFFSET.value}
    truths = truths_for(networks, source, run=runs[0] if runs else None, split=SPLIT.value, **options)
    result = evaluate_detectors(networks, truths, out, metrics=METRICS.value)
    print(f"{result['images']} images of {result['data']}, by the rules of {result['metrics']}")
    print(format_table(result))
    print(f"{out}: comparison.csv, evaluation.json; for each network per_class.csv, detections, and plots")


if __name__ == "__main__":
    _cli.run(main)
