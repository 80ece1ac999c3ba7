"""What optimizers promise to the loop. Their arithmetic is in test_published_recipes, but for that of YellowFin."""

import dataclasses
import importlib.util
import json

import numpy as np
import pytest

from mnext_tf.training.recipe import Recipe

NAMES = ("sgd", "rmsprop_tf", "adamw", "yellowfin")
SHAPES = ((3, 3, 2, 4), (3, 3, 4, 1), (4,), (4,))


def recipe_of(name, **changes):
    return Recipe(optimizer=name, nesterov=name == "sgd", **changes)


def new(name, seed=0, **changes):
    """(optimizer, its variables, of random values)."""
    import tensorflow as tf

    from mnext_tf.training.optimizers import make_optimizer, not_decayed

    rng, recipe = np.random.default_rng(seed), recipe_of(name, **changes)
    variables = [tf.Variable(rng.normal(size=s), dtype=tf.float32, name=f"v{i}") for i, s in enumerate(SHAPES)]
    optimizer = make_optimizer(recipe, no_decay=not_decayed(variables, recipe))
    optimizer.build(variables)
    return optimizer, variables


def random_gradients(steps, seed=1):
    rng = np.random.default_rng(seed)
    return [[rng.normal(size=s).astype(np.float32) for s in SHAPES] for _ in range(steps)]


def apply(optimizer, variables, gradients, rate=0.01):
    import tensorflow as tf

    @tf.function
    def step(gradients):
        optimizer.learning_rate.assign(tf.constant(rate))
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    for now in gradients:
        step([tf.constant(g) for g in now])
    return [v.numpy() for v in variables]


def test_sgd_is_what_earlier_releases_built():
    import tensorflow as tf

    from mnext_tf.training.optimizers import make_optimizer

    recipe = Recipe(momentum=0.8, learning_rate=0.05)
    optimizer, earlier = make_optimizer(recipe), tf.keras.optimizers.SGD(0.05, 0.8, True)
    assert type(optimizer) is type(earlier)
    assert {**optimizer.get_config(), "name": ""} == {**earlier.get_config(), "name": ""}


def test_the_rate_is_scaled_to_the_batch():
    optimizer, _ = new("sgd", learning_rate=0.1, batch_size=512, reference_batch_size=256)
    assert float(optimizer.learning_rate.numpy()) == pytest.approx(0.2)


