"""A run's answers to its own validation images, kept in the run."""

import numpy as np
import pytest

from mnext_tf.evaluation.on_validation import evaluate_run, read_answers
from mnext_tf.files import read_json, write_json


@pytest.fixture(scope="module")
def small(make_run):
    return make_run(name="mobilenet_v1", width=0.05)


@pytest.fixture
def answered(small):
    """A run on the digits, its answers, and the record of its evaluation, which is put back."""
    answers, path = evaluate_run(small), small.folder / "evaluation" / "evaluation.json"
    record = read_json(path)
    yield small, answers, path
    write_json(path, record)


def test_they_are_those_of_the_network_on_every_image(answered):
    from mnext_tf.inference.predictor import open_predictor
    from mnext_tf.runs.dataset import validation_batches

    run, answers, _ = answered
    count = run.config.dataset.num_validation
    assert len(answers.images) == len(answers.correct) == count > run.config.verify_images
    with open_predictor(run) as network:
        expected = [network.logits(x).argmax(1) == labels for x, labels in validation_batches(run, max_images=count)]
    np.testing.assert_array_equal(answers.correct, np.concatenate(expected))
    assert answers.accuracy == np.concatenate(expected).mean()


def test_they_are_kept_while_they_are_current(answered, monkeypatch):
    run, answers, _ = answered
    monkeypatch.setattr("mnext_tf.evaluation.on_validation.evaluate", None)  # would be called
    assert evaluate_run(run).images == answers.images


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(data="photos, validation"),
        lambda record: record.update(skipped=1),
        lambda record: record["networks"][0].update(sha256="0"),
        lambda record: record["networks"][0].update(folder="../evaluation/run_keras"),
        lambda record: record.pop("networks"),
    ],
)
def test_others_do_not_count(answered, change):
    run, _, path = answered
    record = read_json(path)
    change(record)
    write_json(path, record)
    assert read_answers(run) is None
