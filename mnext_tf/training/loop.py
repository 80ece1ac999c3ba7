"""The training loop: read it top to bottom.

A run is a function of its configuration: order and augmentation follow from (seed, epoch, step), and
a checkpoint holds weights, optimizer, average, dropout state and history. So a resumed run ends with
the same weights, bit by bit, as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import logging
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mnext_tf.compression.pruning import zero_share
from mnext_tf.data.dataset import Dataset
from mnext_tf.data.input_pipeline import steps_per_epoch
from mnext_tf.errors import TrainingError
from mnext_tf.files import sha256, write_csv, write_json
from mnext_tf.provenance import now, versions
from mnext_tf.runs.dataset import check_same_data
from mnext_tf.runs.lock import run_lock
from mnext_tf.runs.manifest import MANIFEST, Manifest
from mnext_tf.runs.run import Run
from mnext_tf.runs.weights import require_weights
from mnext_tf.tasks import task_of
from mnext_tf.training.best import PREFIX, better, choose, keep_best, stops_early
from mnext_tf.training.checkpoint import load_latest_checkpoint, save_checkpoint
from mnext_tf.training.curves import curve_of, epoch_suffix
from mnext_tf.training.meter import Meter, not_a_number
from mnext_tf.training.network import Network
from mnext_tf.training.progress import Progress
from mnext_tf.training.recipe import Recipe
from mnext_tf.training.schedule import describe_schedule, learning_rate
from mnext_tf.training.settings import TrainSettings
from mnext_tf.training.stop import stop_signals
from mnext_tf.training.strategy import Devices, make_devices
from mnext_tf.training.summaries import Summaries
from mnext_tf.training.workers import lost_workers

_log = logging.getLogger(__name__)
_READ_EVERY = 20  # steps whose losses are read together, so that no step waits for the device just to report


@dataclass(frozen=True)
class Trained:
    """`metric` is the task's, on validation images, of the weights that are kept: raw or ema, of epoch `best_epoch`."""

    metric: float
    history: list[dict]
    resumed_from_step: int  # 0: from the start
    best_epoch: int
    weights: str


def train(run: Run, dataset: Dataset, *, settings: TrainSettings | None = None, progress: bool = True) -> Trained:
    """Train the network of `run` and write `train/model.weights.h5`; resumes from its last checkpoint.

    Returns at once where the run is already finished. ctrl-C or SIGTERM saves a checkpoint after the
    current step and raises KeyboardInterrupt.

    Raises:
      TrainingError: the loss is not a number; names the step.
      ConfigError: data and configuration do not fit.
      CheckpointError: no checkpoint can be read, or the finished weights have changed.
      MnextError: another process works on the run; names it.
      WorkerLostError: of several workers, another was lost; call `restart`.
    """
    check_same_data(run, dataset)
    settings = settings or TrainSettings()
    devices = make_devices(settings.distribute)
    with run_lock(run.folder, "training") if devices.chief else contextlib.nullcontext():
        manifest = run.manifest("train")
        if not (manifest and run.weights.is_file()):
            with lost_workers() if devices.workers > 1 else contextlib.nullcontext():
                return _train(run, dataset, settings, devices, progress and devices.chief)
        require_weights(run)
        _log.info(f"train: already finished, kept {run.stage('train')}")
        result = manifest.result
        history = result["history"]
        kept = result.get("best_epoch", len(history)), result.get("weights", "raw")
        return Trained(result[f"val_{task_of(run.config).metric}"], history, history[-1]["step"], *kept)


