"""Files for an app: networks that give probabilities or detections, and what an Android project's assets need."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from mnext_tf.boxes import Detections
from mnext_tf.data.sources.sample_images import PHOTOGRAPHS, sample_pixels
from mnext_tf.errors import ConfigError
from mnext_tf.evaluation.equivalence import CHANNEL_FACTORS
from mnext_tf.export.about import decoding_of
from mnext_tf.files import atomic_write, sha256, write_json
from mnext_tf.inference.predictor import Predictor, open_predictor
from mnext_tf.naming import stage_name
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import StageResult
from mnext_tf.tasks import task_of
from mnext_tf.tasks.detection_comparison import SHOWN

ASSETS = Path("android_assets/app/src/main/assets")

# Of a probability, and of the largest one: an untrained network's are all small. GPUs compute in float16.
TOLERANCE, GPU_TOLERANCE = (0.01, 0.02), (0.05, 0.2)

# Of detections: of a score, and of the largest one; the least IoU of the same box; how many where none is sure.
SCORE_TOLERANCE, MIN_IOU, FEW = (0.05, 0.2), 0.9, 5
_MEANING = (
    "An app must find each of these detections again in the input: the same class, an IoU of at least min_iou, a score "
    "that differs by at most tolerance. It must find no other one with a score beyond above + tolerance. A box is "
    "x_min, y_min, x_max, y_max, from 0 to 1 of the image; a class is a line of labels, from 0."
)


def app_outputs(run: Run) -> tuple[str, ...]:
    """What files for apps of this run may give; the first unless another is asked for."""
    return ("detections", "anchors") if run.config.task == "detection" else ("probabilities",)


def for_apps(
    run: Run, precision: str = "float32", *, output: str | None = None, force: bool = False, **options
) -> StageResult:
    """The .tflite file of `stages.tflite` in a form for apps, verified; `options` are those of that stage.

    int8 files take uint8 pixels here, as MediaPipe and apps have them; outputs are float32.

    Args:
      output: "probabilities" of a classifier, by a softmax. Of a detector "detections", the boxes themselves, by an
        operator for CPUs; or "anchors", boxes and scores of all priors, which GPUs compute and MediaPipe decodes.

    Raises ConfigError for an output that the run's task does not have.
    """
    from mnext_tf.export import stages

    output = output or app_outputs(run)[0]
    if output not in app_outputs(run):
        raise ConfigError(
            f"A network for {run.config.task} gives {' or '.join(('logits', *app_outputs(run)))}; received {output}."
        )

    source = stages.tflite(run, precision, force=force, **options)
    before = source.folder / source.result["file"]
    name = stage_name(precision, output=output)
    tolerance = stages.tolerance_of(source.manifest.settings)

    def build(folder: Path) -> dict:
        path = folder / stages.tflite_name(run, name)
        for factors in source.folder.glob(CHANNEL_FACTORS):
            shutil.copy2(factors, folder)
        path.write_bytes(_in_app_form(run, before, output))
        return stages.verified_tflite(run, path, precision, tolerance, stages.float_layers(source.result))

    settings = {"precision": precision, "output": output, "tolerance": dataclasses.asdict(tolerance)}
    keep_failed = options.get("keep_failed", False)
    return stages.export_stage(run, name, {"tflite": before}, settings, build, force=force, keep_failed=keep_failed)


def _in_app_form(run: Run, source: Path, output: str) -> bytes:
    from mnext_tf.tflite.metadata import add_metadata, read_metadata

    about = read_metadata(source)
    if output == "probabilities":
        from mnext_tf.tflite.softmax import add_softmax

        return add_metadata(add_softmax(source.read_bytes()), about, task_of(run.config).output_info(output))
    from mnext_tf.tflite.detector_metadata import add_detector_metadata
    from mnext_tf.tflite.postprocess import four_outputs, two_outputs

    priors = task_of(run.config).priors
    if output == "anchors":
        decoding = decoding_of(run.config, "two")
        return add_detector_metadata(two_outputs(source.read_bytes(), decoding), about, decoding, priors)
    decoding = decoding_of(run.config, "four")
    return add_detector_metadata(four_outputs(source.read_bytes(), decoding, priors), about, decoding)


def require_project(assets: Path) -> None:
    """Raises ConfigError where `assets` can be no assets folder of an Android project."""
    if not assets.parent.is_dir():
        raise ConfigError(
            f"{assets.parent} does not exist, so {assets} is no assets folder of an Android project. Run this where "
            "android_assets is, or name the folder: --assets=PROJECT/app/src/main/assets."
        )


def publish(run: Run, stage: StageResult, assets: Path = ASSETS) -> list[Path]:
    """Put a file of `probabilities` or `detections` into the assets of an Android project; returns what was written.

    NAME.tflite, NAME.labels.txt, NAME.golden.rgb (an image as the network takes it, uint8 rows) and NAME.json,
    which names them and says what the network gives for that image. Its format is 1 of a classifier and 2 of a
    detector, which apps that know classifiers only refuse.

    Raises ConfigError where the project's folder is not there.
    """
    from mnext_tf.tflite.metadata import read_metadata

    assets = Path(assets)
    require_project(assets)
    source = stage.folder / stage.result["file"]
    about = read_metadata(source)
    if about.detector and about.detector["form"] != "four":
        raise ConfigError(f"{source} leaves the boxes to MediaPipe; the app takes --output=detections.")
    name = source.stem.removesuffix("_probabilities").removesuffix("_detections")
    with open_predictor(source) as network:
        pixels, expected = (_golden_detections if network.output == "detections" else _golden_probabilities)(network)
    record = {
        "format": 2 if network.output == "detections" else 1,
        "name": name,
        "title": about.name,
        "file": f"{name}.tflite",
        "bytes": source.stat().st_size,
        "sha256": sha256(source),
        "labels": f"{name}.labels.txt",
        "input_size": run.config.preprocess.input_size,
        "golden": {"input": f"{name}.golden.rgb", **expected},
    }
    assets.mkdir(exist_ok=True)
    (assets / f"{name}.json").unlink(missing_ok=True)  # an app lists models by it: none is listed half replaced
    for target, content in (
        (record["file"], source.read_bytes()),
        (record["labels"], (stage.folder / "labels.txt").read_bytes()),
        (record["golden"]["input"], pixels.tobytes()),
    ):
        with atomic_write(assets / target) as temporary:
            temporary.write_bytes(content)
    write_json(assets / f"{name}.json", record)
    return [assets / f for f in (record["file"], record["labels"], record["golden"]["input"], f"{name}.json")]


def _golden_probabilities(network: Predictor) -> tuple[np.ndarray, dict]:
    """An image, uint8 (S, S, 3), and what an app must get for it."""
    pixels = sample_pixels(network.preprocess)
    golden = network.predict(pixels[None])[0]
    return pixels, {
        "output": [float(p) for p in golden],
        "tolerance": _allowed(golden, *TOLERANCE),
        "gpu_tolerance": _allowed(golden, *GPU_TOLERANCE),
    }


def _golden_detections(network: Predictor) -> tuple[np.ndarray, dict]:
    """The photograph in which the network is surest of an object, and what an app must find in it."""
    images = np.stack([sample_pixels(network.preprocess, name) for name in PHOTOGRAPHS])
    given = zip(images, network.predict(images), strict=True)
    pixels, found = max(given, key=lambda pair: pair[1].scores.max(initial=0))
    golden = found.above(SHOWN)
    if not len(golden):
        golden = Detections(found.boxes[:FEW], found.scores[:FEW], found.labels[:FEW])
    return pixels, {
        "detections": [
            {"box": [float(edge) for edge in box], "class": int(label), "score": float(score)}
            for box, label, score in zip(golden.boxes, golden.labels, golden.scores, strict=True)
        ],
        "above": min(SHOWN, float(golden.scores.min(initial=SHOWN))),
        "min_iou": MIN_IOU,
        "tolerance": _allowed(golden.scores, *SCORE_TOLERANCE),
        "meaning": _MEANING,
    }


def _allowed(golden: np.ndarray, absolute: float, relative: float) -> float:
    """How far a probability or a score may be from the golden one."""
    return min(absolute, relative * float(golden.max(initial=0.0)))
