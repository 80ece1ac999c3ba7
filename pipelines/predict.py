"""What a network sees in photographs: the first classes with their probabilities.

python -m pipelines.predict --images=a.jpg,holiday/ --tflite=mnext_1.0_224_int8.tflite --annotate=seen/
"""

from __future__ import annotations

from pathlib import Path

from absl import flags

from mnext_tf.errors import ConfigError
from pipelines import _cli, _networks

IMAGES = flags.DEFINE_list("images", [], "Photographs, and folders with photographs, with commas between.")
TOP = flags.DEFINE_integer("top", 5, "How many classes to show.", lower_bound=1)
CSV = flags.DEFINE_string("csv", None, "Write the predictions to this file as CSV.")
JSON = flags.DEFINE_string("json", None, "Write the predictions to this file as JSON.")
ANNOTATE = flags.DEFINE_string("annotate", None, "Folder for a picture of each photograph with its predictions.")
flags.adopt_module_key_flags(_networks)


def main() -> int | None:
    if not IMAGES.value:
        raise ConfigError("--images is needed: photographs, or folders with photographs.")
    runs = _networks.named_runs()

    from mnext_tf.evaluation import predictions as p
    from mnext_tf.files import write_csv, write_json
    from mnext_tf.inference.images import images_of_paths

    images = images_of_paths([Path(path) for path in IMAGES.value])
    networks = _networks.open_networks(runs)
    if len(networks) > 1:
        raise ConfigError(
            f"{len(networks)} networks were named ({', '.join(n.name for n in networks)}); predict takes one. "
            "python -m pipelines.evaluate compares several."
        )
    predictions = p.predict(networks[0], images, top=TOP.value)
    print(p.format_predictions(predictions))
    for name, reason in images.skipped:
        _cli.log(f"{name}: left out, {reason}")
    if CSV.value:
        write_csv(Path(CSV.value), p.csv_rows(predictions))
    if JSON.value:
        write_json(Path(JSON.value), predictions)
    if ANNOTATE.value:
        written = p.annotate(networks[0], images, predictions, Path(ANNOTATE.value))
        print(f"{len(written)} pictures in {ANNOTATE.value}")
    return 1 if images.skipped else None


if __name__ == "__main__":
    _cli.run(main)
