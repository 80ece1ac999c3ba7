"""What several folders of tests need: the repository, its commands, and a data set of a few images."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before any test imports TensorFlow

ROOT = Path(__file__).resolve().parents[1]
pytest_plugins = ["support.benchmark_folders", "support.detectors", "support.exported_runs"]


def pytest_addoption(parser):
    parser.addoption("--slow", action="store_true", help="Run the tests that are marked slow, too.")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--slow"):
        for item in items:
            if "slow" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="slow; make test-all runs it"))


@pytest.fixture(scope="session")
def repository() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def python():
    """`python("-m", "pipelines.train", "--help")`: a fresh interpreter in the repository; its texts and return code."""

    def python(*arguments: str, timeout: float = 60) -> subprocess.CompletedProcess:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout,
        )

    return python


class _Collect(logging.Handler):
    def __init__(self, lines: list[str]):
        super().__init__()
        self.lines = lines

    def emit(self, record):
        self.lines.append(("warning: " if record.levelno >= logging.WARNING else "") + record.getMessage())


@pytest.fixture(scope="session")
def collect_log():
    """`with collect_log() as lines:` what the library logs meanwhile, a line each; "warning: " before warnings."""

    @contextlib.contextmanager
    def collect():
        lines: list[str] = []
        logger, handler = logging.getLogger("mnext_tf"), _Collect(lines)
        level = logger.level
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        try:
            yield lines
        finally:
            logger.removeHandler(handler)
            logger.setLevel(level)

    return collect


@pytest.fixture
def log_lines(collect_log):
    """What the library logs during a test; see `collect_log`."""
    with collect_log() as lines:
        yield lines


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden logits beside the repository; without it the test is skipped."""
    return _shared("golden")


@pytest.fixture(scope="session")
def real_weights() -> Path:
    """ImageNet weights of a MobileNetV2 beside the repository; without them the test is skipped."""
    return _shared("weights/mobilenet_v2_1.0_224_imagenet.weights.h5")


@pytest.fixture(scope="session")
def sample_images_500() -> list[Path]:
    """ImageNet photographs beside the repository, in order of their names; without them the test is skipped."""
    return sorted(_shared("data/imagenet_samples").glob("*.JPEG"))


@pytest.fixture(scope="session")
def detection_photographs() -> list[Path]:
    """COCO photographs beside the repository, in order of their names; without them the test is skipped."""
    return sorted(_shared("data/detection/coco128").glob("**/*.jpg"))


@pytest.fixture(scope="session")
def detection_data() -> Path:
    """Folders of VOC, COCO, and KITTI data beside the repository; without them the test is skipped."""
    return _shared("data/detection")


@pytest.fixture(scope="session")
def imported(real_weights, tmp_path_factory):
    """A run with those weights; nothing is exported yet."""
    from mnext_tf.checkpoints import import_checkpoint
    from mnext_tf.data import open_dataset

    folder = tmp_path_factory.mktemp("imported")
    return import_checkpoint(real_weights, folder / "run", dataset=open_dataset("photographs", folder / "data"))


def _shared(name: str) -> Path:
    path = ROOT.parent / "shared" / name
    if not path.exists():
        pytest.skip(f"the reference data is not there: {path}")
    return path


@pytest.fixture(scope="session")
def write_few_images():
    """`write_few_images(folder, classes=3, seed=0)`: 24 training and 9 validation images of 8 x 8 pixels."""
    from PIL import Image

    from mnext_tf.data import open_dataset
    from mnext_tf.data.tfrecord import Example, write_shards, write_sidecar

    def write(folder: Path, *, classes: int = 3, seed: int = 0):
        rng = np.random.default_rng(seed)
        names = [f"class{c}" for c in range(classes)]

        def examples(count):
            for i in range(count):
                png = io.BytesIO()
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(png, "PNG")
                yield Example(png.getvalue(), "PNG", 8, 8, 3, i % classes, names[i % classes], f"{i}.png")

        folder.mkdir(parents=True)
        summaries = {
            split: write_shards(examples(count), folder, split, 2)
            for split, count in (("train", 24), ("validation", 9))
        }
        write_sidecar(folder, name="few", class_names=names, label_offset=1, summaries=summaries)
        return open_dataset(folder, folder / "cache")

    return write


@pytest.fixture(scope="session")
def few_images(tmp_path_factory, write_few_images):
    """24 training and 9 validation images of random pixels, in 3 classes."""
    return write_few_images(tmp_path_factory.mktemp("few") / "data")


@pytest.fixture(scope="session")
def randomise():
    """`randomise(model)`: every weight drawn anew, as after a training; returns the model."""

    def randomise(model, seed=0):
        rng = np.random.default_rng(seed)
        for layer in model.layers:
            values = layer.get_weights()
            if type(layer).__name__ == "BatchNormalization":
                gamma, beta, mean, variance = (v.shape for v in values)
                values = [
                    rng.uniform(0.5, 1.5, gamma),
                    0.1 * rng.standard_normal(beta),
                    0.1 * rng.standard_normal(mean),
                    rng.uniform(0.5, 1.5, variance),
                ]
            elif values:
                kernel = values[0].shape
                inputs = math.prod(kernel[:2] if type(layer).__name__ == "DepthwiseConv2D" else kernel[:-1])
                values[0] = rng.standard_normal(kernel) * math.sqrt(1.5 / inputs)
            if values:
                layer.set_weights(values)
        return model

    return randomise
