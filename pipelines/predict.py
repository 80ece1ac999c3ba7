"""The most likely classes of images, or the objects in them, by one network or several side by side.

python -m pipelines.predict --images=a.jpg,vacation/ --tflite=mnext_1.0_224_int8.tflite --annotate=seen/
python -m pipelines.predict --images=street/ --run=runs/detector --score=0.5 --json=found.json --annotate=seen/
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from pipelines import _cli, _flags, _networks

IMAGES = flags.DEFINE_list("images", [], "Images and folders of images, separated by commas.")
TOP = flags.DEFINE_integer("top", None, "How many classes of a classifier to show. Without it: 5.", lower_bound=1)
SCORE = flags.DEFINE_float(
    "score", None, "Least score of a detector's boxes. Without it: 0.3.", lower_bound=0, upper_bound=1
)
CSV = flags.DEFINE_string("csv", None, "Write the predictions to this file as CSV.")
JSON = flags.DEFINE_string("json", None, "Write the predictions to this file as JSON; a detector's in COCO's format.")
ANNOTATE = flags.DEFINE_string("annotate", None, "Folder for a plot of each image with its predictions.")
flags.adopt_module_key_flags(_networks)


def main() -> int | None:
    if not IMAGES.value:
        raise ConfigError("--images is needed: images, or folders of images.")
    runs = _networks.named_runs()

    from mnext_tf.evaluation import predictions as p
    from mnext_tf.files import write_csv, write_json
    from mnext_tf.inference.image_stream import images_of_paths

    paths = [Path(path) for path in IMAGES.value]
    rows, images = [], images_of_paths(paths, max_pixels=_flags.pixels(_networks.MAX_MEGAPIXELS))
    networks = _networks.open_networks(runs)
    if any(network.task.name == "detection" for network in networks):
        return _detect(networks, images)
    if SCORE.value is not None:
        raise ConfigError("--score is for detectors; classifiers have --top. Leave it out.")
    for network in networks:
        _cli.log(f"{network.name} ({network.path})" if network.run else network.name)
        predictions = network.predict_images(images, top=TOP.value, progress=True)
        rows += [{"network": network.name, **row} for row in predictions]
        if ANNOTATE.value:
            folder = Path(ANNOTATE.value) / (p.folder_name(network) if len(networks) > 1 else "")
            print(f"{len(p.annotate(network, images, predictions, folder))} plots in {folder}")
    print(p.format_predictions(rows))
    for name, reason in images.skipped:
        _cli.log(f"{name}: skipped, {reason}")
    if CSV.value:
        write_csv(Path(CSV.value), p.csv_rows(rows))
    if JSON.value:
        write_json(Path(JSON.value), rows)
    return 1 if images.skipped else None


def _detect(networks, images) -> int | None:
    from mnext_tf.evaluation.detection import predictions as p
    from mnext_tf.evaluation.detection import tables
    from mnext_tf.evaluation.predictions import folder_name
    from mnext_tf.tasks.detection_comparison import SHOWN

    if any(network.task.name != "detection" for network in networks):
        raise ConfigError("Classifiers and detectors have nothing in common. Give one kind.")
    if TOP.value is not None:
        raise ConfigError("--top is for classifiers; detectors have --score. Leave it out.")
    if len(networks) > 1 and (CSV.value or JSON.value):
        raise ConfigError("--csv and --json take the boxes of one detector; give one network.")
    for network in networks:
        _cli.log(f"{network.name} ({network.path})" if network.run else network.name)
        found = p.detect_images(network, images, score=SHOWN if SCORE.value is None else SCORE.value, progress=True)
        if ANNOTATE.value:
            folder = Path(ANNOTATE.value) / (folder_name(network) if len(networks) > 1 else "")
            print(f"{len(p.draw_detections(images, found, network.labels, folder))} images in {folder}")
        print(p.format_detections(found, network.labels))
        about = (found.names, found.sizes, found.detections, network.labels)
        if CSV.value:
            tables.write_detections(Path(CSV.value), tables.detection_rows(*about))
        if JSON.value:
            tables.write_coco_results(Path(JSON.value), tables.coco_results(*about))
    for name, reason in images.skipped:
        _cli.log(f"{name}: skipped, {reason}")
    return 1 if images.skipped else None


if __name__ == "__main__":
    _cli.run(main)