def _train(run: Run, dataset: Dataset, settings: TrainSettings, devices: Devices, progress: bool) -> Trained:
    recipe, folder, started = run.config.recipe, run.stage("train"), time.monotonic()
    checkpoints, per_epoch = folder / "checkpoints", steps_per_epoch(dataset, recipe.batch_size)
    with devices.scope():
        network = Network(run, dataset, devices)
    _log.info(describe_schedule(recipe, per_epoch))
    step, history, totals = 0, [], (0.0, 0.0)
    if loaded := load_latest_checkpoint(checkpoints):
        arrays, saved = loaded
        network.state.restore(arrays, checkpoints)
        step, history, totals = saved["step"], saved["history"], saved["totals"]
        _log.info(f"train: resuming at step {step} of {per_epoch * recipe.epochs} (epoch {len(history) + 1})")
    elif run.config.init_from:
        _log.info(f"train: from {run.config.init_from.run} {network.start_from(run, dataset)}")
    devices.check_agreed(step)
    devices.spread_seeds(network.model)
    resumed_from, meter, curve = step, Meter(checkpoints, totals), curve_of(run.config)

    summaries = devices.chief and Summaries(folder / "tensorboard", histograms=settings.histograms)
    bar = Progress(per_epoch * recipe.epochs, step, recipe.batch_size, recipe.epochs, enabled=progress)
    with stop_signals() as stop, bar:

        def checkpoint():
            meter.read()
            if not devices.chief:
                return time.monotonic()
            saved = {"step": step, "history": history, "totals": meter.totals}
            save_checkpoint(checkpoints, step, network.state.arrays(), saved, keep=settings.keep)
            return time.monotonic()

        def leave_if(asked, epoch):
            if asked:
                raise KeyboardInterrupt(f"Stopped at step {step} (epoch {epoch + 1} of {recipe.epochs}); saved.")

        saved_at = time.monotonic()
        # Not step // per_epoch: a stop after an epoch's last step leaves its evaluation to do.
        for epoch in range(len(history), recipe.epochs):
            if stops_early(history, recipe):
                break
            epoch_started, first = time.monotonic(), step - epoch * per_epoch
            for images, labels in bar.timed(network.train_batches(dataset, epoch, first)):
                rate = learning_rate(recipe, step, per_epoch)
                if step == resumed_from and devices.chief:
                    summaries.images(images, step)
                meter.add(epoch, step, rate, *network.train_step(images, labels, *_tensors(rate, step)))
                step += 1
                if step % _READ_EVERY == 0 or step == resumed_from + 1:  # the first, so that the bar has a loss
                    meter.read()
                # Workers leave at the same step; asking all at every step would wait for the device.
                asked = (devices.workers == 1 or step % _READ_EVERY == 0) and devices.any(stop.requested)
                bar.update(epoch, meter.loss, rate)
                due = settings.checkpoint_minutes and time.monotonic() - saved_at >= 60 * settings.checkpoint_minutes
                if asked or due:
                    saved_at = checkpoint()
                    leave_if(asked, epoch)
            meter.read()
            seconds = time.monotonic() - epoch_started
            rate = learning_rate(recipe, step - 1, per_epoch)
            row = {
                "epoch": epoch + 1,
                "step": step,
                "learning_rate": rate,
                "train_loss": meter.totals[0] / per_epoch,
                "train_accuracy": meter.totals[1] / (per_epoch * recipe.batch_size),
                **network.validate(dataset),
                "images_per_second": (per_epoch - first) * recipe.batch_size / seconds,
                "seconds": seconds,
            }
            if not np.isfinite(row["val_loss"]):  # the last update can spoil what the training loss never saw
                raise TrainingError(not_a_number("validation loss", row["val_loss"], step, epoch, rate, checkpoints))
            history.append({k: float(f"{v:.6g}") if isinstance(v, float) else v for k, v in row.items()})
            meter.reset()
            if devices.chief:
                keep_best(folder, network.save, network.average, history, recipe)
            saved_at = checkpoint()
            if devices.chief:
                write_csv(folder / "history.csv", history)
                summaries.epoch(row, network.model)
            _log.info(_epoch_line(row, recipe, network.task) + epoch_suffix(curve, epoch + 1))
            asked = devices.any(stop.requested)
            if epoch + 1 < recipe.epochs:
                leave_if(asked, epoch)

    if devices.chief:
        _finish(run, dataset, history, time.monotonic() - started, network)
    devices.meet()  # none leaves before the chief has written all
    best = better(history, recipe)
    if stop.requested:
        raise KeyboardInterrupt(f"Stopped after the last epoch; the training is finished: {run.weights}")
    metric = history[best.epoch - 1][_metric_of(best, network.task)]
    return Trained(metric, history, resumed_from, best.epoch, best.weights)


def _tensors(rate: float, step: int):
    return tf.constant(rate, tf.float32), tf.constant(step, tf.int64)


def _metric_of(best, task) -> str:
    return f"{PREFIX[best.weights]}val_{task.metric}"


def _epoch_line(row: dict, recipe: Recipe, task) -> str:
    average = f"  average {row[f'ema_val_{task.metric}']:.4f}" if recipe.ema_decay else ""
    more = f"  macro F1 {row['val_macro_f1']:.4f}" if "val_macro_f1" in row else ""
    return (
        f"epoch {row['epoch']:3d}/{recipe.epochs}  loss {row['train_loss']:.4f}  accuracy {row['train_accuracy']:.4f}  "
        f"val loss {row['val_loss']:.4f}  val {task.metric_title} {row[f'val_{task.metric}']:.4f}{average}{more}  "
        f"{row['images_per_second']:.0f} images/s"
    )


def _finish(run: Run, dataset: Dataset, history: list[dict], seconds: float, network: Network) -> None:
    """Weights first, the manifest last: it says that the stage is whole."""
    recipe, folder = run.config.recipe, run.stage("train")
    best, beside = choose(folder, run.weights, history, recipe)
    if len(history) < recipe.epochs:
        _log.info(f"train: {recipe.patience} epochs brought nothing better, stopped after epoch {len(history)}")
    value = f"{recipe.monitor} {best.value:.4f}"
    _log.info(
        f"train: kept the {'averaged' if best.weights == 'ema' else 'raw'} weights of epoch {best.epoch}: {value}"
    )
    found, pruning = {}, network.pruning
    if pruning:
        found["sparsity"] = round(zero_share(pruning.kernels), 6)
        _log.info(f"train: {found['sparsity']:.1%} of the weights of {len(pruning.kernels)} 1x1 convolutions are zero")
    manifest = Manifest(
        stage="train",
        created=now(),
        seconds=round(seconds, 1),
        inputs={"dataset": dataset.fingerprint},
        outputs={path.name: sha256(path) for path in (run.weights, *beside)},
        versions=versions(),
        result={
            f"val_{network.task.metric}": history[best.epoch - 1][_metric_of(best, network.task)],
            "epochs": len(history),
            "best_epoch": best.epoch,
            "weights": best.weights,
            "monitor": recipe.monitor,
            **found,
            "history": history,
        },
    )
    write_json(folder / MANIFEST, manifest.to_dict())
