"""Several devices train one network: GPUs of one machine, machines side by side, or a TPU.

Every replica computes its slice of the batch on its device. Gradients and the statistics of batch norm are added up
over all replicas (`Devices.total`), then each makes the same update of its own copy of the weights. So clipping, decay
and the average of the weights see what one device would see, and all copies stay equal bit by bit.

Workers are processes, usually one a machine, which share the run folder. The first, the chief, alone writes to it.
"""

from __future__ import annotations

import functools
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence

import tensorflow as tf

from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.settings import TrainSettings
from mnext_tf.training.workers import lost_workers

_log = logging.getLogger(__name__)
_SUM = tf.distribute.ReduceOp.SUM


class Devices:
    """The devices of this worker, among those of all.

    worker, workers: number of this process from 0, and how many there are. replicas: devices of all workers.
    local: devices of this one.
    """

    def __init__(self, strategy: tf.distribute.Strategy, worker: int = 0, workers: int = 1):
        self._strategy, self.worker, self.workers = strategy, worker, workers
        self.replicas = strategy.num_replicas_in_sync
        self.local = self.replicas // workers

    @property
    def chief(self) -> bool:
        """Whether this worker writes the run folder."""
        return self.worker == 0

    @property
    def share(self) -> tuple[int, int]:
        """The part of all images that this worker reads: (its number, of how many)."""
        return self.worker, self.workers

    def prepare(self, model, recipe: Recipe) -> None:
        """Batch statistics of `model` over all devices, where the recipe asks for them.

        Raises ConfigError unless every replica gets as many images, two or more, in each part of a batch.
        """
        parts = self.replicas * recipe.accumulate
        if self.replicas > 1 and (recipe.batch_size % parts or recipe.batch_size < 2 * parts):
            raise ConfigError(
                f"batch_size ({recipe.batch_size}) must be a multiple of {parts} ({self.replicas} devices, accumulate "
                f"{recipe.accumulate}), {2 * parts} or more: it counts the images on all devices."
            )
        for layer in model.layers:
            if hasattr(layer, "synchronized"):
                layer.synchronized = recipe.sync_batch_norm and self.replicas > 1

    def scope(self):
        """Variables made within are copied to every device, those of networks and optimizers too."""
        return self._strategy.scope()

    def spread_seeds(self, model) -> None:
        """Let dropout draw other numbers on each replica; once the variables are as one device would have them."""
        states = [v for v in model.variables if v.name == "seed_generator_state"]

        def spread():
            replica = tf.distribute.get_replica_context().replica_id_in_sync_group
            for state in states:
                now = tf.convert_to_tensor(state)
                state.assign(now + tf.cast(tf.stack([tf.convert_to_tensor(replica), 0]), now.dtype))

        if self.replicas > 1 and states:
            self._everywhere(spread)()

    def compiled(self, step: Callable) -> Callable:
        """`step(images, labels, *others)`, run by every replica on its part of the worker's images.

        Gives what `step` returns to the first replica here; let it return totals.
        """
        run = self._everywhere(step)
        return lambda images, labels, *others: run(self._split(images), self._split(labels), *others)

    def total(self, values):
        """The sums of a structure of tensors over all replicas; called by each of them, within `compiled`."""
        return tf.distribute.get_replica_context().all_reduce(_SUM, values)

    def statistics(self, model) -> list:
        """Moving averages of batch norm that differ between replicas after a step, each having seen its own images."""
        layers = [layer for layer in model.layers if hasattr(layer, "moving_mean") and layer.trainable]
        layers = [layer for layer in layers if self.replicas > 1 and not layer.synchronized]
        return [v for layer in layers for v in (layer.moving_mean, layer.moving_variance)]

    def each(self, function: Callable, batches: Iterable) -> Iterator:
        """`function(images, labels)` of every batch of this worker, as many at once as it has devices.

        `function` is compiled, and must not use `total`: workers may have different numbers of batches.
        """
        waiting = []
        for batch in batches:
            waiting.append(batch)
            if self.local > 1 and len(waiting) == self.local:
                images, labels = (self._given(parts) for parts in zip(*waiting, strict=True))
                found = self._strategy.run(function, args=(images, labels))
                for i in range(self.local):
                    yield tf.nest.map_structure(lambda v, i=i: self._strategy.experimental_local_results(v)[i], found)
                waiting = []
            elif self.local == 1:
                yield function(*waiting.pop())
        for images, labels in waiting:
            yield function(images, labels)

    def over_workers(self, sums: dict) -> dict:
        """Tensors added up over the workers, the same for all of them; all must ask."""
        if self.workers == 1:
            return sums
        flat = [tf.cast(value, tf.float64) for value in sums.values()]
        parts = [flat] + [[tf.zeros_like(v) for v in flat]] * (self.local - 1)
        return dict(zip(sums, self._totals([self._given(p) for p in zip(*parts, strict=True)]), strict=True))

    def any(self, asked: bool) -> bool:
        """Whether one of the workers asks; all must call."""
        return bool(self.over_workers({"asked": tf.constant(float(asked))})["asked"] > 0)

    def meet(self) -> None:
        """Wait until all workers have come here. Raises WorkerLostError where one will not."""
        with lost_workers():
            self.any(False)

    def check_agreed(self, step: int) -> None:
        """Raise CheckpointError unless all workers are at the same step."""
        mean = float(self.over_workers({"step": tf.constant(float(step), tf.float64)})["step"]) / self.workers
        if mean != step:
            raise CheckpointError(
                f"Worker {self.worker} is at step {step}, others are not. All must share one run folder; start them "
                "again when they do."
            )

    @functools.cached_property
    def _totals(self) -> Callable:
        # What a function is given is on no device yet, which TensorFlow cannot sum.
        return self._everywhere(lambda values: self.total([tf.identity(v) for v in values]))

    def _everywhere(self, function: Callable) -> Callable:
        """`function`, compiled and run by all replicas; gives the result of the first one here."""

        @tf.function
        def run(*arguments):
            found = self._strategy.run(function, args=arguments)
            return tf.nest.map_structure(lambda v: self._strategy.experimental_local_results(v)[0], found)

        return run

    def _split(self, tensor):
        return self._given(tf.split(tensor, self.local)) if self.local > 1 else tensor

    def _given(self, parts: Sequence):
        """The n-th part for the n-th device of this worker."""
        if self.local == 1:
            return parts[0]
        return self._strategy.experimental_distribute_values_from_function(
            lambda context: parts[context.replica_id_in_sync_group % self.local]
        )


