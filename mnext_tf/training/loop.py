"""The training loop: read it top to bottom.

A run is a function of its configuration: order and augmentation follow from (seed, epoch, step), and
a checkpoint holds weights, optimizer, dropout state and history. So a resumed run ends with the same
weights, bit by bit, as one that was never interrupted.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import eval_batches, report_damage, steps_per_epoch, train_batches
from mnext_tf.errors import CheckpointError, TrainingError
from mnext_tf.files import atomic_write, sha256, write_csv, write_json
from mnext_tf.models import save_weights
from mnext_tf.provenance import now, versions
from mnext_tf.runs.dataset import check_same_data
from mnext_tf.runs.lock import run_lock
from mnext_tf.runs.manifest import MANIFEST, Manifest
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import require_weights
from mnext_tf.tasks import get_task
from mnext_tf.training.checkpoint import list_checkpoints, load_latest_checkpoint, save_checkpoint
from mnext_tf.training.progress import Progress
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.schedule import describe_schedule, learning_rate
from mnext_tf.training.stop import stop_signals
from mnext_tf.training.transfer import transfer

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Trained:
    val_accuracy: float
    history: list[dict]
    resumed_from_step: int  # 0: from the start


def train(run: Run, dataset: Dataset, *, progress: bool = True) -> Trained:
    """Train the network of `run` and write `train/model.weights.h5`; resumes from its last checkpoint.

    Returns at once where the run is already finished. ctrl-C or SIGTERM saves a checkpoint after the
    current step and raises KeyboardInterrupt.

    Raises:
      TrainingError: the loss is not a number; names the step.
      ConfigError: data and configuration do not fit.
      CheckpointError: no checkpoint can be read, or the finished weights have changed.
      MnextError: another process works on the run; names it.
    """
    check_same_data(run, dataset)
    with run_lock(run.folder, "training"):
        manifest = run.manifest("train")
        if not (manifest and run.weights.is_file()):
            return _train(run, dataset, progress)
        require_weights(run)
        _log.info(f"train: already finished, kept {run.stage('train')}")
        history = manifest.result["history"]
        return Trained(manifest.result["val_accuracy"], history, history[-1]["step"])


def _train(run: Run, dataset: Dataset, progress: bool) -> Trained:
    recipe, folder = run.config.recipe, run.stage("train")
    started = time.monotonic()
    tf.keras.utils.set_random_seed(recipe.seed)
    model = run.config.model.create()
    optimizer = tf.keras.optimizers.SGD(recipe.learning_rate, recipe.momentum, recipe.nesterov)
    optimizer.build(model.trainable_variables)
    train_step, eval_step = make_steps(model, optimizer, recipe, get_task(run.config.task))

    per_epoch = steps_per_epoch(dataset, recipe.batch_size)
    _log.info(describe_schedule(recipe, per_epoch))
    step, history, totals = 0, [], np.zeros(2)
    loaded = load_latest_checkpoint(folder / "checkpoints")
    if loaded:
        variables, state = loaded
        _restore(model, optimizer, variables, folder)
        step, history, totals = state["step"], state["history"], np.array(state["totals"])
        _log.info(f"train: resuming at step {step} of {per_epoch * recipe.epochs} (epoch {len(history) + 1})")
    elif run.config.init_from:
        _log.info(f"train: from {run.config.init_from.run} {transfer(model, run.config)}")
    resumed_from = step

    preprocess, augment = recipe.preprocess(), recipe.augment()
    writer = tf.summary.create_file_writer(str(folder / "tensorboard"))
    bar = Progress(per_epoch * recipe.epochs, step, recipe.batch_size, recipe.epochs, enabled=progress)
    with stop_signals() as stop, bar:

        def checkpoint():
            arrays = {f"model/{k}": v for k, v in _named(model.variables)}
            arrays |= {f"optimizer/{k}": v for k, v in _named(optimizer.variables)}
            save_checkpoint(
                folder / "checkpoints", step, arrays, {"step": step, "history": history, "totals": totals.tolist()}
            )

        def leave_if_asked(epoch):
            if stop.requested:
                raise KeyboardInterrupt(f"Stopped at step {step} (epoch {epoch + 1} of {recipe.epochs}); saved.")

        # Not step // per_epoch: a stop after an epoch's last step leaves its evaluation to do.
        for epoch in range(len(history), recipe.epochs):
            epoch_started, first = time.monotonic(), step - epoch * per_epoch
            batches = train_batches(
                dataset, preprocess, augment, recipe.batch_size, seed=recipe.seed, epoch=epoch, start_step=first
            )
            for images, labels in guarded(batches, dataset, "train"):
                rate = learning_rate(recipe, step, per_epoch)
                loss, correct = (float(x) for x in train_step(images, labels, tf.constant(rate, tf.float32)))
                if not np.isfinite(loss):
                    raise TrainingError(_not_a_number("loss", loss, step, epoch, rate, folder))
                step += 1
                totals += loss, correct
                bar.update(epoch, loss, rate)
                if stop.requested:
                    checkpoint()
                    leave_if_asked(epoch)
            seconds = time.monotonic() - epoch_started
            done = per_epoch - first
            val_loss, val_accuracy = evaluate(
                eval_step, guarded(eval_batches(dataset, preprocess, recipe.batch_size), dataset, "validation")
            )
            rate = learning_rate(recipe, step - 1, per_epoch)
            if not np.isfinite(val_loss):  # the last update can spoil what the training loss never saw
                raise TrainingError(_not_a_number("validation loss", val_loss, step, epoch, rate, folder))
            row = {
                "epoch": epoch + 1,
                "step": step,
                "learning_rate": rate,
                "train_loss": totals[0] / per_epoch,
                "train_accuracy": totals[1] / (per_epoch * recipe.batch_size),
                "val_loss": val_loss,
                "val_accuracy": val_accuracy,
                "images_per_second": done * recipe.batch_size / seconds,
                "seconds": seconds,
            }
            history.append({k: round(float(v), 6) if isinstance(v, float) else v for k, v in row.items()})
            totals = np.zeros(2)
            checkpoint()
            write_csv(folder / "history.csv", history)
            with writer.as_default(step=step):
                for name, value in row.items():
                    tf.summary.scalar(name, value)
                writer.flush()
            _log.info(
                f"epoch {epoch + 1:3d}/{recipe.epochs}  loss {row['train_loss']:.4f}  "
                f"accuracy {row['train_accuracy']:.4f}  val loss {val_loss:.4f}  "
                f"val accuracy {val_accuracy:.4f}  {row['images_per_second']:.0f} images/s"
            )
            if epoch + 1 < recipe.epochs:
                leave_if_asked(epoch)

    _finish(run, model, dataset, history, time.monotonic() - started)
    if stop.requested:
        raise KeyboardInterrupt(f"Stopped after the last epoch; the training is finished: {run.weights}")
    return Trained(history[-1]["val_accuracy"], history, resumed_from)


def make_steps(model, optimizer, recipe: Recipe, task):
    """(train_step, eval_step), both compiled. `train_step` gives the mean loss and the count of correct."""
    loss_of = task.loss(model.output_shape[-1], recipe.label_smoothing)
    variables = model.trainable_variables

    @tf.function
    def train_step(images, labels, rate):
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = loss_of(labels, logits)
        gradients = tape.gradient(loss, variables)
        gradients = [
            g + recipe.weight_decay * tf.convert_to_tensor(v) if len(v.shape) > 1 else g
            for g, v in zip(gradients, variables, strict=True)
        ]
        optimizer.learning_rate.assign(rate)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return loss, task.correct(labels, logits)

    @tf.function(reduce_retracing=True)
    def eval_step(images, labels):
        return task.batch_metrics(labels, model(images, training=False))

    return train_step, eval_step


def guarded(batches, dataset: Dataset, split: str):
    """The same batches; a damaged image raises DataError with the name of its file."""
    with report_damage(dataset, split):
        yield from batches


def evaluate(eval_step, batches) -> tuple[float, float]:
    """(mean loss without smoothing, accuracy in 0..1) over all batches."""
    loss = correct = count = 0.0
    for images, labels in batches:
        batch_loss, batch_correct = eval_step(images, labels)
        loss, correct, count = loss + float(batch_loss), correct + float(batch_correct), count + len(labels)
    return loss / count, correct / count


def _named(variables) -> list[tuple[str, np.ndarray]]:
    """Names that stay the same from one process to the next; a number in front keeps them apart."""
    names = (getattr(v, "path", v.name) for v in variables)
    return [
        (f"{i:04d}/{n.split('/', 1)[-1]}", np.asarray(v)) for i, (n, v) in enumerate(zip(names, variables, strict=True))
    ]


def _restore(model, optimizer, arrays: dict[str, np.ndarray], folder) -> None:
    for prefix, variables in (("model", model.variables), ("optimizer", optimizer.variables)):
        for (name, current), variable in zip(_named(variables), variables, strict=True):
            value = arrays.get(f"{prefix}/{name}")
            if value is None or value.shape != current.shape:
                got = "is missing" if value is None else f"has shape {value.shape}, not {current.shape}"
                raise CheckpointError(
                    f"The checkpoint in {folder / 'checkpoints'} belongs to another network: {prefix}/{name} {got}. "
                    "config.json was changed after training began; restore it or start a new run."
                )
            variable.assign(value)


def _not_a_number(what: str, loss: float, step: int, epoch: int, rate: float, folder) -> str:
    saved = list_checkpoints(folder / "checkpoints")
    last = f"The last good state is {saved[-1]}. " if saved else ""
    return (
        f"The {what} is {loss} at step {step} (epoch {epoch + 1}, learning rate {rate:.3g}). {last}"
        "Start a new run with a lower --learning_rate or more --warmup_epochs."
    )


def _finish(run: Run, model, dataset: Dataset, history: list[dict], seconds: float) -> None:
    """Weights first, the manifest last: it says that the stage is whole."""
    with atomic_write(run.weights) as temporary:
        save_weights(model, temporary)
    manifest = Manifest(
        stage="train",
        created=now(),
        seconds=round(seconds, 1),
        inputs={"dataset": dataset.fingerprint},
        outputs={run.weights.name: sha256(run.weights)},
        versions=versions(),
        result={"val_accuracy": history[-1]["val_accuracy"], "epochs": len(history), "history": history},
    )
    write_json(run.stage("train") / MANIFEST, manifest.to_dict())
