"""A small untrained network with its exports, and folders of photographs."""

from __future__ import annotations

import csv

import numpy as np
import pytest


@pytest.fixture(scope="session")
def run(tmp_path_factory, randomise):
    """A mobilenet_v2 of 4 classes at 32 pixels that tells images apart, exported in every format."""
    from mnext_tf.export.stages import tflite
    from mnext_tf.models import save_weights
    from mnext_tf.models.config import ModelConfig
    from mnext_tf.runs.stages import run_stage
    from mnext_tf.training.random_weights import create_random_run

    folder = tmp_path_factory.mktemp("evaluated") / "net"
    model = {"name": "mobilenet_v2", "width": 0.35, "input_size": 32, "num_classes": 4}
    run = create_random_run(folder, ModelConfig(**model), cache_dir=str(folder.parent / "cache"))

    def build(stage):
        save_weights(randomise(run.config.model.create()), stage / "model.weights.h5")
        return {}

    run_stage(run, "init", inputs={}, settings={"weights": "of a test"}, build=build)
    tflite(run, "float32")
    return run


@pytest.fixture(scope="session")
def write_sample_images():
    """`write_sample_images(folder, {name: class index})`: JPEGs of coarse random pixels, and labels.csv."""
    from PIL import Image

    def write(folder, labels: dict[str, int], seed=0):
        rng = np.random.default_rng(seed)
        for name in labels:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
            Image.fromarray(pixels).resize((70, 50), Image.Resampling.BICUBIC).save(path, "JPEG", quality=95)
        with open(folder / "labels.csv", "w", newline="") as f:
            csv.writer(f).writerows([("file", "class_index"), *labels.items()])
        return folder

    return write


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, write_sample_images):
    """12 photographs of classes 0 to 3, one of them damaged."""
    folder = tmp_path_factory.mktemp("photographs")
    write_sample_images(folder, {f"photo {i:02d} é.jpg": i % 4 for i in range(12)})
    (folder / "photo 05 é.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a photograph")
    return folder
