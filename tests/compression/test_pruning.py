"""Pruning while training: which weights, how many, when; and that they stay zero."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from support.training import assert_bitwise_equal, interrupt, train

from mnext_tf.errors import ConfigError
from mnext_tf.runs.weights import load_network
from mnext_tf.training.best import better, stops_early
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import start_run

RECIPE = resolve_recipe("digits", {"epochs": 4, "batch_size": 8, "width": 0.1, "learning_rate": 0.1, "sparsity": 0.75})


@pytest.fixture
def new_run(tmp_path, few_images, monkeypatch):
    monkeypatch.setattr("mnext_tf.models.mnext.STAGES", ((2, 96, 1, 2), (6, 96, 2, 1)))

    def new_run(name, **changes):
        return start_run(tmp_path / name, "mnext", dataclasses.replace(RECIPE, **changes), few_images)

    return new_run


def test_the_sparsity_rises_as_zhu_and_gupta_have_it():
    from mnext_tf.compression.pruning import sparsity_after

    found = [float(sparsity_after(t, final=0.8, rising_steps=10)) for t in (0, 1, 5, 9, 10, 99)]
    np.testing.assert_allclose(found, [0, 0.8 * 0.271, 0.7, 0.8 * 0.999, 0.8, 0.8], rtol=1e-6)


def test_the_smallest_weights_leave_even_where_many_are_equal():
    from mnext_tf.compression.pruning import largest

    values = np.array([0.1, -3, 0.2, 2, -0.1, 0, 0, 1], np.float32).reshape(1, 1, 4, 2)
    import tensorflow as tf

    assert largest(tf.constant(values), 0.625).numpy().ravel().tolist() == [0, 1, 0, 1, 0, 0, 0, 1]
    assert np.count_nonzero(largest(tf.ones((1, 1, 10, 10)), 0.33)) == 67
    assert np.count_nonzero(largest(tf.constant(values), 0.0)) == 8


def test_what_is_pruned():
    from mnext_tf.compression.pruning import pruned_layers
    from mnext_tf.models import create_model

    names = [layer.name for layer in pruned_layers(create_model("mnext", width=0.35, input_size=32))]
    assert len(names) == 40
    assert all(name.endswith(("_reduce", "_expand")) for name in names)
    large = create_model("mnext_l", input_size=32)
    pruned = {layer.name for layer in pruned_layers(large)}
    grouped = {layer.name for layer in large.layers if getattr(layer, "groups", 1) != 1}
    assert grouped
    assert not grouped & pruned


@pytest.mark.slow
def test_zeros_stay_where_they_are_and_the_best_epoch_has_all_of_them(new_run, few_images, log_lines):
    run = new_run("run", ema_decay=0.5, accumulate=2, clip_norm=1.0, pruning_epochs=2)
    trained = train(run, few_images)
    for weights in ("raw", "ema"):
        model = load_network(run.with_weights(weights))
        for layer in model.layers:
            for w in layer.trainable_weights[:1]:
                zeros, size = int((w.numpy() == 0).sum()), int(np.prod(w.shape))
                pruned = layer.name.endswith(("_reduce", "_expand"))
                if w.name.endswith("kernel"):
                    assert zeros == (round(0.75 * size) if pruned else 0), layer.name
    assert trained.best_epoch >= 2
    assert run.manifest("train").result["sparsity"] == pytest.approx(0.75, abs=0.01)
    assert any("75.0% of the weights of 6 1x1 convolutions are zero" in line for line in log_lines)
    assert any("sparsity to 0.75 in 6 steps" in line for line in log_lines)


@pytest.mark.slow
def test_resumed_after_the_sparsity_has_risen_is_bitwise_the_undisturbed_run(new_run, few_images):
    """While it rises: see `test_features`."""
    undisturbed, disturbed = (new_run(name, ema_decay=0.5) for name in ("undisturbed", "disturbed"))
    train(undisturbed, few_images)
    interrupt(disturbed, few_images, step=8)
    train(disturbed, few_images)
    assert_bitwise_equal(disturbed, undisturbed)


@pytest.mark.slow
def test_masks_are_part_of_a_checkpoint(new_run, few_images):
    from support.training import state_of

    run = new_run("run")
    train(run, few_images)
    masks = {name: value for name, value in state_of(run)[0].items() if name.startswith("masks/")}
    assert len(masks) == 6
    assert all(value.dtype == bool and value.mean() == pytest.approx(0.25, abs=0.02) for value in masks.values())


def history(*accuracies):
    return [{"epoch": i, "val_accuracy": value} for i, value in enumerate(accuracies, 1)]


def test_only_epochs_at_the_full_sparsity_are_kept_and_counted():
    recipe = Recipe(epochs=8, warmup_epochs=0, cooldown_epochs=0, sparsity=0.8, pruning_epochs=2.5, patience=2)
    assert better(history(0.9, 0.8), recipe) is None
    assert better(history(0.9, 0.8, 0.5, 0.6), recipe).epoch == 4
    assert not stops_early(history(0.9, 0.8), recipe)
    assert not stops_early(history(0.9, 0.8, 0.5, 0.4), recipe)
    assert stops_early(history(0.9, 0.8, 0.5, 0.4, 0.4), recipe)
    assert better(history(0.9, 0.8, 0.5), dataclasses.replace(recipe, keep_last=True)).epoch == 3
    assert better(history(0.9, 0.8), dataclasses.replace(recipe, sparsity=0.0, pruning_epochs=None)).epoch == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sparsity": 1.0}, "sparsity must be at least 0 and below 1"),
        ({"pruning_epochs": 3}, "give --sparsity"),
        ({"sparsity": 0.8, "pruning_epochs": 210}, "must be below epochs"),
    ],
)
def test_contradictions_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        Recipe(**fields)


def test_a_network_with_nothing_to_prune_is_refused(new_run, few_images):
    with pytest.raises(ConfigError, match="needs 1x1 convolutions that train"):
        train(new_run("run", freeze="backbone"), few_images)
