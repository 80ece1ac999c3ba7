"""A checkpoint becomes a run folder that later stages take."""

import dataclasses
import pickle
import re

import numpy as np
import pytest

from mnext_tf.checkpoints import import_checkpoint
from mnext_tf.data import imagenet
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import sha256
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.run import create_run, open_run
from mnext_tf.runs.stages import is_current, run_stage
from mnext_tf.runs.weights import load_network

NARROW = ("torchvision", 0.25)


@pytest.fixture
def checkpoint(tmp_path, state_dict_of):
    """`checkpoint(classes=6, **changes)`: path of a narrow MobileNetV2's file."""

    def checkpoint(classes=6, **changes):
        tensors = state_dict_of(*NARROW, classes)[1]
        path = tmp_path / "weights.pdparams"
        path.write_bytes(pickle.dumps({**tensors, **changes}, 4))
        return path

    return checkpoint


@pytest.fixture(scope="module")
def imported(tmp_path_factory, state_dict_of, unlabeled):
    """(a checkpoint's path, the run made of it)"""
    path = tmp_path_factory.mktemp("imported") / "weights.pdparams"
    path.write_bytes(pickle.dumps(state_dict_of(*NARROW, 6)[1], 4))
    return path, import_checkpoint(path, path.parent / "run", dataset=unlabeled)


def test_the_run_folder_says_everything_that_later_stages_need(imported, unlabeled, state_dict_of):
    path, run = imported
    assert run == open_run(path.parent / "run")
    assert (run.imported, run.trained) == (True, True)
    config = run.config
    assert config.model == ModelConfig("mobilenet_v2", num_classes=6, width=0.25)
    assert config.preprocess == Preprocess(224, 0.875, "bilinear")
    assert config.class_names == tuple(f"class {i}" for i in range(6))
    assert (config.recipe, config.verify_images) == (None, 1000)
    assert config.dataset.name == unlabeled.name
    source = config.source
    assert (source.file, source.bytes) == ("weights.pdparams", path.stat().st_size)
    assert (source.sha256, source.format, source.naming) == (sha256(path), "Paddle", "torchvision")

    network = load_network(run)
    for name, arrays in state_dict_of(*NARROW, 6)[2].items():
        for got, wanted in zip(network.get_layer(name).get_weights(), arrays, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=name)


def test_the_same_again_is_kept_and_another_is_refused(imported, checkpoint, unlabeled, log_lines):
    (path, run), said = imported, log_lines
    before = run.manifest("import")
    import_checkpoint(path, run.folder, dataset=unlabeled)
    assert run.manifest("import") == before
    assert any("unchanged" in line for line in said)

    with pytest.raises(ConfigError, match=r"contains this checkpoint with another preprocess \(weights\.pdparams\)"):
        import_checkpoint(path, run.folder, dataset=unlabeled, crop_fraction=1.0)
    other = checkpoint(**{"classifier.1.bias": np.ones(6, np.float32)})
    with pytest.raises(ConfigError, match=r"contains another checkpoint \(weights\.pdparams\)\. Choose another --out"):
        import_checkpoint(other, run.folder, dataset=unlabeled)
    assert run.manifest("import")["inputs"]["checkpoint"] == sha256(path)

    import_checkpoint(path, run.folder, dataset=unlabeled, force=True)
    assert run.manifest("import")["created"] != before["created"]


def test_the_same_bytes_under_another_name_are_the_same_checkpoint(tmp_path, imported, unlabeled, monkeypatch):
    from mnext_tf.checkpoints import import_run

    path, run = imported
    renamed = tmp_path / "renamed.pdparams"
    renamed.write_bytes(path.read_bytes())

    def recognize(*arguments, **named):
        return dataclasses.replace(found(*arguments, **named), notes=("in other words",))

    found = import_run.recognize
    monkeypatch.setattr(import_run, "recognize", recognize)
    before = run.manifest("import")
    again = import_checkpoint(renamed, run.folder, dataset=unlabeled)
    assert again.config == run.config
    assert again.manifest("import") == before


@pytest.mark.parametrize("key", ["state_dict", "state_dict_ema"])
def test_another_entry_of_the_same_file_is_another_checkpoint(tmp_path, unlabeled, state_dict_of, key):
    tensors = state_dict_of(*NARROW)[1]
    path = tmp_path / "w"
    path.write_bytes(pickle.dumps({"state_dict": tensors, "state_dict_ema": tensors}, 4))
    import_checkpoint(path, tmp_path / "run", dataset=unlabeled, entry=key)
    other = {"state_dict": "state_dict_ema", "state_dict_ema": "state_dict"}[key]
    with pytest.raises(ConfigError, match="contains another checkpoint"):
        import_checkpoint(path, tmp_path / "run", dataset=unlabeled, entry=other)


def test_a_run_of_another_kind_is_not_overwritten(tmp_path, checkpoint, imported, unlabeled):
    create_run(tmp_path / "run", dataclasses.replace(imported[1].config, init="random", source=None))
    with pytest.raises(ConfigError, match=r"a run that was not imported \(init=random\)"):
        import_checkpoint(checkpoint(), tmp_path / "run", dataset=unlabeled)


def test_exports_stay_current_when_the_checkpoint_is_deleted(tmp_path, checkpoint, unlabeled):
    path = checkpoint()
    run = import_checkpoint(path, tmp_path / "deep" / "run", dataset=unlabeled)

    def build(folder):
        (folder / "out").write_text("x")
        return {}

    run_stage(run, "export", inputs={"weights": run.weights}, settings={}, build=build)
    assert is_current(run, "export")
    path.unlink()
    assert is_current(run, "export")
    run.weights.write_bytes(b"other weights")
    assert not is_current(run, "export")


