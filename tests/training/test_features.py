"""What a recipe can turn on, each on 24 images and a network of two layers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.training import assert_bitwise_equal, before_step, ctrl_c, interrupt, train

from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import read_json
from mnext_tf.runs.run import open_run
from mnext_tf.runs.weights import load_network, require_weights
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.settings import TrainSettings
from mnext_tf.training.start import start_run
from mnext_tf.training.teacher import check_teacher, load_teacher

RECIPE = resolve_recipe("digits", {"epochs": 2, "batch_size": 8, "width": 0.1, "learning_rate": 0.1})
EVERYTHING = {
    "ema_decay": 0.9,
    "accumulate": 2,
    "drop_connect": 0.2,
    "dropout": 0.3,
    "clip_norm": 1.0,
    "color_jitter": 0.3,
    "crop_scale_min": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
    "rand_augment": "rand-m9-mstd0.5",
    "erasing": 0.5,
    "backbone_learning_rate": 0.3,
    "sparsity": 0.7,
}


@pytest.fixture
def new_run(tmp_path, few_images):
    def new_run(name, model="mnext", teacher=None, **changes):
        return start_run(tmp_path / name, model, dataclasses.replace(RECIPE, **changes), few_images, teacher=teacher)

    return new_run


def weights_of(run):
    return {w.path if hasattr(w, "path") else w.name: w.numpy() for w in load_network(run).weights}


@pytest.mark.slow
def test_killed_and_resumed_is_bitwise_the_undisturbed_run_with_everything_on(new_run, few_images, monkeypatch):
    monkeypatch.setattr("mnext_tf.models.mnext.STAGES", ((2, 96, 1, 2), (6, 96, 2, 1)))
    undisturbed, disturbed = (new_run(name, **EVERYTHING) for name in ("undisturbed", "disturbed"))
    expected = train(undisturbed, few_images)
    assert {"ema_val_accuracy", "ema_val_macro_f1"} < expected.history[0].keys()
    interrupt(disturbed, few_images, step=1)
    interrupt(disturbed, few_images, step=2)  # of this process: step 4, in the second epoch
    assert train(disturbed, few_images).resumed_from_step == 5
    assert_bitwise_equal(disturbed, undisturbed)
    for kind in ("raw", "ema"):
        theirs = weights_of(undisturbed.with_weights(kind))
        for name, value in weights_of(disturbed.with_weights(kind)).items():
            np.testing.assert_array_equal(value, theirs[name], err_msg=f"{kind} {name}")


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["rmsprop_tf", "adamw", "yellowfin"])
def test_every_optimizer_resumes_bitwise(new_run, few_images, two_layers, optimizer):
    fields = {"optimizer": optimizer, "nesterov": False, "learning_rate": 0.01, "weight_decay": 1e-4}
    undisturbed, disturbed = (new_run(name, **fields) for name in ("undisturbed", "disturbed"))
    train(undisturbed, few_images)
    interrupt(disturbed, few_images, step=3)
    train(disturbed, few_images)
    assert_bitwise_equal(disturbed, undisturbed)


def test_the_average_is_that_of_the_weights_after_every_step(new_run, few_images, two_layers):
    from mnext_tf.training import network

    make_steps, seen = network.make_steps, []

    def watched(model, *arguments, **options):
        train_step, eval_step = make_steps(model, *arguments, **options)

        def step(*batch):
            result = train_step(*batch)
            seen.append([w.numpy() for w in model.weights])
            return result

        seen.append([w.numpy() for w in model.weights])
        return step, eval_step

    run = new_run("run", ema_decay=0.6, keep_last=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "make_steps", watched)
        train(run, few_images)
    mean = seen[0]
    for step, weights in enumerate(seen[1:]):
        keep = min(0.6, (1 + step) / (10 + step))
        mean = [keep * m + (1 - keep) * w for m, w in zip(mean, weights, strict=True)]
    averaged = [w.numpy() for w in load_network(run.with_weights("ema")).weights]
    raw = [w.numpy() for w in load_network(run.with_weights("raw")).weights]
    floats = [i for i, w in enumerate(raw) if w.dtype == np.float32]
    for i in floats:
        np.testing.assert_allclose(averaged[i], mean[i], rtol=1e-5, atol=1e-7)
        np.testing.assert_array_equal(raw[i], seen[-1][i])
    assert len(floats) >= 8  # convolution, batch norm with its statistics, head


def test_raw_and_averaged_weights_are_chosen_by_name(new_run, few_images, two_layers):
    run = new_run("run", ema_decay=0.9)
    trained = train(run, few_images)
    assert trained.weights in ("raw", "ema")
    manifest = run.manifest("train")
    assert manifest.outputs.keys() == {"model.weights.h5", "raw.weights.h5", "ema.weights.h5"}
    assert manifest.outputs["model.weights.h5"] == manifest.outputs[f"{trained.weights}.weights.h5"]
    average = run.with_weights("ema")
    assert require_weights(average) == run.folder / "train" / "ema.weights.h5"
    assert average.stage("tflite_int8") == run.folder / "ema" / "tflite_int8"
    assert average.name == "run-ema"
    average.weights.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="have changed"):
        require_weights(average)
    without = new_run("without")
    train(without, few_images)
    with pytest.raises(ConfigError, match="train with --ema_decay"):
        without.with_weights("ema")


def test_a_batch_in_parts_is_the_whole_batch(new_run, few_images, two_layers, monkeypatch):
    """Without batch norm, whose statistics are those of a part."""
    import tensorflow as tf

    from mnext_tf.models.config import ModelConfig

    def create(config):
        layers = [tf.keras.layers.Rescaling(1 / 255), tf.keras.layers.Conv2D(4, 3, 4, activation="relu")]
        layers += [tf.keras.layers.GlobalAveragePooling2D(), tf.keras.layers.Dense(config.num_classes, name="logits")]
        return tf.keras.Sequential([tf.keras.Input((config.input_size,) * 2 + (3,)), *layers])

    monkeypatch.setattr(ModelConfig, "create", create)
    whole, parts = new_run("whole"), new_run("parts", accumulate=4)
    expected, found = train(whole, few_images), train(parts, few_images)
    for one, other in zip(weights_of(whole).values(), weights_of(parts).values(), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)
    assert [r["train_loss"] for r in found.history] == pytest.approx([r["train_loss"] for r in expected.history], 1e-4)


@pytest.mark.parametrize(
    ("freeze", "changed"),
    [("backbone", {"logits"}), ("batch_norm", {"conv", "logits"}), ("conv, bn", {"logits"}), ("log", {"conv", "bn"})],
)
def test_frozen_layers_stay_as_they_are(new_run, few_images, two_layers, freeze, changed, monkeypatch):
    monkeypatch.setattr("mnext_tf.training.freeze._BATCH_NORM", "bn")
    run = new_run("run", freeze=freeze, keep_last=True)
    import tensorflow as tf

    tf.keras.utils.set_random_seed(RECIPE.seed)
    before = {layer.name: layer.get_weights() for layer in run.config.model.create().layers}
    train(run, few_images)
    after = {layer.name: layer.get_weights() for layer in load_network(run).layers if layer.trainable_weights}
    different = {n for n, v in after.items() if any((a != b).any() for a, b in zip(v, before[n], strict=True))}
    assert different == changed


def test_what_cannot_be_frozen_is_named(new_run, few_images, two_layers):
    with pytest.raises(ConfigError, match=r"freeze='block07' fits no layer.*such as conv"):
        train(new_run("a", freeze="backbone,block07"), few_images)
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        train(new_run("b", freeze="conv,bn,logits"), few_images)


def test_the_backbone_learns_at_its_own_rate(new_run, few_images, two_layers):
    moved = {}
    for factor in (1.0, 0.01):
        run = new_run(f"run{factor}", backbone_learning_rate=factor, keep_last=True, weight_decay=0.0)
        import tensorflow as tf

        tf.keras.utils.set_random_seed(RECIPE.seed)
        before = [w.numpy() for w in run.config.model.create().get_layer("conv").weights]
        train(run, few_images)
        after = [w.numpy() for w in load_network(run).get_layer("conv").weights]
        moved[factor] = np.abs(after[0] - before[0]).max()
    assert 0 < moved[0.01] < 0.05 * moved[1.0]


@pytest.mark.slow
def test_a_student_learns_its_teachers_answers(new_run, few_images, two_layers, monkeypatch):
    import tensorflow as tf

    from mnext_tf.training import network

    answers = tf.constant([[3.0, 0.0, -3.0]])
    monkeypatch.setattr(network, "load_teacher", lambda wanted: lambda images: answers)
    teacher = new_run("teacher")
    train(teacher, few_images)
    fields = {"epochs": 20, "warmup_epochs": 0, "cooldown_epochs": 0, "keep_last": True, "learning_rate": 0.3}
    images, apart = np.zeros((2, 32, 32, 3), np.float32), {}
    for weight in (0.0, 1.0):
        student = new_run(f"student{weight}", teacher=teacher, distill_weight=weight, **fields)
        assert open_run(student.folder).config.teacher.run == str(teacher.folder)
        train(student, few_images)
        logits = load_network(student)(images).numpy()
        apart[weight] = np.abs(logits - logits.mean() - answers.numpy()).max()
    assert apart[1.0] < 1 < apart[0.0]


def test_a_teacher_is_the_run_as_it_was(new_run, few_images, two_layers):
    teacher = new_run("teacher")
    train(teacher, few_images)
    student = new_run("student", teacher=teacher, input_size=48)
    answers = load_teacher(student.config.teacher)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(answers(images), load_network(teacher)(images), rtol=1e-5)
    assert answers(np.repeat(images, 2, 1).repeat(2, 2)).shape == (2, 3)  # of another size
    check_teacher(teacher, few_images.class_names)
    with pytest.raises(ConfigError, match="has other classes"):
        check_teacher(teacher, few_images.class_names[::-1])
    teacher.weights.write_bytes(b"other")
    with pytest.raises(CheckpointError, match="have changed"):
        train(student, few_images)


def test_early_stopping_and_the_best_epoch(new_run, few_images, two_layers, monkeypatch, log_lines):
    from mnext_tf.training.network import Network

    losses = iter([3.0, 2.0, 2.5, 2.4, 2.3, 1.0])
    validate = Network.validate
    monkeypatch.setattr(Network, "validate", lambda self, data: validate(self, data) | {"val_loss": next(losses)})
    fields = {"epochs": 6, "warmup_epochs": 0, "cooldown_epochs": 0, "monitor": "val_loss", "patience": 3}
    run = new_run("run", **fields)
    with before_step(10, ctrl_c), pytest.raises(KeyboardInterrupt):
        train(run, few_images)
    trained = train(run, few_images)
    assert (trained.best_epoch, len(trained.history)) == (2, 5)
    assert any("3 epochs brought nothing better, stopped after epoch 5" in line for line in log_lines)
    result = read_json(run.folder / "train" / "manifest.json")["result"]
    assert (result["best_epoch"], result["monitor"], result["weights"]) == (2, "val_loss", "raw")
    assert train(run, few_images).best_epoch == 2


def test_the_last_epoch_is_kept_on_request(new_run, few_images, two_layers):
    run = new_run("run", keep_last=True)
    assert train(run, few_images).best_epoch == 2


def test_a_metric_that_the_data_cannot_have_is_refused(new_run, few_images, two_layers):
    with pytest.raises(ConfigError, match="needs more than 5 classes"):
        train(new_run("run", monitor="val_top5_accuracy"), few_images)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_lower_precision_trains_float32_weights(new_run, few_images, precision, monkeypatch):
    import tensorflow as tf

    monkeypatch.setattr("mnext_tf.models.mnext.STAGES", ((2, 96, 1, 2), (6, 96, 1, 1)))
    low, high = new_run("low", precision=precision, epochs=2), new_run("high")
    assert train(low, few_images).history[-1]["train_loss"] == pytest.approx(
        train(high, few_images).history[-1]["train_loss"], rel=0.1
    )
    assert tf.keras.mixed_precision.global_policy().name == "float32"
    assert {w.dtype for w in weights_of(low).values() if w.dtype.kind == "f"} == {np.dtype(np.float32)}


def test_checkpoints_by_time_and_how_many_are_kept(new_run, few_images, two_layers):
    run = new_run("run")
    train(run, few_images, settings=TrainSettings(checkpoint_minutes=1e-9, keep=3))
    names = sorted(p.name for p in (run.folder / "train" / "checkpoints").iterdir())
    assert names == ["step_00000004.npz", "step_00000005.npz", "step_00000006.npz"]


def test_class_weights_make_every_class_count_alike(new_run, few_images, two_layers):
    from mnext_tf.training.network import _class_weights

    uneven = dataclasses.replace(few_images, class_counts={**few_images.class_counts, "train": (12, 4, 8)})
    np.testing.assert_allclose(_class_weights(uneven), [2 / 3, 2, 1])
    assert np.isfinite(train(new_run("run", class_balance="weights"), few_images).history[-1]["train_loss"])
