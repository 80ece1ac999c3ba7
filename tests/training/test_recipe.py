import dataclasses

import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import RECIPES, resolve_recipe


@pytest.mark.parametrize("name", RECIPES)
def test_a_named_recipe_is_valid_as_it_is(name):
    assert resolve_recipe(name, {}) == RECIPES[name]
    RECIPES[name].model("mnext")


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 7, 1000])
def test_any_number_of_epochs_is_valid_by_itself(name, epochs):
    assert resolve_recipe(name, {"epochs": epochs}).epochs == epochs


def test_the_recipe_of_the_digits_is_what_its_published_accuracies_were_trained_with():
    """Earlier releases wrote warm-up and cool-down as whole numbers; a recipe of theirs is read and written alike."""
    recipe = RECIPES["digits"]
    assert (recipe.epochs, recipe.warmup_epochs, recipe.cooldown_epochs) == (10, 1, 1)
    assert Recipe.from_dict({**recipe.to_dict(), "warmup_epochs": 1}).to_dict() == recipe.to_dict()


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("epochs", [1, 2, 3, 5])
def test_no_number_of_epochs_drops_warm_up_or_cool_down(name, epochs):
    recipe = resolve_recipe(name, {"epochs": epochs})
    assert bool(recipe.warmup_epochs) == bool(RECIPES[name].warmup_epochs)
    assert bool(recipe.cooldown_epochs) == bool(RECIPES[name].cooldown_epochs)


def test_every_field_has_a_help_text():
    assert all(f.metadata["help"] for f in dataclasses.fields(Recipe))


def test_fields_that_are_not_given_stay():
    recipe = resolve_recipe("digits", {"learning_rate": 0.02, "width": 0.5, "epochs": None})
    assert recipe == dataclasses.replace(RECIPES["digits"], learning_rate=0.02, width=0.5)


def test_fewer_epochs_shorten_warm_up_and_cool_down():
    recipe = resolve_recipe("imagenet", {"epochs": 8})
    assert (recipe.warmup_epochs, recipe.cooldown_epochs) == (2, 2)
    recipe = resolve_recipe("digits", {"epochs": 3})
    assert (recipe.warmup_epochs, recipe.cooldown_epochs) == (0.75, 0.75)
    recipe = resolve_recipe("imagenet", {"epochs": 1})
    assert (recipe.warmup_epochs, recipe.cooldown_epochs) == (0.25, 0.25)
    recipe = resolve_recipe("imagenet", {"epochs": 300})
    assert (recipe.warmup_epochs, recipe.cooldown_epochs) == (3, 10)
    recipe = resolve_recipe("imagenet", {"epochs": 8, "warmup_epochs": 5})
    assert (recipe.warmup_epochs, recipe.cooldown_epochs) == (5, 2)


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        (
            {"epochs": 12, "warmup_epochs": 7, "cooldown_epochs": 5},
            r"warmup_epochs \(7\) and cooldown_epochs \(5\).*12 epochs",
        ),
        ({"epochs": 1, "warmup_epochs": 1}, r"warmup_epochs \(1\) and cooldown_epochs \(0\.25\).*1 epochs"),
        (
            {"learning_rate": 0.01, "final_learning_rate": 0.02},
            r"final_learning_rate \(0\.02\).*learning_rate \(0\.01\)",
        ),
        (
            {"learning_rate": 1e-5, "warmup_learning_rate": 1e-4},
            r"warmup_learning_rate \(0\.0001\).*learning_rate \(1e-05\).*Lower --warmup_learning_rate too",
        ),
        ({"momentum": 0.0}, "nesterov needs a momentum above 0; give --nonesterov"),
    ],
)
def test_two_fields_that_contradict_are_both_named(fields, text):
    with pytest.raises(ConfigError, match=text):
        resolve_recipe("digits", fields)


