import dataclasses

import numpy as np
import pytest

from mnext_tf.training.recipe import RECIPES, Recipe, resolve_recipe
from mnext_tf.training.schedule import learning_rate

RECIPE = Recipe(
    epochs=20,
    warmup_epochs=4,
    cooldown_epochs=6,
    learning_rate=0.1,
    warmup_learning_rate=0.001,
    final_learning_rate=0.0001,
)
STEPS = 7  # an epoch


def rates(recipe, steps_per_epoch=STEPS):
    return np.array([learning_rate(recipe, s, steps_per_epoch) for s in range(recipe.epochs * steps_per_epoch)])


def test_warm_up_is_a_straight_line_to_the_peak():
    warmup = rates(RECIPE)[: 4 * STEPS + 1]
    assert warmup[0] == pytest.approx(0.001)
    assert warmup[-1] == pytest.approx(0.1)
    np.testing.assert_allclose(np.diff(warmup), (0.1 - 0.001) / (4 * STEPS))


def test_cosine_falls_without_a_pause_to_the_final_rate():
    decay = rates(RECIPE)[4 * STEPS : 14 * STEPS + 1]
    assert (np.diff(decay) < 0).all()
    assert decay[5 * STEPS] == pytest.approx((0.1 + 0.0001) / 2)  # half of the way: the mean
    assert decay[-1] == pytest.approx(0.0001)
    assert -np.diff(decay).min() == pytest.approx(-np.diff(decay)[5 * STEPS], rel=0.01)  # steepest in the middle


def test_cool_down_stays_at_the_final_rate():
    np.testing.assert_allclose(rates(RECIPE)[14 * STEPS :], 0.0001)


def test_without_warm_up_it_starts_at_the_peak():
    recipe = dataclasses.replace(RECIPE, warmup_epochs=0, cooldown_epochs=0)
    assert rates(recipe)[0] == pytest.approx(0.1)
    assert 0.0001 < rates(recipe)[-1] < 0.0002  # the last step is one before the end


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("epochs", [None, 1, 2, 5])
def test_every_recipe_stays_between_its_rates(name, epochs):
    recipe = resolve_recipe(name, {"epochs": epochs})
    found = rates(recipe, 3)
    assert found.max() == pytest.approx(recipe.learning_rate)
    assert found.min() >= min(recipe.final_learning_rate, recipe.warmup_learning_rate) * (1 - 1e-9)
    peak = recipe.warmup_epochs * 3
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak:]) <= 1e-18).all()
