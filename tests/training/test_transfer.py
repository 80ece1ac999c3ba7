"""Training on from another run's weights: what is kept, what is new, and what is refused."""

import dataclasses

import numpy as np
import pytest

from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import read_json
from mnext_tf.models import save_weights
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.config import DatasetConfig, RunConfig
from mnext_tf.runs.run import Run, create_run
from mnext_tf.runs.stages import run_stage
from mnext_tf.runs.weights import load_network
from mnext_tf.training.freeze import freeze
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import start_run
from mnext_tf.training.transfer import describe_source, inherited, transfer

MODEL = ModelConfig(
    "mobilenet_v2",
    num_classes=7,
    width=0.1,
    input_size=32,
    options={"convention": "tensorflow"},
    mean=(100.0, 110.0, 120.0),
    std=(50.0, 60.0, 70.0),
)


@pytest.fixture
def source(tmp_path, few_images):
    """A run with imported weights, of 7 classes."""
    config = RunConfig(
        model=MODEL,
        init="imported",
        dataset=DatasetConfig.of(few_images),
        class_names=tuple(f"theirs {i}" for i in range(7)),
        preprocess=Preprocess(32, 0.9, "nearest"),
        recipe=None,
    )
    run = create_run(tmp_path / "source", config)

    def build(folder):
        model = MODEL.create()
        rng = np.random.default_rng(0)
        model.set_weights([rng.uniform(0.5, 1.5, w.shape).astype(w.dtype) for w in model.get_weights()])
        save_weights(model, folder / "model.weights.h5")
        return {}

    run_stage(run, "import", inputs={}, settings={}, build=build)
    return run


@pytest.fixture
def started(source, few_images, tmp_path):
    model, fields, _ = inherited(source, {})
    recipe = resolve_recipe("finetune", {**fields, "batch_size": 8, "epochs": 4})
    return start_run(tmp_path / "run", model, recipe, few_images, options=MODEL.options, source=source)


def test_a_new_run_takes_network_and_preprocessing_of_its_source(source, started):
    config = started.config
    assert config.model == dataclasses.replace(MODEL, num_classes=3)
    assert config.preprocess == source.config.preprocess
    assert config.init_from.run == str(source.folder.absolute())


@pytest.mark.parametrize("frozen", ["", "backbone", "batch_norm"])
def test_every_tensor_but_the_head_is_kept(source, started, frozen):
    model = started.config.model.create()
    layers = [layer for layer in model.layers if layer.trainable_weights]
    if frozen:
        freeze(model, frozen)
    fresh = model.get_layer("logits").get_weights()
    done = transfer(model, started.config)
    theirs = load_network(source)
    for layer in layers:
        if layer.name != "logits":
            for ours, expected in zip(layer.get_weights(), theirs.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(ours, expected)
    for ours, expected in zip(model.get_layer("logits").get_weights(), fresh, strict=True):
        np.testing.assert_array_equal(ours, expected)
    assert done.new == ("logits/kernel", "logits/bias")
    assert len(done.kept) == len([w for layer in layers for w in layer.weights]) - 2
    assert str(done).endswith("new: logits/kernel, logits/bias (the head, 7 -> 3 classes)")


def test_the_head_is_kept_where_the_classes_are_the_same(source):
    config = dataclasses.replace(source.config, init_from=describe_source(source))
    model = MODEL.create()
    assert transfer(model, config).new == ()
    expected = load_network(source).get_layer("logits").get_weights()
    np.testing.assert_array_equal(model.get_layer("logits").get_weights()[0], expected[0])


def test_as_many_classes_with_other_names_need_a_new_head(source):
    other = dataclasses.replace(source.config, class_names=tuple("abcdefg"), init_from=describe_source(source))
    assert transfer(MODEL.create(), other).new == ("logits/kernel", "logits/bias")


@pytest.mark.slow
def test_training_starts_from_them_and_resumes_without_them(source, started, few_images, log_lines):
    from mnext_tf.training.loop import train

    trained = train(started, few_images, progress=False)
    assert any("kept" in line and "7 -> 3 classes" in line for line in log_lines)
    assert len(trained.history) == 4
    stem = load_network(started).get_layer("stem").get_weights()[0]
    start = load_network(source).get_layer("stem").get_weights()[0]
    assert np.abs(stem - start).max() < 0.2 < np.abs(start).max()  # moved a little, from there

    # Stopped before the end: the checkpoint has all, the source is not read again.
    (started.stage("train") / "manifest.json").unlink()
    weights = started.weights.read_bytes()
    started.weights.unlink()
    source.folder.rename(source.folder.with_name("moved"))
    resumed = train(started, few_images, progress=False)
    assert resumed.resumed_from_step == trained.history[-1]["step"]
    assert started.weights.read_bytes() == weights


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": "mnext"}, "model=mobilenet_v2"),
        ({"width": 1.0}, "width=0.1"),
        ({"convention": "pytorch"}, "convention=tensorflow"),
    ],
)
def test_another_network_is_refused(source, given, words):
    with pytest.raises(ConfigError, match="contradicts --init") as error:
        inherited(source, given)
    assert words in str(error.value)


def test_random_weights_are_nothing_to_start_from(source):
    random = Run(source.folder, dataclasses.replace(source.config, init="random"))
    with pytest.raises(ConfigError, match="random weights"):
        inherited(random, {})


def test_a_source_that_changed_or_is_gone_is_refused(source, started):
    model = started.config.model.create()
    before = model.get_weights()
    with source.weights.open("ab") as f:
        f.write(b"x")
    with pytest.raises(CheckpointError, match="have changed"):
        transfer(model, started.config)
    source.folder.rename(source.folder.with_name("moved"))
    with pytest.raises(CheckpointError, match="is gone"):
        transfer(model, started.config)
    for ours, expected in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(ours, expected)


def test_config_of_the_run_can_be_read_again(started):
    assert read_json(started.folder / "config.json")["init_from"]["weights_sha256"]
