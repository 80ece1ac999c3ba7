"""Networks with random weights on the embedded digits, each exported once for all tests here."""

from pathlib import Path

import pytest

from mnext_tf.models.config import ModelConfig
from mnext_tf.training.random_weights import create_random_run

FEW_STAGES = ((2, 96, 1, 2), (6, 192, 2, 2), (6, 288, 1, 2))  # expansion, channels, blocks, stride of the first


@pytest.fixture(scope="session")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def make_run(tmp_path_factory, cache):
    """An untrained run: `make_run(identity_tensor_multiplier=0.5)`."""

    def make(convention=None, **model):
        folder = tmp_path_factory.mktemp("runs") / "run"
        model = {"name": "mnext", "width": 0.35, "input_size": 32, "num_classes": 10, **model}
        model["options"] = {"convention": convention} if convention else {}
        return create_random_run(folder, ModelConfig(**model), cache_dir=str(cache))

    return make


@pytest.fixture(scope="session")
def exported(make_run):
    """An untrained run with a float32 and an int8 file."""
    from mnext_tf.export.stages import tflite

    run = make_run()
    tflite(run, "float32")
    tflite(run, "int8")
    return run


@pytest.fixture
def few_blocks(monkeypatch):
    """mnext has 4 blocks in place of 20, of every kind: tracing its layers takes most of an export's time."""
    monkeypatch.setattr("mnext_tf.models.mnext.STAGES", FEW_STAGES)


@pytest.fixture(scope="session")
def wide_exported(make_run):
    """As `few_blocks_exported`, wide enough for kernels that files of fewer bits round, in every such precision."""
    from mnext_tf.export.stages import tflite

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnext_tf.models.mnext.STAGES", FEW_STAGES)
        run = make_run(width=1.0)
        for precision in ("float32", "dynamic", "weight_int8", "int8", "int16x8"):
            tflite(run, precision)
    return run


@pytest.fixture(scope="session")
def few_blocks_exported(make_run):
    """As `exported`, of `few_blocks`."""
    from mnext_tf.export.stages import tflite

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mnext_tf.models.mnext.STAGES", FEW_STAGES)
        run = make_run()
        tflite(run, "float32")
        tflite(run, "int8")
    return run


def pruned_run(folder: Path, share: float = 0.8, **model):
    """A run whose 1x1 kernels have zeros for this share of their random weights, the smallest ones."""
    import tensorflow as tf

    from mnext_tf.compression.pruning import largest, pruned_layers
    from mnext_tf.export.of_model import run_of_model
    from mnext_tf.models import create_model

    network = create_model("mnext", **{"width": 0.35, "input_size": 32, "num_classes": 10, **model})
    for layer in pruned_layers(network):
        kernel = tf.convert_to_tensor(layer.kernel)
        layer.kernel.assign(tf.where(largest(kernel, share), kernel, 0.0))
    return run_of_model(network, folder)
