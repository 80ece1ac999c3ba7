"""What updates the weights.

`sgd` and `adamw` are Keras's own. The L2 decay of the others is part of the gradient (`l2_gradients`); AdamW's is
decoupled from it. All state is in `optimizer.variables`, which checkpoints save, in an order that follows from the
variables that `build` gets.
"""

from __future__ import annotations

import math

import tensorflow as tf

from mnext_tf.training.recipe import Recipe


def make_optimizer(recipe: Recipe, *, no_decay=()) -> tf.keras.optimizers.Optimizer:
    """The recipe's optimizer, for both Keras 3 and legacy Keras.

    Args:
      no_decay: variables that AdamW does not decay, see `not_decayed`; the other optimizers decay none themselves.

    The learning rate is that after the warm-up; the loop assigns each step's. Under a `tf.distribute` strategy, create
    and build it in the strategy's scope.
    """
    rate, momentum = float(recipe.peak_learning_rate), float(recipe.momentum)
    if recipe.optimizer == "sgd":
        return tf.keras.optimizers.SGD(rate, momentum, recipe.nesterov)
    if recipe.optimizer == "rmsprop_tf":
        return RMSpropTF(rate, rho=recipe.rho, momentum=momentum, epsilon=recipe.epsilon)
    if recipe.optimizer == "yellowfin":
        return YellowFin(rate, 0.9)  # any number but 0, with which Keras makes no slots
    adamw = tf.keras.optimizers.AdamW(
        rate, float(recipe.weight_decay), beta_1=momentum, beta_2=recipe.beta_2, epsilon=recipe.epsilon
    )
    adamw.exclude_from_weight_decay(var_list=list(no_decay))
    return adamw


def not_decayed(variables, recipe: Recipe) -> list:
    """Biases and the weights of batch norm, which have one dimension; none of them with `decay_all`."""
    return [] if recipe.decay_all else [v for v in variables if len(v.shape) <= 1]


def l2_gradients(gradients, variables, recipe: Recipe) -> list:
    """The gradients of loss + weight_decay / 2 * sum(v**2), over the decayed variables v; AdamW's stay as they are."""
    if recipe.optimizer == "adamw":
        return list(gradients)
    kept = {id(v) for v in not_decayed(variables, recipe)}
    return [
        g if id(v) in kept else g + recipe.weight_decay * tf.convert_to_tensor(v)
        for g, v in zip(gradients, variables, strict=True)
    ]


class RMSpropTF(tf.keras.optimizers.RMSprop):
    """RMSprop as TensorFlow 1 computed it, which MobileNetV2 to EfficientNet were trained with.

    As there, Keras has epsilon inside the root and the learning rate inside the momentum. But it starts the mean square
    at 0, which TensorFlow 1 started at 1: with an epsilon of 1e-3, the first update for a gradient of 1 is 3 times as
    large with Keras, and 30 times for a gradient of 0.01.
    """

    def add_variable_from_reference(self, variable, name, **options):
        slot = super().add_variable_from_reference(variable, name, **options)
        if name == "velocity":  # Keras's word for the mean square
            with tf.init_scope():
                slot.assign(tf.ones(slot.shape, slot.dtype))
        return slot


