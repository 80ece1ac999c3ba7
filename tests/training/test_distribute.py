"""Training on two devices: logical CPUs of one process."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
from support.training import state_of

from mnext_tf.errors import ConfigError
from mnext_tf.runs.run import open_run
from mnext_tf.training.recipes import resolve_recipe

FIELDS = {
    "epochs": 2,
    "batch_size": 8,
    "width": 0.1,
    "dropout": 0.0,
    "learning_rate": 0.02,
    "warmup_epochs": 0,
    "crop_scale_min": 0.5,
    "flip": True,
}
CASES = {
    "one": ("none", {"ema_decay": 0.9, "clip_norm": 1.0}),
    "two": ("mirrored", {"ema_decay": 0.9, "clip_norm": 1.0, "sync_batch_norm": True}),
    "apart": (
        "mirrored",
        {"optimizer": "yellowfin", "dropout": 0.4, "accumulate": 2, "ema_decay": 0.9, "sparsity": 0.6},
    ),
    "half": (
        "mirrored",
        {
            "optimizer": "adamw",
            "weight_decay": 1e-4,
            "precision": "mixed_float16",
            "sync_batch_norm": True,
            "accumulate": 2,
            "sparsity": 0.6,
        },
    ),
}


@pytest.fixture(scope="module")
def trained(few_images, repository, python, tmp_path_factory):
    """(runs by name of the case, variables that differ between the devices at their ends)"""
    root = tmp_path_factory.mktemp("runs")
    cases = [[str(root / name), kind, {**FIELDS, **changes}] for name, (kind, changes) in CASES.items()]
    script = repository / "tests" / "support" / "two_devices.py"
    done = python(script, few_images.folder, json.dumps(cases), timeout=600)
    assert done.returncode == 0, done.stderr
    differing = json.loads(done.stdout.splitlines()[-1])
    return {name: open_run(root / name) for name in CASES}, dict(zip(CASES, differing, strict=True))


@pytest.mark.slow
def test_two_devices_train_what_one_does(trained):
    """Same batches, batch statistics over both devices: weights, average, momentum, and history are the same."""
    (one, expected), (two, history) = (state_of(trained[0][name]) for name in ("one", "two"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    for row, same in zip(history, expected, strict=True):
        assert row == pytest.approx(same, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["two", "apart", "half"])
def test_the_copies_of_every_variable_stay_equal(trained, case):
    """But for the seeds of dropout, which differ so that each device drops others."""
    runs, differing = trained
    seeds = [name for name in differing[case] if name.endswith("seed_generator_state")]
    assert differing[case] == seeds
    assert bool(seeds) == bool(runs[case].config.recipe.dropout)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["apart", "half"])
def test_devices_prune_together(trained, case):
    run = trained[0][case]
    assert run.manifest("train").result["sparsity"] == pytest.approx(0.6, abs=0.01)
    masks = {name: value for name, value in state_of(run)[0].items() if name.startswith("masks/")}
    assert len(masks) == 6
    assert all(value.mean() == pytest.approx(0.4, abs=0.03) for value in masks.values())


def devices(replicas: int):
    from mnext_tf.training.strategy import Devices

    return Devices(SimpleNamespace(num_replicas_in_sync=replicas))


@pytest.mark.parametrize(("batch_size", "accumulate"), [(12, 1), (8, 1), (24, 2)])
def test_a_batch_that_the_devices_cannot_share_evenly_is_refused(batch_size, accumulate):
    recipe = resolve_recipe("digits", {"batch_size": batch_size, "accumulate": accumulate})
    with pytest.raises(
        ConfigError, match=rf"batch_size \({batch_size}\) must be a multiple of {8 * accumulate} \(8 dev"
    ):
        devices(8).prepare(SimpleNamespace(layers=[]), recipe)
    devices(1).prepare(SimpleNamespace(layers=[]), recipe)


def test_batch_statistics_over_all_devices_are_fused_batch_norm_on_one():
    import tensorflow as tf

    from mnext_tf.models.keras_layers import BatchNormalization

    rng = np.random.default_rng(0)
    x = tf.constant(rng.normal([0, 30], [1, 2], (8, 4, 4, 2)), tf.float32)
    weights = tf.constant(rng.normal(size=x.shape), tf.float32)
    found = []
    for synchronized in (False, True):
        layer = BatchNormalization(synchronized=synchronized)
        layer.build(x.shape)
        layer.gamma.assign([0.5, 2.0])
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(weights * tf.square(y))
        gradients = tape.gradient(loss, [x, *layer.trainable_variables])
        found.append([y, *gradients, *layer.variables])
    for fused, composed in zip(*found, strict=True):
        np.testing.assert_allclose(composed, fused, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}',
    ],
)
def test_a_tf_config_that_does_not_say_who_works_is_refused(text):
    from mnext_tf.training.strategy import cluster

    with pytest.raises(ConfigError, match="TF_CONFIG must be"):
        cluster(text)
    good = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}'
    assert cluster(good) == (1, ["a:1", "b:1"])
