"""Tiny .tflite files, run folders written by hand, and a benchmark folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mnext_tf.benchmark.results import COLUMNS, Results, write_results
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.files import write_csv, write_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.config import DatasetConfig, RunConfig
from mnext_tf.tasks import task_of
from mnext_tf.training.recipe import Recipe


@pytest.fixture(scope="session")
def tiny_files(tmp_path_factory) -> dict[str, Path]:
    """A small and a larger convolution, inputs (1, 32, 32, 3): float32 and, of the small one, int8."""
    import tensorflow as tf

    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)

    def convert(name: str, channels: int, int8: bool) -> Path:
        kernel = tf.constant(rng.normal(size=(3, 3, 3, channels)).astype(np.float32))

        @tf.function(input_signature=[tf.TensorSpec((1, 32, 32, 3))], autograph=False)
        def network(image):
            return tf.reduce_mean(tf.nn.relu6(tf.nn.conv2d(image, kernel, 2, "SAME")), [1, 2])

        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        if int8:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: (
                [rng.uniform(0, 255, (1, 32, 32, 3)).astype(np.float32)] for _ in range(4)
            )
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.int8
        (folder / f"{name}.tflite").write_bytes(converter.convert())
        return folder / f"{name}.tflite"

    return {
        "small": convert("small", 8, False),
        "small_int8": convert("small_int8", 8, True),
        "large": convert("large", 4096, False),
    }


def make_row(model="mnext", **changes) -> dict:
    values = {
        "model": model,
        "width": 1.0,
        "input_size": 224,
        "quantize": "float32",
        "delegate": "xnnpack",
        "adapter": None,
        "threads": 1,
        "runs": 4,
        "rounds": 2,
        "init_ms": 9.0,
        "min_ms": 6.0,
        "median_ms": 6.5,
        "p95_ms": 7.5,
        "mean_ms": 6.6,
        "std_ms": 0.2,
        "ratio": 1.0,
        "ratio_p25": 1.0,
        "ratio_p75": 1.0,
        "peak_memory_mb": 40.0,
        "file": f"models/{model}.tflite",
        "file_mb": 13.9,
        "sha256": "ab" * 32,
        "nodes_delegated": 69,
        "nodes_total": 70,
        "not_delegated": ["MEAN pool"],
        "host_cpu": "Test CPU, 2 cores",
        "litert_version": "2.3.0",
        "tensorflow_version": "2.21.0",
        "mnext_tf_version": "0.1.0",
        "date": "2026-01-02T03:04:05+00:00",
        "name": "",
        "accuracy_check": "untrained",
        "identity_tensor_multiplier": 1.0,
        "round_medians_ms": [6.4, 7.1],
        "peak_memory_reason": None,
        "gpu_difference": None,
        **changes,
    }
    assert [k for k in values if k in COLUMNS] == list(COLUMNS)
    return values


@pytest.fixture
def row():
    return make_row


@pytest.fixture
def benchmark_folder(tmp_path) -> Path:
    folder = tmp_path / "runs" / "timed"
    slower = {"median_ms": 7.15, "ratio": 1.1, "ratio_p25": 1.08, "ratio_p75": 1.13, "round_medians_ms": [7.0, 7.8]}
    rows = [make_row(), make_row("mobilenet_v2", **slower)]
    host = {"cpu": "Test CPU", "cores": 2, "load_at_start": [0.1, 0.2, 0.3], "platform": "test"}
    write_results(Results(folder, "python -m pipelines.benchmark --out=timed", {"runs": []}, "0", host, rows))
    return folder


def make_run(
    folder: Path,
    model: str = "mnext",
    *,
    init: str = "trained",
    history: bool = True,
    exports=(),
    data: str = "digits",
    left=(),
    model_config: ModelConfig | None = None,
    **fields,
) -> Path:
    """A run folder; `exports` maps a stage's ending to the accuracy of its TFLite file (Keras has 0.98).

    `left`: names of the operators that no delegate took. `fields` replace those of the configuration.
    """
    recipe = Recipe(epochs=2, warmup_epochs=0, cooldown_epochs=0, flip=False, input_size=32)
    config = {
        "model": model_config or ModelConfig(model, num_classes=10, input_size=32),
        "init": init,
        "dataset": DatasetConfig(data, f"/data/{data}", data * 2, 100, 20),
        "class_names": tuple("0123456789"),
        "preprocess": Preprocess(32),
        "recipe": recipe if init == "trained" else None,
        "created": "2026",
    }
    config = RunConfig(**{**config, **fields})
    write_json(folder / "config.json", config.to_dict())
    metric, agreement = task_of(config).metric, task_of(config).agreement
    if history:
        columns = ("train_loss", "train_accuracy", "val_loss", f"val_{metric}")
        write_csv(
            folder / "train" / "history.csv",
            [{"epoch": e, **dict.fromkeys(columns, 0.5 + e / 10), "seconds": 1} for e in (1, 2)],
        )
    for label, accuracy in dict(exports).items():
        result = {
            "file": f"{model}_{label}.tflite",
            "file_bytes": 4_200_000,
            "sha256": f"{folder.name}{label}" * 8,
            "nodes_total": 70,
            "nodes_delegated": 70 - len(left),
            "not_delegated": list(left),
        }
        tolerance = {"max_accuracy_drop": 1.5, "min_agreement": 0.85, "max_untrained_difference": 0.5}
        manifest = {
            "created": "2026-01-02T00:00:00",
            "versions": {"tensorflow": "2.21.0"},
            "settings": {"tolerance": tolerance, "calibration_count": 150},
            "result": result,
        }
        write_json(folder / f"tflite_{label}" / "manifest.json", manifest)
        same = {metric: 0.98, agreement: 1.0, "max_abs_difference": 0.0, "max_relative_difference": 0.0}
        other = {**same, metric: accuracy, agreement: 0.9875, "max_relative_difference": 0.0625}
        verify = {"images": 360, "passed": True, "networks": {"keras": same, "tflite": other}}
        write_json(folder / f"tflite_{label}" / "verify.json", verify)
    return folder


@pytest.fixture
def run_maker():
    return make_run