class YellowFin(tf.keras.optimizers.SGD):
    """Momentum SGD that tunes its momentum and learning rate (Zhang and Mitliagkas, arXiv 1706.03471).

    Each step estimates the range of the curvature, h_min to h_max, from squared gradient norms of the last 20 steps;
    the variance C of the gradient; and the distance D to the optimum. For a quadratic they give the momentum m and the
    rate a of the smallest expected distance after one step:

        minimize m * D**2 + a**2 * C  with  a = (1 - sqrt(m))**2 / h_min  and  m large enough for h_max

    Averages decay by 0.999 and have no bias to 0; those of h_min and h_max are of logarithms. The rate starts slowly,
    over 200 steps. The update is `velocity = m * velocity - learning_rate * a * gradient`: `learning_rate` only scales
    the tuned rate. `tuned` has (a, m) of the last step.
    """

    BETA, WINDOW = 0.999, 20
    TINY = 1e-30  # keeps logarithms and quotients of a zero gradient finite

    def build(self, variables):
        super().build(variables)
        if hasattr(self, "tuned"):
            return
        self.built_for = tuple(id(v) for v in variables)
        self.means = [self.add_variable_from_reference(v, "mean") for v in variables]
        self.window = self.add_variable(shape=(self.WINDOW,), initializer="zeros", name="log_curvature")
        self.averages = self.add_variable(shape=(5,), initializer="zeros", name="averages")
        self.tuned = self.add_variable(shape=(2,), initializer="zeros", name="tuned")

    def apply_gradients(self, grads_and_vars, **_):
        return self.apply(*zip(*grads_and_vars, strict=True))

    def apply(self, grads, trainable_variables):
        """One step; as in Keras, the gradients of all replicas are added. Each variable needs a gradient.

        Raises ValueError for other variables than `build` got, or another order.
        """
        with tf.init_scope():
            self.build(trainable_variables)
        if tuple(id(v) for v in trainable_variables) != self.built_for:
            raise ValueError("YellowFin needs the variables that it was built for, in their order.")
        variables = [_tensorflow(v) for v in trainable_variables]
        replica = tf.distribute.get_replica_context()
        if replica is None:  # already added
            self._apply(tf.distribute.get_strategy(), list(grads), variables)
        else:
            grads = [g for g, _ in self._all_reduce_sum_gradients(zip(grads, variables, strict=True))]
            replica.merge_call(self._apply, args=(grads, variables))
        return self.iterations

    def _apply(self, strategy, gradients, variables):
        """Over all replicas: tune, then update."""
        means, velocities = ([_tensorflow(v) for v in slots] for slots in (self.means, self.momentums))
        window, averages, tuned = (_tensorflow(v) for v in (self.window, self.averages, self.tuned))
        rate, step = _tensorflow(self.learning_rate), _tensorflow(self.iterations)
        update = strategy.extended.update
        for mean, gradient in zip(means, gradients, strict=True):
            update(mean, self._follow, args=(gradient,), group=False)
        update(tuned, self._tune, args=(window, averages, means, gradients, step), group=False)
        for variable, gradient, velocity in zip(variables, gradients, velocities, strict=True):
            update(variable, _move, args=(gradient, velocity, tuned, rate), group=False)
        step.assign_add(1)

    def _follow(self, average, value):
        """The moving average, not yet divided by 1 - BETA**steps."""
        average.assign(self.BETA * average + (1 - self.BETA) * value)

    def _tune(self, tuned, window, averages, means, gradients, step):
        square = tf.add_n([tf.reduce_sum(tf.square(g)) for g in gradients])
        place = tf.range(self.WINDOW, dtype=step.dtype) == step % self.WINDOW
        curvatures = tf.where(place, tf.math.log(tf.maximum(square, self.TINY)), window)
        window.assign(curvatures)
        seen = curvatures[: tf.minimum(step + 1, self.WINDOW)]
        now = tf.stack([tf.reduce_min(seen), tf.reduce_max(seen), tf.sqrt(square), square])
        followed = self.BETA * averages[:4] + (1 - self.BETA) * now
        distance = followed[2] / tf.maximum(followed[3], self.TINY)
        averages.assign(tf.concat([followed, [self.BETA * averages[4] + (1 - self.BETA) * distance]], 0))

        steps = tf.cast(step + 1, tf.float32)
        unbiased = -tf.math.expm1(steps * math.log(self.BETA))  # 1 - BETA**steps, without its rounding errors
        log_low, log_high, _, energy, distance = tf.unstack(averages / unbiased)
        mean_energy = tf.add_n([tf.reduce_sum(tf.square(m)) for m in means]) / unbiased**2
        variance = tf.maximum(energy - mean_energy, 1e-6 * energy + self.TINY)  # 0 at the first step
        low, spread = tf.exp(log_low), tf.exp((log_high - log_low) / 2)
        # The minimum over x = sqrt(m) has p * x = (1 - x)**3: a cubic with one real root.
        p = tf.maximum((distance * low) ** 2 / (2 * variance), self.TINY)
        x = 1 - 2 * tf.sqrt(p / 3) * tf.sinh(tf.asinh(1.5 * tf.sqrt(3 / p)) / 3)
        x = tf.maximum(x, (spread - 1) / (spread + 1))
        slow_start = tf.minimum(1.0, steps / (10 * self.WINDOW))
        tuned.assign([slow_start * (1 - x) ** 2 / low, x**2])


def _move(variable, gradient, velocity, tuned, learning_rate):
    velocity.assign(tuned[1] * velocity - learning_rate * tuned[0] * gradient)
    variable.assign_add(velocity)


def _tensorflow(variable) -> tf.Variable:
    """The variable itself, of one that may be Keras 3's wrapper."""
    return variable if isinstance(variable, tf.Variable) else variable.value
