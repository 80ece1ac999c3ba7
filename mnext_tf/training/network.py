"""The network of a run, with everything that trains and validates it."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
import tensorflow as tf

from mnext_tf.compression import aware
from mnext_tf.compression.calibration import calibration_images
from mnext_tf.compression.pruning import Pruning
from mnext_tf.data import detection_pipeline
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import report_damage, steps_per_epoch, train_batches
from mnext_tf.errors import ConfigError
from mnext_tf.models import save_weights
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.dataset import batches_for
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import load_network
from mnext_tf.tasks import task_of
from mnext_tf.training.average import Average
from mnext_tf.training.detection_examples import expect_background, make_example
from mnext_tf.training.freeze import freeze
from mnext_tf.training.groups import make_groups
from mnext_tf.training.loss_scale import LossScale
from mnext_tf.training.state import State
from mnext_tf.training.steps import make_steps
from mnext_tf.training.strategy import Devices
from mnext_tf.training.teacher import load_teacher
from mnext_tf.training.transfer import open_source, transfer


class Network:
    """Network, optimizers, average and steps of a run; `state` is what a checkpoint holds of them."""

    def __init__(self, run: Run, dataset: Dataset, devices: Devices):
        if dataset.splits["validation"] < devices.workers:
            raise ConfigError(f"{dataset.name} has fewer validation images than there are workers, {devices.workers}.")
        self.devices = devices
        self.recipe, self.task = run.config.recipe, task_of(run.config)
        tf.keras.utils.set_random_seed(self.recipe.seed)
        with _precision(self.recipe.precision):
            self.model = (aware.aware_network if self.recipe.qat else ModelConfig.create)(run.config.model)
        if self.recipe.detection and self.recipe.detection.scoring == "sigmoid":
            expect_background(self.model, self.recipe.seed)
        self._plain = run.config.model.create() if self.recipe.qat else None
        devices.prepare(self.model, self.recipe)
        if self.recipe.freeze:
            freeze(self.model, self.recipe.freeze)
        groups = make_groups(self.model, self.recipe)
        self.average = Average(self.model, self.recipe.ema_decay) if self.recipe.ema_decay else None
        self.pruning = self._pruning(steps_per_epoch(dataset, self.recipe.batch_size)) if self.recipe.sparsity else None
        scale = LossScale() if self.recipe.precision == "mixed_float16" else None
        self.train_step, self._eval_step = make_steps(
            self.model,
            groups,
            self.recipe,
            self.task,
            devices=devices,
            average=self.average,
            pruning=self.pruning,
            scale=scale,
            class_weights=_class_weights(dataset) if self.recipe.class_balance == "weights" else None,
            teacher=load_teacher(run.config.teacher) if run.config.teacher else None,
        )
        self.state = State(
            model=self.model.variables,
            **{group.name: group.optimizer.variables for group in groups},
            ema=self.average.variables if self.average else (),
            loss_scale=scale.variables if scale else (),
            masks=self.pruning.masks if self.pruning else (),
        )

    def _pruning(self, per_epoch: int) -> Pruning:
        steps = math.ceil(self.recipe.rising_epochs * per_epoch)
        return Pruning(self.model, self.recipe.sparsity, steps, self.average)

    def start_from(self, run: Run, dataset: Dataset) -> str:
        """The weights of another run; returns what was done, in words. `dataset` has the images of a calibration."""
        if self.recipe.qat:
            source = open_source(run.config.init_from, "The run whose weights this one starts from")
            count = aware.CALIBRATION_IMAGES
            images = calibration_images(dataset, self.recipe.preprocess(), count, seed=self.recipe.seed)
            aware.start(self.model, load_network(source), images)
            done = f"folded its batch norms, and set the ranges of activations on {len(images)} training images"
        else:
            done = str(transfer(self.model, run.config))
        if self.average:
            self.average.restart()
        return done

    def save(self, path: Path) -> None:
        """Write the weights, as every later stage reads them."""
        if self.recipe.qat:
            aware.save(self.model, self._plain, path)
        else:
            save_weights(self.model, path)

    def train_batches(self, dataset: Dataset, epoch: int, start_step: int):
        recipe = self.recipe
        order = {"seed": recipe.seed, "epoch": epoch, "start_step": start_step}
        order |= {"share": self.devices.share, "streams": recipe.data_streams}
        if recipe.detection:
            example = make_example(recipe.preprocess(), recipe.box_augment(), self.task.priors)
            batches = detection_pipeline.train_batches(dataset, example, recipe.batch_size, **order)
        else:
            order["balanced"] = recipe.class_balance == "sampling"
            batches = train_batches(dataset, recipe.preprocess(), recipe.augment(), recipe.batch_size, **order)
        return _guarded(batches, dataset, "train")

    def validate(self, dataset: Dataset) -> dict[str, float]:
        """Metrics of the validation images, val_accuracy and so on, and ema_val_accuracy and so on of the average."""
        found = self._evaluate(dataset, "val_")
        if self.average:
            with self.average.applied():
                found |= self._evaluate(dataset, "ema_val_")
        return found

    def _evaluate(self, dataset: Dataset, prefix: str) -> dict[str, float]:
        batches = batches_for(dataset)(
            dataset, self.recipe.preprocess(), self.recipe.batch_size, share=self.devices.share
        )
        sums = None
        for more in self.devices.each(self._eval_step, _guarded(batches, dataset, "validation")):
            sums = {k: sums[k] + v for k, v in more.items()} if sums else more
        sums = self.devices.over_workers(sums)
        return {prefix + k: v for k, v in self.task.metrics({k: v.numpy() for k, v in sums.items()}).items()}


def _guarded(batches, dataset: Dataset, split: str):
    """The same batches; a damaged image raises DataError with the name of its file."""
    with report_damage(dataset, split):
        yield from batches


@contextlib.contextmanager
def _precision(name: str):
    """Networks made within compute in this type; those of other threads and times are not touched."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def _class_weights(dataset: Dataset) -> np.ndarray:
    """A weight for every class, so that all count alike and images count 1 on average."""
    counts = np.array(dataset.class_counts["train"])
    return np.where(counts > 0, counts.sum() / np.maximum(counts, 1) / np.count_nonzero(counts), 0.0)
