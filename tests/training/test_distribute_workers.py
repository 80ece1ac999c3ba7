"""Two processes train together, each its half of every batch, over the loopback device."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from support.training import assert_bitwise_equal, state_of

from mnext_tf.runs.run import open_run
from mnext_tf.runs.weights import require_weights

SECONDS = 300
FLAGS = {
    "recipe": "digits",
    "epochs": 3,
    "batch_size": 8,
    "width": 0.1,
    "dropout": 0.4,
    "crop_scale_min": 0.5,
    "ema_decay": 0.9,
    "distribute": "multi_worker",
}


class Job:
    """Workers of one run, as what manages machines would start them."""

    def __init__(self, folder, data, repository, changes):
        self.flags, self.out, self.logs, self.data, self.repository = (
            FLAGS | changes,
            folder / "run",
            folder,
            data,
            repository,
        )
        with contextlib.ExitStack() as stack:
            free = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
            self.addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in free]

    def start(self, index: int, **environment: str) -> subprocess.Popen:
        config = {"cluster": {"worker": self.addresses}, "task": {"type": "worker", "index": index}}
        given = {**self.flags, "data_dir": self.data.folder, "cache_dir": self.logs / "cache", "out": self.out}
        environment = {**environment, "TF_CONFIG": json.dumps(config), "PYTHONPATH": str(self.repository)}
        with open(self.logs / f"{index}.log", "a") as log:
            return subprocess.Popen(
                [sys.executable, "tests/support/worker.py", *(f"--{k}={v}" for k, v in given.items())],
                cwd=self.repository,
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )

    def finish(self, *workers: subprocess.Popen, status: int = 0) -> None:
        deadline = time.monotonic() + SECONDS
        for worker in workers:
            assert worker.wait(deadline - time.monotonic()) == status, self.log(0) + self.log(1)

    def log(self, index: int) -> str:
        return (self.logs / f"{index}.log").read_text()


@pytest.fixture(scope="module")
def job(tmp_path_factory, few_images, repository):
    started = []

    def job(name, **changes):
        job = Job(tmp_path_factory.mktemp(name), few_images, repository, changes)
        start = job.start
        job.start = lambda *a, **k: started.append(start(*a, **k)) or started[-1]
        return job

    yield job
    for worker in started:
        worker.kill()


@pytest.fixture(scope="module")
def undisturbed(job):
    undisturbed = job("undisturbed")
    undisturbed.finish(undisturbed.start(0), undisturbed.start(1))
    return open_run(undisturbed.out)


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_killed_and_started_again_rejoins_and_the_end_is_the_same(job, undisturbed, victim):
    """Bit by bit: weights, average, optimizer, seeds of dropout, and history. Worker 0 is the chief."""
    assert len(state_of(undisturbed)[1]) == FLAGS["epochs"]
    disturbed = job(f"victim{victim}")
    other, killed = (
        disturbed.start(1 - victim),
        disturbed.start(victim, SIGKILL_AT="4"),
    )  # the second epoch's second step
    assert killed.wait(SECONDS) == -signal.SIGKILL
    disturbed.finish(other, disturbed.start(victim))
    assert "Another worker was lost" in disturbed.log(1 - victim)
    for log in map(disturbed.log, range(2)):
        assert "resuming at step 3 of 9" in log
        assert "epoch   3/3" in log
    run = open_run(disturbed.out)
    assert_bitwise_equal(run, undisturbed)
    require_weights(run)


@pytest.mark.slow
def test_all_stop_where_one_is_asked_to_and_resume(job, undisturbed):
    stopped = job("stopped")
    stopped.finish(stopped.start(0), stopped.start(1, SIGTERM_AT="1"), status=130)
    assert all("Stopped at step 3 (epoch 1 of 3)" in stopped.log(index) for index in range(2))
    stopped.finish(stopped.start(0), stopped.start(1))
    assert_bitwise_equal(open_run(stopped.out), undisturbed)
    stopped.finish(stopped.start(1))  # alone: nothing is left to do, so it waits for nobody
    assert "already finished" in stopped.log(1)


@pytest.mark.slow
def test_two_workers_train_what_one_process_does(job):
    """The same images, batch statistics over both workers, and sums of both for the validation."""
    same = {"dropout": 0.0, "epochs": 1}
    two, one = job("two", sync_batch_norm=True, **same), job("one", distribute="none", **same)
    two.finish(two.start(0), two.start(1))
    one.finish(one.start(0))
    (found, history), (expected, expected_history) = (state_of(open_run(j.out)) for j in (two, one))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    assert history[0] == pytest.approx(expected_history[0], abs=1e-4)