@functools.cache
def make_devices(kind: str = "none") -> Devices:
    """The devices that `--distribute` names; once per process, before TensorFlow computes anything.

    With multi_worker it waits for all workers.

    Raises:
      ConfigError: `kind` is unknown, TF_CONFIG does not say who works, or there is no TPU.
      WorkerLostError: another worker was lost while they gathered.
    """
    TrainSettings(distribute=kind)
    return {"none": _one, "mirrored": _mirrored, "multi_worker": _multi_worker, "tpu": _tpu}[kind]()


def _one() -> Devices:
    return Devices(tf.distribute.get_strategy())


def _mirrored() -> Devices:
    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    _log.info(f"devices: {', '.join(device.name.removeprefix('/device:') for device in found)}")
    return Devices(tf.distribute.MirroredStrategy([device.name for device in found]))


def _multi_worker() -> Devices:
    worker, addresses = cluster(os.environ.get("TF_CONFIG", ""))
    _log.info(f"worker {worker} of {len(addresses)}: waiting for the others")
    with lost_workers():
        devices = Devices(tf.distribute.MultiWorkerMirroredStrategy(), worker, len(addresses))
    _log.info(f"worker {worker} of {len(addresses)}: all are there, with {devices.replicas} devices")
    return devices


def cluster(text: str) -> tuple[int, list[str]]:
    """(number of this worker, addresses of all) of what TF_CONFIG holds. Raises ConfigError."""
    wanted = (
        'TF_CONFIG must be {"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", '
        '"index": 0}}, with each worker\'s own index'
    )
    try:
        config = json.loads(text)
        addresses, task = config["cluster"]["worker"], config["task"]
        index = int(task["index"])
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError(f"--distribute=multi_worker: {wanted}; received {text or 'nothing'!r}.") from e
    if config["cluster"].keys() != {"worker"} or task["type"] != "worker" or not 0 <= index < len(addresses):
        raise ConfigError(f"--distribute=multi_worker: {wanted}; received {text!r}.")
    return index, addresses


def _tpu() -> Devices:
    """TPU_NAME names it; without, the one of this machine."""
    name = os.environ.get("TPU_NAME", "local")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(name)
    except (ValueError, tf.errors.OpError) as e:
        raise ConfigError(f"--distribute=tpu finds no TPU {name!r} ({str(e).splitlines()[0]}). Set TPU_NAME.") from e
    return Devices(tf.distribute.TPUStrategy(resolver))
