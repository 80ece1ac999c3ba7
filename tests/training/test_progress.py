"""What a training says that has no terminal."""

import re

import pytest

from mnext_tf.training import progress
from mnext_tf.training.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    """A list whose only item is the time."""
    clock = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    return clock


def test_a_log_without_a_terminal_gets_a_line_a_minute(clock, log_lines):
    with Progress(steps=1000, done=100, batch_size=32, epochs=10) as bar:
        for _ in range(90):
            clock[0] += 2
            bar.update(1, 0.5, 0.1)
    assert len(log_lines) == 3
    assert log_lines[0] == "epoch 2/10, step 130 of 1000: loss 0.5000, 16 images/s, 0% waiting for data, 29:00 left"
    assert [re.search(r"step (\d+)", line)[1] for line in log_lines] == ["130", "160", "190"]


def test_quick_steps_and_a_caller_who_wants_nothing_get_none(clock, log_lines):
    for enabled, seconds in ((True, 0.1), (False, 100)):
        with Progress(100, 0, 32, 1, enabled=enabled) as bar:
            for _ in range(100):
                clock[0] += seconds
                bar.update(0, 0.5, 0.1)
    assert log_lines == []
