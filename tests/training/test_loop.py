"""The loop on 24 images. Tests of its bookkeeping train a network of two layers in place of a real one."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import signal

import pytest
from support.training import assert_bitwise_equal, before_step, interrupt, train, without_times

from mnext_tf.errors import CheckpointError, ConfigError, MnextError, TrainingError
from mnext_tf.files import exclusive_lock, read_json, write_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.lock import run_lock
from mnext_tf.runs.run import open_run
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import start_run

# 3 steps an epoch, with everything that draws random numbers: order, crops, flips, colours, shifts, dropout
RECIPE = resolve_recipe(
    "digits",
    {
        "epochs": 2,
        "batch_size": 8,
        "width": 0.1,
        "dropout": 0.4,
        "crop_scale_min": 0.5,
        "flip": True,
        "color_jitter": 0.3,
        "learning_rate": 0.1,
    },
)
ONE_EPOCH = {"epochs": 1, "warmup_epochs": 0, "cooldown_epochs": 0}


@pytest.fixture
def new_run(tmp_path, few_images):
    def new_run(name, model="mnext", **changes):
        return start_run(tmp_path / name, model, dataclasses.replace(RECIPE, **changes), few_images)

    return new_run


def test_mobilenext_interrupted_and_resumed_is_bitwise_the_undisturbed_run(new_run, few_images, monkeypatch, log_lines):
    """With 3 blocks in place of 20, and every kind of layer among them: compiling takes most of the time."""
    monkeypatch.setattr("mnext_tf.models.mnext.STAGES", ((2, 96, 1, 2), (6, 192, 2, 2)))
    undisturbed, disturbed = (new_run(name, **ONE_EPOCH) for name in ("undisturbed", "disturbed"))
    expected = train(undisturbed, few_images)
    assert expected.resumed_from_step == 0
    assert [row["epoch"] for row in expected.history] == [1]

    text = interrupt(disturbed, few_images, step=1)
    assert text == "Stopped at step 2 (epoch 1 of 1); saved."
    assert not disturbed.weights.exists()

    log_lines.clear()
    resumed = train(disturbed, few_images)
    assert resumed.resumed_from_step == 2
    assert any("resuming at step 2 of 3 (epoch 1)" in line for line in log_lines)
    assert without_times(resumed.history) == without_times(expected.history)
    assert_bitwise_equal(disturbed, undisturbed)


@pytest.mark.slow
def test_stopped_between_an_epoch_and_its_evaluation_the_end_is_the_same(new_run, few_images, two_layers):
    undisturbed = new_run("undisturbed")
    train(undisturbed, few_images)
    for step in (2, 5):  # the last of an epoch, and the very last: its evaluation is still to do
        disturbed = new_run(f"stopped{step}")
        assert f"at step {step + 1} " in interrupt(disturbed, few_images, step)
        train(disturbed, few_images)
        assert_bitwise_equal(disturbed, undisturbed)


def test_sigterm_and_a_second_stop_work_too(new_run, few_images, two_layers):
    undisturbed, disturbed = new_run("undisturbed"), new_run("disturbed")
    train(undisturbed, few_images)
    interrupt(disturbed, few_images, 1, lambda: os.kill(os.getpid(), signal.SIGTERM))
    interrupt(disturbed, few_images, 2)
    assert train(disturbed, few_images).resumed_from_step == 5
    assert_bitwise_equal(disturbed, undisturbed)


def test_the_signal_handlers_are_given_back(new_run, few_images, two_layers):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    interrupt(new_run("a"), few_images, 0)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_damaged_newest_checkpoint_costs_its_steps_only(new_run, few_images, two_layers, log_lines):
    undisturbed, disturbed = new_run("undisturbed"), new_run("disturbed")
    train(undisturbed, few_images)
    interrupt(disturbed, few_images, 4)
    newest = disturbed.folder / "train" / "checkpoints" / "step_00000005.npz"
    newest.write_bytes(newest.read_bytes()[:1000])
    assert train(disturbed, few_images).resumed_from_step == 3
    assert any("step_00000005.npz is damaged" in line for line in log_lines)
    assert_bitwise_equal(disturbed, undisturbed)


def test_another_seed_trains_another_network(new_run, few_images, two_layers):
    one, other = new_run("one", **ONE_EPOCH), new_run("other", seed=1, **ONE_EPOCH)
    assert train(one, few_images).history[-1]["train_loss"] != train(other, few_images).history[-1]["train_loss"]


def test_what_a_finished_run_leaves_and_that_it_returns_at_once(
    new_run, few_images, two_layers, monkeypatch, log_lines
):
    run = new_run("run")
    first = train(run, few_images)
    folder = run.folder / "train"
    rows = (folder / "history.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,step,learning_rate,train_loss,train_accuracy,val_loss,val_accuracy")
    assert len(rows) == 3
    assert list((folder / "tensorboard").iterdir())
    assert run.manifest("train")["result"]["val_accuracy"] == first.metric
    assert 0 <= first.metric <= 1

    monkeypatch.setattr(ModelConfig, "create", lambda config: pytest.fail("trained again"))
    log_lines.clear()
    again = train(run, few_images)
    assert again.history == first.history
    assert "already finished" in log_lines[0]


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_stops_with_the_step_named(new_run, few_images, two_layers, monkeypatch, loss):
    from mnext_tf.training import network

    run, make_steps, rates = new_run("run"), network.make_steps, []

    def diverging(*arguments, **options):
        train_step, eval_step = make_steps(*arguments, **options)

        def step(images, labels, rate, number):
            rates.append(float(rate))
            return (loss, 0.0) if len(rates) == 5 else train_step(images, labels, rate, number)

        return step, eval_step

    monkeypatch.setattr(network, "make_steps", diverging)
    with pytest.raises(TrainingError, match=rf"loss is {loss} at step 4 \(epoch 2, ") as error:
        train(run, few_images)
    assert f"learning rate {rates[4]:.3g}" in str(error.value)
    assert str(run.folder / "train" / "checkpoints" / "step_00000003.npz") in str(error.value)
    assert "lower --learning_rate" in str(error.value)
    assert not run.weights.exists()


def test_another_number_of_classes_is_refused(new_run, few_images, write_few_images, tmp_path):
    run = new_run("run")
    four = write_few_images(tmp_path / "four", classes=4)
    with pytest.raises(ConfigError, match=r"has a network of 3 classes, the data 'few' has 4.*start a new run"):
        train(run, four)


def test_changed_data_are_refused(new_run, few_images, write_few_images, tmp_path):
    run = new_run("run")
    changed = write_few_images(tmp_path / "changed", seed=1)
    with pytest.raises(
        ConfigError, match=r"'few' in .*changed has changed since .*run was made: as many images, but others"
    ) as error:
        train(run, changed)
    assert changed.fingerprint[:12] in str(error.value)


def test_the_same_data_in_another_folder_are_accepted(new_run, few_images, two_layers, tmp_path):
    run = new_run("run", **ONE_EPOCH)
    moved = dataclasses.replace(few_images, folder=shutil.copytree(few_images.folder, tmp_path / "moved"))
    assert len(train(run, moved).history) == 1


def test_a_checkpoint_of_another_network_is_refused(new_run, few_images, two_layers, monkeypatch):
    run = new_run("run")
    interrupt(run, few_images, 1)
    monkeypatch.undo()  # now the run's own network is built: MobileNeXt
    with pytest.raises(CheckpointError, match=r"checkpoints belongs to another network: .* start a new run"):
        train(run, few_images)


def test_more_images_a_step_than_there_are_is_refused(new_run, few_images, two_layers):
    with pytest.raises(MnextError, match="batch_size=25 is more than the 24 training images"):
        train(new_run("run", batch_size=25), few_images)


def test_a_run_whose_configuration_was_written_again_trains(new_run, few_images, two_layers):
    """config.json alone decides: what `start_run` returns and what `open_run` reads are the same."""
    run = new_run("run", **ONE_EPOCH)
    write_json(run.folder / "config.json", read_json(run.folder / "config.json"))
    assert len(train(open_run(run.folder), few_images).history) == 1


def test_one_process_trains_a_run(new_run, few_images, two_layers):
    run, refused = new_run("run", **ONE_EPOCH), []

    def another():
        with contextlib.suppress(BlockingIOError), exclusive_lock(run.folder / ".lock", "another"):
            refused.append("both have it")

    with before_step(1, another):
        train(run, few_images)
    assert refused == []
    with (
        exclusive_lock(run.folder / ".lock", "process 1 on it"),
        pytest.raises(MnextError, match="in use by process 1"),
    ):
        train(run, few_images)
    with run_lock(run.folder, "exporting"):
        train(run, few_images)


def test_weights_that_were_replaced_are_not_taken_for_finished(new_run, few_images, two_layers, log_lines):
    run = new_run("run", **ONE_EPOCH)
    train(run, few_images)
    assert log_lines[0].startswith(
        "schedule: epochs 1, steps per epoch 3, batch size 8, learning rate 0.1, no warm-up, "
    )
    run.weights.write_bytes(b"other weights")
    with pytest.raises(CheckpointError, match="have changed"):
        train(run, few_images)