def test_l2_decay_is_added_to_the_gradients_of_kernels():
    import tensorflow as tf

    from mnext_tf.training.optimizers import l2_gradients

    _, variables = new("sgd")
    gradients = [tf.constant(g) for g in random_gradients(1)[0]]
    recipe = recipe_of("sgd", weight_decay=0.1)
    found = l2_gradients(gradients, variables, recipe)
    earlier = [g + 0.1 * tf.convert_to_tensor(v) for g, v in zip(gradients, variables, strict=True)]  # bit by bit
    for i, kept in enumerate([False, False, True, True]):
        np.testing.assert_array_equal(found[i], gradients[i] if kept else earlier[i])
    everything = l2_gradients(gradients, variables, dataclasses.replace(recipe, decay_all=True))
    for a, b in zip(everything, earlier, strict=True):
        np.testing.assert_array_equal(a, b)
    decoupled = l2_gradients(gradients, variables, recipe_of("adamw", weight_decay=0.1))
    for a, b in zip(decoupled, gradients, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("decay_all", [False, True])
def test_adamw_decays_kernels_whatever_their_gradient(decay_all):
    optimizer, variables = new("adamw", weight_decay=0.5, decay_all=decay_all)
    before = [v.numpy() for v in variables]
    after = apply(optimizer, variables, [[np.zeros(s, np.float32) for s in SHAPES]], rate=0.1)
    for a, b, shape in zip(after, before, SHAPES, strict=True):
        np.testing.assert_allclose(a, b * (0.95 if decay_all or len(shape) > 1 else 1), rtol=1e-6)


def test_the_first_update_of_rmsprop_is_small_for_a_small_gradient():
    optimizer, variables = new("rmsprop_tf")
    before = variables[2].numpy()
    after = apply(optimizer, variables, [[np.full(s, 0.01, np.float32) for s in SHAPES]], rate=1.0)[2]
    np.testing.assert_allclose(before - after, 0.01 / np.sqrt(0.9 + 0.1 * 0.01**2 + 1e-3), rtol=1e-4)
    optimizer.build(variables)  # again: the mean square must not start anew
    np.testing.assert_allclose(optimizer.variables[2].numpy(), 0.9 + 0.1 * 0.01**2, rtol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_all_state_is_in_the_variables(name):
    gradients = random_gradients(24)  # YellowFin's window has 20
    expected = apply(*new(name), gradients)
    optimizer, variables = new(name)
    apply(optimizer, variables, gradients[:13])
    other, others = new(name, seed=7)
    assert [v.name for v in other.variables] == [v.name for v in optimizer.variables]
    for mine, its in zip([*others, *other.variables], [*variables, *optimizer.variables], strict=True):
        mine.assign(its)
    for a, b in zip(apply(other, others, gradients[13:]), expected, strict=True):
        np.testing.assert_array_equal(a, b)


class ReferenceYellowFin:
    """Algorithms 1 to 4 of arXiv 1706.03471 and its appendix on practice, from all gradients seen so far."""

    def __init__(self, weights):
        self.weights, self.seen, self.velocity = weights, [], np.zeros_like(weights)

    def average(self, values):
        """The exponential average of a list, with decay 0.999 and without bias."""
        share = 0.999 ** np.arange(len(values))[::-1]
        return np.tensordot(share, np.array(values), 1) / share.sum()

    def step(self, gradient, factor):
        self.seen.append(gradient)
        curvature = [g @ g for g in self.seen]
        windows = [curvature[max(0, t - 19) : t + 1] for t in range(len(curvature))]
        h_max = np.exp(self.average([np.log(max(w)) for w in windows]))
        h_min = np.exp(self.average([np.log(min(w)) for w in windows]))
        mean = self.average(self.seen)
        variance = max(self.average(curvature) - mean @ mean, 1e-6 * self.average(curvature))
        norms = np.sqrt(curvature)
        distances = [self.average(norms[: t + 1]) / self.average(curvature[: t + 1]) for t in range(len(norms))]
        distance = self.average(distances)
        # the least of x**2 * distance**2 + (1 - x)**4 / h_min**2 * variance, where x is the root of the momentum
        k = 4 * variance / h_min**2
        roots = np.roots([k, -3 * k, 3 * k + 2 * distance**2, -k])
        (x,) = roots[np.abs(roots.imag) < 1e-9].real
        ratio = np.sqrt(h_max / h_min)
        self.by_noise = x > (ratio - 1) / (ratio + 1)
        self.momentum = max(x, (ratio - 1) / (ratio + 1)) ** 2
        self.rate = (1 - np.sqrt(self.momentum)) ** 2 / h_min * min(1, len(self.seen) / 200)
        self.velocity = self.momentum * self.velocity - factor * self.rate * gradient
        self.weights = self.weights + self.velocity


# The momentum follows from the noise or, where every 20th gradient is large, from the range of the curvature.
@pytest.mark.parametrize(("noise", "jump", "by_noise"), [(0.3, 1, True), (3, 1, True), (0.01, 3, False)])
def test_yellowfin_follows_its_paper(noise, jump, by_noise):
    import tensorflow as tf

    optimizer, variables = new("yellowfin")
    rng = np.random.default_rng(3)
    size = sum(v.numpy().size for v in variables)
    slope = rng.normal(size=size)
    reference = ReferenceYellowFin(np.concatenate([v.numpy().ravel() for v in variables]).astype(float))

    @tf.function
    def update(factor, gradients):
        optimizer.learning_rate.assign(factor)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    cuts = np.cumsum([np.prod(s) for s in SHAPES])[:-1]
    for step in range(100):
        gradient = (slope + noise * rng.normal(size=size)) * (jump if step % 20 == 5 else 1)
        factor = 1 - 0.9 * step / 100
        reference.step(gradient, factor)
        parts = [g.reshape(s) for g, s in zip(np.split(gradient, cuts), SHAPES, strict=True)]
        update(tf.constant(factor, tf.float32), [tf.constant(p, tf.float32) for p in parts])
        tuned = optimizer.tuned.numpy()
        np.testing.assert_allclose(tuned, [reference.rate, reference.momentum], rtol=1e-3, atol=1e-6)
    found = np.concatenate([v.numpy().ravel() for v in variables])
    np.testing.assert_allclose(found, reference.weights, rtol=1e-3, atol=1e-4)
    assert reference.by_noise == by_noise


def test_yellowfin_refuses_other_variables():
    optimizer, variables = new("yellowfin")
    with pytest.raises(ValueError, match="in their order"):
        apply(optimizer, variables[::-1], [random_gradients(1)[0][::-1]])


def test_yellowfin_tunes_itself_to_a_quadratic():
    """Curvatures from 0.1 to 10 and a noise of 0.1: the loss falls to that of the noise, whatever the first rate."""
    import tensorflow as tf

    from mnext_tf.training.optimizers import make_optimizer

    rng = np.random.default_rng(0)
    curvature = np.geomspace(0.1, 10, 50).astype(np.float32)
    variable = tf.Variable(np.ones(50, np.float32))
    optimizer = make_optimizer(recipe_of("yellowfin", learning_rate=1.0))
    optimizer.build([variable])
    loss = lambda: float(curvature @ variable.numpy() ** 2) / 2
    start = loss()

    @tf.function
    def update(noise):
        optimizer.apply_gradients([(curvature * variable + noise, variable)])

    for _ in range(1500):
        update(tf.constant(0.1 * rng.normal(size=50), tf.float32))
    assert loss() < start / 50
    assert 0 < optimizer.tuned.numpy()[1] < 1


TWO_DEVICES = """
import contextlib, json, os, sys
os.environ["TF_USE_LEGACY_KERAS"] = sys.argv[1]
sys.path[:0] = ["tests"]
import numpy as np
import tensorflow as tf
from training import test_optimizers as t

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
result = {"module": tf.keras.optimizers.SGD.__module__}
for name in t.NAMES:
    gradients = t.random_gradients(30)
    result[name] = [w.tolist() for w in t.apply(*t.new(name), gradients)]
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        optimizer, variables = t.new(name)

    def replica(gradients):
        share = tf.distribute.get_replica_context().replica_id_in_sync_group + 1  # 1/3 and 2/3
        gradients = [g * tf.cast(share, tf.float32) / 3 for g in gradients]
        optimizer.learning_rate.assign(tf.constant(0.01))
        optimizer.apply_gradients(zip(gradients, variables, strict=True))

    step = tf.function(lambda gradients: strategy.run(replica, args=(gradients,)))
    for now in gradients:
        step([tf.constant(g) for g in now])
    for v in [*variables, *optimizer.variables]:
        first, second = (v if isinstance(v, tf.Variable) else v.value).values
        np.testing.assert_array_equal(first, second)
    for v, one in zip(variables, result[name], strict=True):
        np.testing.assert_allclose(v.numpy(), one, rtol=1e-4, atol=1e-6)
print(json.dumps(result))
"""


@pytest.fixture(scope="module")
def two_devices(python):
    """`two_devices(legacy)`: weights by name after 30 steps, on one device; two were found to do the same."""

    def run(legacy: bool) -> dict:
        done = python("-c", TWO_DEVICES, str(int(legacy)), timeout=240)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.mark.slow
def test_two_devices_do_what_one_does(two_devices):
    assert two_devices(legacy=False)["module"].startswith("keras.")


@pytest.mark.slow
def test_legacy_keras_does_what_keras_3_does(two_devices):
    if not importlib.util.find_spec("tf_keras"):
        pytest.skip("legacy Keras needs the package tf_keras")
    legacy = two_devices(legacy=True)
    assert legacy["module"].startswith("tf_keras.")
    for name in NAMES:
        for a, b in zip(legacy[name], apply(*new(name), random_gradients(30)), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_an_update_may_be_skipped(name):
    """As scaled float16 gradients that overflow are: under a condition, the state stays as it was."""
    import tensorflow as tf

    optimizer, variables = new(name)

    @tf.function
    def step(gradients, wanted):
        def update():
            optimizer.apply_gradients(zip(gradients, variables, strict=True))

        tf.cond(wanted, update, lambda: None)

    first, second, third = ([tf.constant(g) for g in now] for now in random_gradients(3))
    for now, wanted in ((first, True), (second, False), (third, True)):
        step(now, tf.constant(wanted))
    plain, others = new(name)
    for now in (first, third):
        plain.apply_gradients(zip(now, others, strict=True))
    for a, b in zip([*variables, *optimizer.variables], [*others, *plain.variables], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