def test_what_the_file_does_not_say_can_be_given(tmp_path, checkpoint, unlabeled):
    names, asked = ["é", "b", "c d", "e", "f", "g"], []

    def open_data(class_names):
        asked.append(class_names)
        return unlabeled

    run = import_checkpoint(
        checkpoint(),
        tmp_path / "run",
        dataset=open_data,
        class_names=names,
        input_size=64,
        crop_fraction=0.5,
        interpolation="nearest",
        mean=(127.5, 127.5, 127.5),
        std=(58.395, 57.12, 57.375),  # the network's own
    )
    assert asked == [tuple(names)]
    assert run.config.class_names == tuple(names)
    assert run.config.preprocess == Preprocess(64, 0.5, "nearest")
    assert (run.config.model.mean, run.config.model.std) == ((127.5, 127.5, 127.5), None)
    assert load_network(run).get_layer("normalize").mean == (127.5, 127.5, 127.5)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mean": (0.485, 0.456, 0.406)}, "is in units of [0, 1]; units of [0, 255] are expected. Multiply by"),
        ({"std": (0.229, 0.224, 0.225)}, "Multiply by 255: 58.395, 57.12, 57.375"),
        ({"std": (1, 1, 1)}, "is in units of [0, 1]"),
        ({"mean": (1.0, 300.0)}, "three finite numbers"),
        ({"num_classes": 1000}, "has 6 classes; num_classes=1000 was given. Remove --num_classes; another"),
        ({"width": 1.0}, "width=1.0 was given, but "),
        ({"model": "mnext"}, "model=mnext was given"),
        ({"identity_tensor_multiplier": 0.5}, "only mnext has one"),
        ({"drop_background": True}, "removes class 0 of 1001; "),
        ({"class_names": ["a", "b"]}, "2 class names were given; "),
        ({"input_size": 8}, "input_size must be"),
        ({"crop_fraction": 1.5}, "crop_fraction must be"),
    ],
)
def test_what_contradicts_the_file_is_refused_before_anything_is_written(
    tmp_path, checkpoint, unlabeled, arguments, said
):
    with pytest.raises(ConfigError, match=re.escape(said)):
        import_checkpoint(checkpoint(), tmp_path / "run", dataset=unlabeled, **arguments)
    assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers_are_refused(tmp_path, checkpoint, unlabeled):
    path = checkpoint(**{"classifier.1.bias": np.array([1, 2, 3, np.nan, 5, np.inf], np.float32)})
    with pytest.raises(CheckpointError, match=r"classifier\.1\.bias contains NaN or infinite values: 2 of 6"):
        import_checkpoint(path, tmp_path / "run", dataset=unlabeled)
    assert not (tmp_path / "run").exists()


def test_1001_classes_with_and_without_background(tmp_path, checkpoint, unlabeled, state_dict_of):
    path = checkpoint(1001)
    with pytest.raises(ConfigError, match=r"has 1001 classes; num_classes=1000 was given.*--drop_background"):
        import_checkpoint(path, tmp_path / "run", dataset=unlabeled, num_classes=1000)
    run = import_checkpoint(path, tmp_path / "whole", dataset=unlabeled)
    assert run.config.class_names == ("background", *imagenet.class_names())
    run = import_checkpoint(path, tmp_path / "run", dataset=unlabeled, num_classes=1000, drop_background=True)
    assert run.config.class_names == tuple(imagenet.class_names())
    assert run.config.source.drop_background
    kernel, bias = state_dict_of(*NARROW, 1001)[2]["logits"]
    got = load_network(run).get_layer("logits").get_weights()
    np.testing.assert_array_equal(got[0], kernel[:, 1:])
    np.testing.assert_array_equal(got[1], bias[1:])


def _arrays(path) -> dict:
    """Path in an HDF5 file -> array."""
    import h5py

    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return found


def test_keras_applications_in_three_formats_give_the_same_weights(tmp_path, unlabeled):
    import tensorflow as tf

    model = tf.keras.applications.MobileNetV2(
        alpha=0.35, weights=None, input_shape=(64, 64, 3), classes=5, classifier_activation=None
    )
    rng = np.random.default_rng(0)
    model.set_weights([rng.uniform(0.5, 1.5, w.shape) / np.sqrt(np.prod(w.shape[:-1])) for w in model.get_weights()])
    model.save(tmp_path / "a.keras")
    model.save(tmp_path / "b.h5")
    model.save_weights(tmp_path / "c.weights.h5")
    runs = []
    for name in ("a.keras", "b.h5", "c.weights.h5"):
        run = import_checkpoint(tmp_path / name, tmp_path / f"run-{name}", dataset=unlabeled)
        assert run.config.model.options == {"convention": "tensorflow"}
        assert run.config.preprocess.input_size == 64
        runs.append(run)
    first, *others = [_arrays(run.weights) for run in runs]
    for other in others:
        assert other.keys() == first.keys()
        for name, array in first.items():
            np.testing.assert_array_equal(other[name], array, err_msg=name)

    pixels = rng.uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = model(pixels / 127.5 - 1, training=False).numpy()
    got = load_network(runs[0])(pixels, training=False).numpy()
    assert np.abs(got - expected).max() <= 1e-4 * np.abs(expected).max()
