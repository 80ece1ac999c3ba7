"""What a training would take, against what one takes."""

import csv
import dataclasses

import numpy as np
import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.training.dry_run import dry_run, write_schedule
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.recipes import RECIPES
from mnext_tf.training.schedule import learning_rate

SMALL = Recipe(width=0.25, input_size=64, batch_size=16, epochs=5, warmup_epochs=1, cooldown_epochs=1)


def run(recipe=SMALL, model="mnext", **images):
    return dry_run(recipe, recipe.model(model), **images)


def test_imagenet_by_the_authors_recipe():
    found = run(RECIPES["mnext"])
    assert (found.steps_per_epoch, found.steps) == (5004, 210 * 5004)
    assert (found.images, found.validation_images) == (210 * 5004 * 256, 210 * 50_000)
    assert len(found.learning_rates) == 210
    assert found.learning_rates[:4] == pytest.approx((1e-4, 0.0334, 0.0667, 0.1))
    assert found.learning_rates[200:] == pytest.approx([1e-5] * 10)
    assert 10e9 < found.memory.total < 40e9
    text = found.describe()
    assert "steps: 1,050,840, images: 269,015,040 in training and 10,500,000 in validation" in text
    assert f"for {found.parameters:,} parameters" in text


@pytest.fixture(scope="module")
def network():
    return SMALL.model("mnext").create()


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@pytest.mark.parametrize("optimizer", ["sgd", "rmsprop_tf", "adamw", "yellowfin"])
def test_memory_is_that_of_the_variables(optimizer, momentum, network):
    from mnext_tf.training.optimizers import make_optimizer

    recipe = dataclasses.replace(SMALL, optimizer=optimizer, nesterov=False, momentum=momentum)
    found, made = run(recipe).memory, make_optimizer(recipe)
    made.build(network.trainable_variables)
    size = lambda variables: sum(v.numpy().nbytes for v in variables)
    assert found.weights == size(network.weights)
    assert found.gradients == size(network.trainable_variables)
    slots = [v for v in made.variables if len(v.shape)]
    assert found.optimizer == pytest.approx(size(slots), abs=200)  # YellowFin has a few numbers besides
    assert found.average == 0


def test_what_memory_depends_on():
    memory = run(num_images=100).memory
    assert run(dataclasses.replace(SMALL, batch_size=8), num_images=100).memory.activations == memory.activations / 2
    parts = run(dataclasses.replace(SMALL, accumulate=4), num_images=100).memory
    assert (parts.activations, parts.gradients) == (memory.activations / 4, memory.gradients * 2)
    half = dataclasses.replace(SMALL, precision="mixed_bfloat16")
    assert run(half, num_images=100).memory.activations == memory.activations / 2
    assert run(dataclasses.replace(SMALL, ema_decay=0.9), num_images=100).memory.average == memory.weights


def test_too_few_images_for_a_batch():
    with pytest.raises(ConfigError, match="batch_size=16 is more than the 15 training images"):
        run(num_images=15)


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant"])
def test_the_written_schedule_has_every_step(schedule, tmp_path):
    recipe = dataclasses.replace(SMALL, schedule=schedule)
    table, plot = write_schedule(tmp_path / "new", recipe, 30)
    with table.open() as f:
        assert f.readline() == "step,epoch,learning_rate\n"
        rows = [(int(step), int(epoch), float(rate)) for step, epoch, rate in csv.reader(f)]
    assert rows == [(step, step // 30 + 1, learning_rate(recipe, step, 30)) for step in range(150)]

    from PIL import Image

    pixels = np.array(Image.open(plot).convert("RGB")).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0]) > 80  # the line is the only colored thing
    assert min(pixels.shape[:2]) > 400
    assert blue.any(0).mean() > 0.8  # it crosses the plot
    highest = blue.argmax(0)[blue.any(0)]
    assert highest[-1] - highest.min() > 200  # from the peak to the final rate


def test_it_needs_no_tensorflow(python, tmp_path):
    done = python(
        "-c",
        "import sys; from pathlib import Path; from mnext_tf.training.dry_run import dry_run, write_schedule; "
        "from mnext_tf.training.recipe import Recipe; r = Recipe(epochs=20); m = r.model('mnext'); "
        "d = dry_run(r, m, num_images=2560); write_schedule(Path(sys.argv[1]), r, d.steps_per_epoch); d.describe(); "
        "sys.exit('tensorflow' in sys.modules)",
        str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "schedule.csv").read_text().count("\n") == 201
