"""Files for an app: a network that gives probabilities, and what an Android project's assets need of it."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np

from mnext_tf.data.sources.sample_images import sample_pixels
from mnext_tf.errors import ConfigError
from mnext_tf.evaluation.equivalence import CHANNEL_FACTORS
from mnext_tf.files import atomic_write, sha256, write_json
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.naming import stage_name
from mnext_tf.runs.run import Run
from mnext_tf.runs.stages import StageResult
from mnext_tf.tasks import task_of

ASSETS = Path("android_assets/app/src/main/assets")

# Of a probability, and of the largest one: an untrained network's are all small. GPUs compute in float16.
TOLERANCE, GPU_TOLERANCE = (0.01, 0.02), (0.05, 0.2)


def probabilities(run: Run, precision: str = "float32", *, force: bool = False, **options) -> StageResult:
    """The .tflite file of `stages.tflite` with a softmax after it, verified; `options` are those of that stage.

    int8 files take uint8 pixels here, as MediaPipe and apps have them; the output is float32.
    """
    from mnext_tf.export import stages

    source = stages.tflite(run, precision, force=force, **options)
    before = source.folder / source.result["file"]
    name = stage_name(precision, output="probabilities")
    tolerance = stages.tolerance_of(source.manifest.settings)

    def build(folder: Path) -> dict:
        from mnext_tf.tflite.metadata import add_metadata, read_metadata
        from mnext_tf.tflite.softmax import add_softmax

        path = folder / stages.tflite_name(run, name)
        about, outputs = read_metadata(before), task_of(run.config).output_info("probabilities")
        for factors in source.folder.glob(CHANNEL_FACTORS):
            shutil.copy2(factors, folder)
        path.write_bytes(add_metadata(add_softmax(before.read_bytes()), about, outputs))
        return stages.verified_tflite(run, path, precision, tolerance, stages.float_layers(source.result))

    settings = {"precision": precision, "output": "probabilities", "tolerance": dataclasses.asdict(tolerance)}
    keep_failed = options.get("keep_failed", False)
    return stages.export_stage(run, name, {"tflite": before}, settings, build, force=force, keep_failed=keep_failed)


def require_project(assets: Path) -> None:
    """Raises ConfigError where `assets` can be no assets folder of an Android project."""
    if not assets.parent.is_dir():
        raise ConfigError(
            f"{assets.parent} does not exist, so {assets} is no assets folder of an Android project. Run this where "
            "android_assets is, or name the folder: --assets=PROJECT/app/src/main/assets."
        )


def publish(run: Run, stage: StageResult, assets: Path = ASSETS) -> list[Path]:
    """Put a file of `probabilities` into the assets of an Android project; returns what was written.

    NAME.tflite, NAME.labels.txt, NAME.golden.rgb (an image as the network takes it, uint8 rows) and NAME.json,
    which names them and says what the network gives for that image.

    Raises ConfigError where the project's folder is not there.
    """
    from mnext_tf.tflite.metadata import read_metadata

    assets = Path(assets)
    require_project(assets)
    source = stage.folder / stage.result["file"]
    name = source.stem.removesuffix("_probabilities")
    preprocess = run.config.preprocess
    pixels = sample_pixels(preprocess)
    with open_predictor(source) as network:
        golden = network.predict(pixels[None])[0]
    record = {
        "format": 1,
        "name": name,
        "title": read_metadata(source).name,
        "file": f"{name}.tflite",
        "bytes": source.stat().st_size,
        "sha256": sha256(source),
        "labels": f"{name}.labels.txt",
        "input_size": preprocess.input_size,
        "golden": {
            "input": f"{name}.golden.rgb",
            "output": [float(p) for p in golden],
            "tolerance": _allowed(golden, *TOLERANCE),
            "gpu_tolerance": _allowed(golden, *GPU_TOLERANCE),
        },
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


def _allowed(golden: np.ndarray, absolute: float, relative: float) -> float:
    """How far a probability may be from the golden one."""
    return min(absolute, relative * float(golden.max()))
