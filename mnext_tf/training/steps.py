"""The compiled steps of a training: one optimizer update, and one batch of validation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from mnext_tf.compression.pruning import Pruning
from mnext_tf.inference.graphs import packed
from mnext_tf.models.keras_layers import folded_batch_norm
from mnext_tf.training.average import Average
from mnext_tf.training.groups import Group
from mnext_tf.training.loss_scale import LossScale
from mnext_tf.training.optimizers import l2_gradients
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.strategy import Devices


def make_steps(
    model,
    groups: Sequence[Group],
    recipe: Recipe,
    task,
    *,
    devices: Devices,
    average: Average | None = None,
    pruning: Pruning | None = None,
    scale: LossScale | None = None,
    class_weights=None,
    teacher: Callable | None = None,
):
    """(train_step, eval_step), both compiled.

    `train_step(images, labels, rate, step)` updates the weights once and gives the mean loss and the number of
    correct. `eval_step(images, labels)` gives what `task.batch_metrics` does.

    Args:
      devices: which share the images. groups: optimizers with their variables. average: is updated after them.
      pruning: sets weights to zero, and their averages, after that.
      scale: of the loss, for float16.
      class_weights: (classes,), or None. teacher: images to logits, or None.
    """
    loss_of = task.loss(model, recipe, class_weights)
    statistics = devices.statistics(model)
    unroll = recipe.sync_batch_norm and devices.replicas > 1  # TensorFlow cannot sum over devices within its loop
    variables = [v for group in groups for v in group.variables]

    def gradients(images, labels):
        """(mean loss, number of correct, gradients) of one part of a batch."""
        with tf.GradientTape() as tape:
            outputs = tf.cast(packed(model(images, training=True)), tf.float32)
            loss = loss_of(labels, outputs)
            if teacher:
                theirs = task.distillation(outputs, teacher(images), recipe.distill_temperature)
                loss = (1 - recipe.distill_weight) * loss + recipe.distill_weight * theirs
            loss /= devices.replicas  # the sums over replicas are those of the whole batch
            scaled = scale(loss) if scale else loss
        found = [tf.convert_to_tensor(g) for g in tape.gradient(scaled, variables)]
        return loss, task.correct(labels, outputs), scale.unscaled(found) if scale else found

    def train_step(images, labels, rate, step):
        loss, correct, found = _accumulated(gradients, images, labels, recipe.accumulate, variables, unroll=unroll)
        loss, correct, found, means = devices.total([loss, correct, found, [s / devices.replicas for s in statistics]])
        for statistic, mean in zip(statistics, means, strict=True):
            statistic.assign(mean)
        if recipe.clip_norm:
            found, _ = tf.clip_by_global_norm(found, recipe.clip_norm)
        found = l2_gradients(found, variables, recipe)

        def update():
            for group, mine in zip(groups, _split(found, groups), strict=True):
                group.apply(mine, rate)

        if scale:
            scale.update(found, update, [v for group in groups for v in (*group.variables, *group.optimizer.variables)])
        else:
            update()
        if average:
            average.update(step)
        if pruning:
            pruning.update(step)
        return loss, correct

    @tf.function(reduce_retracing=True)
    def eval_step(images, labels):
        with folded_batch_norm():
            outputs = packed(model(images, training=False))
        return task.batch_metrics(labels, tf.cast(outputs, tf.float32))

    return devices.compiled(train_step), eval_step


def _accumulated(gradients: Callable, images, labels, parts: int, variables, *, unroll: bool):
    """What `gradients` gives for the whole batch, computed in `parts`, one after the other."""
    if parts == 1:
        return gradients(images, labels)
    size = images.shape[0] // parts

    def body(i, loss, correct, sums):
        part = slice(i * size, (i + 1) * size)
        more = gradients(images[part], labels[part])
        return (
            i + 1,
            loss + more[0] / parts,
            correct + more[1],
            [s + g / parts for s, g in zip(sums, more[2], strict=True)],
        )

    if unroll:
        results = 0, 0.0, 0.0, [tf.zeros(v.shape) for v in variables]
        for _ in range(parts):
            results = body(*results)
        return results[1:]
    start = tf.constant(0), tf.constant(0.0), tf.constant(0.0), [tf.zeros(v.shape) for v in variables]
    _, *results = tf.while_loop(lambda i, *_: i < parts, body, start, parallel_iterations=1)
    return results


def _split(values: Sequence, groups: Sequence[Group]) -> list[list]:
    values = iter(values)
    return [[next(values) for _ in group.variables] for group in groups]
