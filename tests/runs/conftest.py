import dataclasses

import pytest

from mnext_tf.data.preprocess import Preprocess
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.config import DatasetConfig, RunConfig
from mnext_tf.runs.run import create_run


@pytest.fixture(scope="session")
def run_config():
    """`run_config(init="random")`: the configuration of a network of two classes, with some fields replaced."""
    config = RunConfig(
        model=ModelConfig("mnext", num_classes=2, input_size=32),
        init="trained",
        dataset=DatasetConfig("few", "/nowhere", "0" * 64, 24, 9),
        class_names=("a", "b"),
        preprocess=Preprocess(32),
        recipe=None,
    )
    return lambda **changes: dataclasses.replace(config, **changes)


@pytest.fixture
def run(tmp_path, run_config):
    return create_run(tmp_path / "runs" / "one", run_config())
