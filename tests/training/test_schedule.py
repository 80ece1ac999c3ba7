import dataclasses
import math

import numpy as np
import pytest

from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import RECIPES, resolve_recipe
from mnext_tf.training.schedule import describe_schedule, learning_rate

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
    found = rates(recipe, 8)
    assert 0.9 * recipe.peak_learning_rate < found.max() <= recipe.peak_learning_rate
    assert found.min() >= min(recipe.final_learning_rate, recipe.warmup_learning_rate) * (1 - 1e-9)
    peak = math.ceil(recipe.warmup_epochs * 8)
    assert (np.diff(found[: peak + 1]) > 0).all()
    assert (np.diff(found[peak:]) <= 1e-18).all()


def test_warm_up_and_cool_down_may_be_parts_of_an_epoch():
    recipe = dataclasses.replace(RECIPE, epochs=1, warmup_epochs=0.25, cooldown_epochs=0.5)
    found = rates(recipe, 8)
    np.testing.assert_allclose(found[:3], [0.001, (0.1 + 0.001) / 2, 0.1])
    assert found[3] == pytest.approx((0.1 + 0.0001) / 2)  # half of the quarter that the cosine has
    np.testing.assert_allclose(found[4:], 0.0001)


@pytest.mark.parametrize(("epochs", "warmup", "cooldown"), [(20, 4, 6), (1, 0.25, 0.5), (3, 0.75, 0.75), (2, 0, 0)])
def test_the_schedule_is_described_in_the_steps_that_it_takes(epochs, warmup, cooldown):
    recipe = dataclasses.replace(RECIPE, epochs=epochs, warmup_epochs=warmup, cooldown_epochs=cooldown)
    found = rates(recipe)
    rising = int(np.argmax(found))  # the step of the peak, or that after it
    flat = int((found == recipe.final_learning_rate).sum())
    text = describe_schedule(recipe, STEPS)
    assert text.startswith(f"schedule: epochs {epochs}, steps per epoch 7, batch size 256, ")
    assert (
        f", learning rate 0.001 to 0.1 in {rising} warm-up steps, " if warmup else ", learning rate 0.1, no warm-up, "
    ) in text
    assert text.endswith(f"cosine to 0.0001, {flat} cool-down steps")


STEPS_OF_TEN = dataclasses.replace(RECIPE, schedule="step", decay_rate=0.5, decay_epochs=2.5)


def test_step_falls_at_once_and_counts_epochs_from_the_start():
    found = rates(STEPS_OF_TEN, 10)
    np.testing.assert_allclose(found[40:50], 0.1 * 0.5)  # epoch 4 to 5, the first after the warm-up
    np.testing.assert_allclose(found[50:75], 0.1 * 0.5**2)
    np.testing.assert_allclose(found[75:100], 0.1 * 0.5**3)
    np.testing.assert_allclose(found[125:140], 0.1 * 0.5**5)
    np.testing.assert_allclose(found[140:], 0.0001)


def test_step_does_not_fall_below_the_final_rate():
    found = rates(dataclasses.replace(STEPS_OF_TEN, final_learning_rate=0.02), 10)
    np.testing.assert_allclose(found[50:75], 0.025)
    np.testing.assert_allclose(found[75:], 0.02)


@pytest.mark.parametrize("steps_per_epoch", [5, 1251, 2502, 5004, 5005])
def test_a_step_of_2_4_epochs_ends_exactly_after_12(steps_per_epoch):
    recipe = Recipe(schedule="step", learning_rate=1.0, reference_batch_size=0)
    for twelfth in range(1, 16):
        last, first = (learning_rate(recipe, 12 * twelfth * steps_per_epoch - i, steps_per_epoch) for i in (1, 0))
        assert (last, first) == pytest.approx((0.97 ** (5 * twelfth - 1), 0.97 ** (5 * twelfth)))


def test_constant_is_the_peak_until_the_cool_down():
    found = rates(dataclasses.replace(RECIPE, schedule="constant"))
    np.testing.assert_array_equal(found[4 * STEPS : 14 * STEPS], 0.1)
    np.testing.assert_array_equal(found[14 * STEPS :], 0.0001)


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_the_peak_is_scaled_to_the_batch_and_the_other_rates_are_not(schedule):
    recipe = dataclasses.replace(RECIPE, schedule=schedule, decay_epochs=50.0, batch_size=512, reference_batch_size=256)
    found = rates(recipe)
    assert (found[0], found.max(), found[-1]) == pytest.approx((0.001, 0.2, 0.0001))
    assert found[4 * STEPS] == found.max()


def test_descriptions_of_the_other_schedules():
    recipe = dataclasses.replace(STEPS_OF_TEN, batch_size=512)
    assert describe_schedule(recipe, 10) == (
        "schedule: epochs 20, steps per epoch 10, batch size 512, learning rate 0.001 to 0.2 (0.1 for 256 images, "
        "times 512 / 256) in 40 warm-up steps, times 0.5 every 2.5 epochs, at least 0.0001, 60 cool-down steps"
    )
    recipe = dataclasses.replace(RECIPE, schedule="constant", reference_batch_size=0)
    assert describe_schedule(recipe, 10).endswith(
        ", learning rate 0.001 to 0.1 in 40 warm-up steps, constant, then 0.0001, 60 cool-down steps"
    )