def test_rates_of_adamw_are_not_those_of_others():
    with pytest.raises(ConfigError, match=r"digits are for sgd.*give --learning_rate and --weight_decay too"):
        resolve_recipe("digits", {"optimizer": "adamw"})
    with pytest.raises(ConfigError, match=r"finetune are for adamw.*give --weight_decay too"):
        resolve_recipe("finetune", {"optimizer": "sgd", "learning_rate": 0.01})
    given = {"learning_rate": 0.01, "weight_decay": 1e-3}
    assert resolve_recipe("digits", {"optimizer": "adamw", **given}).epsilon == 1e-8
    assert resolve_recipe("finetune", {"optimizer": "rmsprop_tf", **given}).epsilon == 1e-3


def test_the_rate_of_yellowfin_multiplies_the_one_that_it_tunes():
    recipe = resolve_recipe("photos", {"optimizer": "yellowfin", "batch_size": 128})
    assert recipe.peak_learning_rate == 1
    assert resolve_recipe("photos", {"optimizer": "yellowfin", "learning_rate": 0.5}).learning_rate == 0.5


def test_a_small_rate_lowers_those_of_the_first_and_last_steps():
    recipe = resolve_recipe("finetune", {"learning_rate": 5e-6})
    assert recipe.warmup_learning_rate == recipe.final_learning_rate == recipe.peak_learning_rate == 5e-6


def test_each_contradiction_has_a_way_out():
    resolve_recipe("digits", {"epochs": 13, "warmup_epochs": 7, "cooldown_epochs": 5})
    resolve_recipe("digits", {"momentum": 0.0, "nesterov": False})


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("epochs", 0, "at least 1"),
        ("batch_size", 1, "at least 2"),
        ("warmup_epochs", -1, "at least 0"),
        ("cooldown_epochs", -1, "at least 0"),
        ("seed", -1, "at least 0"),
        ("seed", 2**32, "below 4294967296"),
        ("epochs", 2.5, "a whole number"),
        ("warmup_epochs", float("nan"), "a number"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("learning_rate", float("inf"), "above 0"),
        ("warmup_learning_rate", -1.0, "above 0"),
        ("final_learning_rate", 0.0, "above 0"),
        ("momentum", 1.0, "below 1"),
        ("momentum", float("nan"), "below 1"),
        ("weight_decay", -1e-4, "at least 0"),
        ("label_smoothing", 1.0, "below 1"),
        ("dropout", 1.0, "below 1"),
        ("crop_fraction", 0.0, "crop_fraction"),
        ("crop_fraction", 1.5, "crop_fraction"),
        ("interpolation", "lanczos", "bicubic"),
        ("crop_scale_min", 0.0, "crop_scale_min"),
        ("color_jitter", -0.1, "color_jitter"),
        ("shift", 2.0, "shift"),
    ],
)
def test_a_field_out_of_range_is_named(field, value, allowed):
    with pytest.raises(ConfigError, match=field) as error:
        resolve_recipe("digits", {field: value})
    assert allowed in str(error.value)
    assert str(value) in str(error.value)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"recipe must be one of .*digits.*Did you mean 'digits'"):
        resolve_recipe("digit", {})
    with pytest.raises(ConfigError, match=r"recipe field must be one of .*Did you mean 'learning_rate'"):
        resolve_recipe("digits", {"learnin_rate": 0.1})


def test_a_recipe_that_does_not_fit_the_network_is_refused():
    half = resolve_recipe("digits", {"identity_tensor_multiplier": 0.5})
    half.model("mnext")
    with pytest.raises(ConfigError, match="only mnext has one"):
        half.model("mobilenet_v2")
    with pytest.raises(ConfigError, match="convention"):
        RECIPES["digits"].model("mnext", options={"convention": "tensorflow"})
    with pytest.raises(ConfigError, match="input_size"):
        dataclasses.replace(RECIPES["digits"], input_size=4).model("mnext")


def test_a_recipe_made_by_hand_is_checked_alike():
    with pytest.raises(ConfigError, match="must leave some of the 5 epochs"):
        Recipe(epochs=5)
