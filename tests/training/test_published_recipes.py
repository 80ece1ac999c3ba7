"""Every recipe against its published description: the learning rates of a run on ImageNet, and a hundred updates.

The references are written from the descriptions, in NumPy and float64; they share nothing with the library.
"""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest

from mnext_tf.training.recipes import RECIPES
from mnext_tf.training.schedule import learning_rate

IMAGES = 1_281_167


@dataclasses.dataclass
class Published:
    """Epochs: all, of warm-up, of cool-down. Rates: first, highest, last. `drop`: a factor, and the epochs between."""

    epochs: int
    warmup: int
    cooldown: int
    first: float
    peak: float
    last: float
    batch: int
    drop: tuple[float, str] | None = None  # None: cosine
    begin: int = 0  # of the epochs between drops

    def rates(self):
        per_epoch = IMAGES // self.batch
        step = np.arange(self.epochs * per_epoch)
        epoch = step / per_epoch
        if self.drop:
            factor, every = self.drop[0], Fraction(self.drop[1]) * per_epoch
            counted = np.maximum(0, step - self.begin * per_epoch)
            rates = self.peak * factor ** (counted * every.denominator // every.numerator)
            rates = np.where(step < (self.epochs - self.cooldown) * per_epoch, rates, 0).clip(self.last)
        else:
            part = (epoch - self.warmup) / (self.epochs - self.warmup - self.cooldown)
            rates = self.last + (self.peak - self.last) * np.cos(np.pi / 2 * part.clip(0, 1)) ** 2
        rising = step < self.warmup * per_epoch
        rates[rising] = np.interp(epoch[rising], [0, self.warmup], [self.first, self.peak])
        return rates


PUBLISHED = {
    "mnext": Published(210, 3, 10, 1e-4, 0.1, 1e-5, 256),
    "mnext_paddle": Published(210, 3, 10, 1e-4, 0.1, 1e-5, 512),
    "mnext_s": Published(510, 3, 10, 1e-6, 0.12, 1e-5, 1024, drop=(0.97, "2.4")),
    "mnext_l": Published(510, 3, 10, 1e-6, 0.12, 1e-5, 512, drop=(0.97, "2.4")),
    "mnext_l_5.68m": Published(560, 3, 10, 1e-6, 0.048, 1e-5, 512, drop=(0.97, "2.4")),
    "mobilenet_v2": Published(300, 0, 0, 0.045, 0.045, 1e-5, 256, drop=(0.98, "1")),
    "mobilenet_v1": Published(200, 0, 0, 0.045, 0.045, 1e-5, 64, drop=(0.94, "2.5")),
    "photos": Published(40, 3, 2, 1e-4, 0.05, 1e-5, 64),
    "finetune": Published(12, 1, 1, 1e-4, 0.001, 1e-5, 32),
    "qat": Published(5, 0.5, 0.5, 1e-5, 1e-4, 1e-5, 32),
    "digits": Published(10, 1, 1, 1e-4, 0.02, 1e-4, 32),
    "small_images": Published(30, 1, 0, 1e-4, 0.05, 1e-4, 64),
    "ssdlite_voc": Published(348, 0.726, 0, 1e-3 / 3, 1e-3, 1e-5, 24, drop=(0.1, "58"), begin=174),
    "ssdlite_coco": Published(433, 1.08, 0, 1e-2 / 3, 1e-2, 1e-6, 256),
    "finetune_detector": Published(40, 2, 2, 1e-4, 2e-3, 1e-5, 8),
    "scenes": Published(40, 2, 2, 1e-3, 0.05, 1e-5, 16),
}


def test_every_recipe_is_here():
    assert list(PUBLISHED) == list(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_learning_rates_of_a_run_on_imagenet(name):
    recipe, expected = RECIPES[name], PUBLISHED[name].rates()
    per_epoch = IMAGES // recipe.batch_size
    assert len(expected) == recipe.epochs * per_epoch
    # around the start and the end of each epoch, every step; rates change abruptly there only, and at 2.4, 2.5, ...
    steps = np.arange(len(expected))
    near = (steps + 1) % (per_epoch // 10) < 3
    steps = steps[near | (steps % 101 == 0)]
    found = np.array([learning_rate(recipe, step, per_epoch) for step in steps.tolist()])
    np.testing.assert_allclose(found, expected[steps], rtol=1e-9)


@pytest.mark.parametrize(
    ("name", "images", "drops", "steps", "warm"),
    [("ssdlite_voc", 16_551, (160_000, 200_000), 240_000, 500), ("ssdlite_coco", 118_287, (), 200_000, 500)],
)
def test_detectors_train_as_many_steps_as_published(name, images, drops, steps, warm):
    recipe = RECIPES[name]
    per_epoch = images // recipe.batch_size
    assert recipe.epochs * per_epoch == pytest.approx(steps, rel=1e-3)
    assert recipe.warmup_epochs * per_epoch == pytest.approx(warm, rel=5e-3)
    for i, drop in enumerate(drops):
        before, after = (learning_rate(recipe, round(drop * share), per_epoch) for share in (0.998, 1.0))
        assert (before, after) == pytest.approx((1e-3 * 0.1**i, 1e-4 * 0.1**i))


def reference_sgd(w, g, rate, state, recipe):
    """Sutskever et al. 2013: the learning rate is inside the velocity."""
    v = state["v"] = recipe.momentum * state.get("v", 0) - rate * g
    return w + (recipe.momentum * v - rate * g if recipe.nesterov else v)


def reference_rmsprop_tf(w, g, rate, state, recipe):
    """Tieleman and Hinton 2012, as TensorFlow 1: the mean square starts at 1, epsilon is inside the root."""
    s = state["s"] = 0.9 * state.get("s", 1) + 0.1 * g**2
    m = state["m"] = 0.9 * state.get("m", 0) + rate * g / np.sqrt(s + 1e-3)
    return w - m


def reference_adamw(w, g, rate, state, recipe):
    """Loshchilov and Hutter, arXiv 1711.05101; epsilon as in the last paragraph of section 2 of Adam (1412.6980)."""
    t = state["t"] = state.get("t", 0) + 1
    m = state["m"] = 0.9 * state.get("m", 0) + 0.1 * g
    s = state["s"] = 0.999 * state.get("s", 0) + 0.001 * g**2
    decay = recipe.weight_decay if state["decayed"] else 0
    scale = np.sqrt(1 - 0.999**t) / (1 - 0.9**t)
    return w * (1 - rate * decay) - rate * scale * m / (np.sqrt(s) + recipe.epsilon)


SHAPES = {"kernel": (3, 3, 4, 8), "depthwise": (3, 3, 8, 1), "gamma": (8,), "bias": (8,)}
CHANGES = {
    "AdamW": {"optimizer": "adamw", "epsilon": 1e-6, "weight_decay": 0.05, "learning_rate": 0.003, "nesterov": False},
    "AdamW, all decayed": {"decay_all": True},
}
CHANGES["AdamW, all decayed"] |= CHANGES["AdamW"]


def updated(weight, gradients, rates, recipe, decayed):
    reference, state = globals()[f"reference_{recipe.optimizer}"], {"decayed": decayed}
    for rate, gradient in zip(rates, gradients, strict=True):
        l2 = recipe.weight_decay * weight if decayed and recipe.optimizer != "adamw" else 0
        weight = reference(weight, gradient + l2, rate, state, recipe)
    return weight


@pytest.mark.parametrize("name", [*RECIPES, *CHANGES])
def test_a_hundred_updates(name):
    import tensorflow as tf

    from mnext_tf.training.optimizers import l2_gradients, make_optimizer, not_decayed

    recipe = RECIPES[name] if name in RECIPES else dataclasses.replace(RECIPES["mnext"], **CHANGES[name])
    rates = [learning_rate(recipe, step, 100) for step in range(0, recipe.epochs * 100, recipe.epochs)]
    assert len(rates) == 100
    rng = np.random.default_rng(0)
    gradients = [[rng.normal(size=s) * 10.0 ** rng.uniform(-3, 0) for s in SHAPES.values()] for _ in rates]
    weights = [rng.normal(size=s) for s in SHAPES.values()]
    variables = [tf.Variable(w, dtype=tf.float32) for w in weights]
    optimizer = make_optimizer(recipe, no_decay=not_decayed(variables, recipe))
    optimizer.build(variables)

    @tf.function
    def update(rate, gradients):
        optimizer.learning_rate.assign(rate)
        optimizer.apply_gradients(zip(l2_gradients(gradients, variables, recipe), variables, strict=True))

    for rate, now in zip(rates, gradients, strict=True):
        update(tf.constant(rate, tf.float32), [tf.constant(g, tf.float32) for g in now])
    for i, kind in enumerate(SHAPES):
        decayed = recipe.decay_all or kind in ("kernel", "depthwise")
        run = weights[i], [now[i] for now in gradients], rates, recipe
        found, close = variables[i].numpy(), {"rtol": 2e-6, "atol": 8e-6}
        np.testing.assert_allclose(found, updated(*run, decayed), **close)
        if recipe.weight_decay:  # the tolerance sees it
            assert not np.allclose(found, updated(*run, not decayed), **close)
