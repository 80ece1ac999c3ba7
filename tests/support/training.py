"""Training a run, stopping it at a step, and comparing two runs bit by bit."""

from __future__ import annotations

import contextlib
import os
import signal

import numpy as np
import pytest

from mnext_tf.training.checkpoint import load_latest_checkpoint

TIMES = ("seconds", "images_per_second")


def train(run, dataset, **options):
    from mnext_tf.training import loop

    return loop.train(run, dataset, progress=False, **options)


@contextlib.contextmanager
def before_step(number, action):
    """`action()` is called just before training step `number`, counted from 0, runs."""
    from mnext_tf.training import network

    make_steps, steps = network.make_steps, []

    def watched(*arguments, **options):
        train_step, eval_step = make_steps(*arguments, **options)

        def step(*batch):
            if len(steps) == number:
                action()
            steps.append(number)
            return train_step(*batch)

        return step, eval_step

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "make_steps", watched)
        yield


def ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def interrupt(run, dataset, step, action=ctrl_c):
    with before_step(step, action), pytest.raises(KeyboardInterrupt) as stopped:
        train(run, dataset)
    return str(stopped.value)


def state_of(run):
    """Weights, optimizer and random state at the end, and the history without times."""
    variables, state = load_latest_checkpoint(run.folder / "train" / "checkpoints")
    return variables, without_times(state["history"])


def without_times(history):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in history]


def assert_bitwise_equal(run, undisturbed):
    import h5py

    (variables, history), (expected, expected_history) = state_of(run), state_of(undisturbed)
    assert history == expected_history
    assert variables.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(variables[name], value, err_msg=name)

    def arrays(path):
        found = {}
        with h5py.File(path) as f:
            f.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return found

    weights, expected = arrays(run.weights), arrays(undisturbed.weights)
    assert weights.keys() == expected.keys()
    assert weights
    assert all(np.array_equal(weights[name], value) for name, value in expected.items())
