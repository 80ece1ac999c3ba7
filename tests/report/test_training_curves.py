"""Training curves in the report: best epoch, averaged weights, published trainings."""

import dataclasses

import pytest
from PIL import Image
from support.reports import report, table

from mnext_tf.files import write_csv
from mnext_tf.models.config import ModelConfig
from mnext_tf.report.run_facts import read_runs
from mnext_tf.runs.config import DatasetConfig
from mnext_tf.runs.run import open_run
from mnext_tf.training import curves
from mnext_tf.training.recipe import Recipe

RECIPE = Recipe(epochs=4, warmup_epochs=0, cooldown_epochs=0, input_size=32)


def rows(*accuracies, **more):
    """Rows of a history, with further columns by name."""
    return [
        {"epoch": e, "train_loss": 1.0, "train_accuracy": 0.5, "val_loss": 1 / e, "val_accuracy": a}
        | {name: values[e - 1] for name, values in more.items()}
        for e, a in enumerate(accuracies, start=1)
    ]


@pytest.fixture
def trained(tmp_path, run_maker):
    """`trained(rows, ...)`: a run with this history."""

    def trained(history, recipe=RECIPE, **fields):
        folder = run_maker(tmp_path / "run", recipe=recipe, **fields)
        write_csv(folder / "train" / "history.csv", history)
        return folder

    return trained


def test_the_best_epoch_is_named_with_what_was_measured_in_it(tmp_path, trained):
    run = trained(
        rows(0.5, 0.7, 0.7, 0.6, val_top5_accuracy=[0.8, 0.9, 0.91, 0.92], val_macro_f1=[0.4, 0.65, 0.6, 0.6])
    )
    header, _, row = table(report(tmp_path, [], [run]), "## Training")
    best = dict(zip(header, row, strict=True))
    assert (best["epochs"], best["best epoch"], best["validation accuracy there, %"]) == ("4", "2", "70.00")
    assert (best["top-5, %"], best["macro F1, %"], best["loss"]) == ("90.00", "65.00", "0.5000")
    assert best["accuracy in the last epoch, %"] == "60.00"
    assert "of averaged weights, %" not in best


def test_the_average_of_the_weights_counts_where_it_is_better(tmp_path, trained):
    averaged = {"ema_val_accuracy": [0.1, 0.4, 0.8, 0.75], "ema_val_loss": [9, 2, 1, 1]}
    run = trained(rows(0.5, 0.7, 0.65, 0.6, **averaged), dataclasses.replace(RECIPE, ema_decay=0.9))
    header, _, row = table(report(tmp_path, [], [run]), "## Training")
    best = dict(zip(header, row, strict=True))
    assert best["best epoch"] == "3 (averaged)"
    assert (best["validation accuracy there, %"], best["of averaged weights, %"]) == ("65.00", "80.00")
    assert best["accuracy in the last epoch, %"] == "75.00"


def test_columns_that_came_later_may_be_empty_at_first(trained):
    history = rows(0.5, 0.7, val_macro_f1=["", 0.6])
    facts = read_runs([open_run(trained(history))])[0]
    assert "val_macro_f1" not in facts.history[0]
    assert facts.history[1]["val_macro_f1"] == 0.6


@pytest.fixture
def on_imagenet(trained, monkeypatch):
    """A run that follows the recipe mnext on as many images as ImageNet has."""
    monkeypatch.setattr(curves, "_recipe_name", lambda config: "mnext")
    return trained(
        rows(0.002, 0.25, 0.35),
        model_config=ModelConfig("mnext", num_classes=1000, input_size=32),
        class_names=tuple(map(str, range(1000))),
        dataset=DatasetConfig("imagenet", "/data", "0", 1_281_167, 50_000),
    )


def test_a_run_of_a_published_recipe_is_compared_epoch_by_epoch(tmp_path, on_imagenet):
    text = report(tmp_path, [], [on_imagenet])
    line = "- MobileNeXt 1.0: 35.00 % after epoch 3, +3.29 points from the published 31.71 % (recipe mnext)"
    assert line in text.splitlines()
    with Image.open(tmp_path / "report" / "published.png") as image:
        assert image.width > 500


def test_the_average_is_compared_with_a_published_average(on_imagenet, monkeypatch):
    monkeypatch.setattr(curves, "_recipe_name", lambda config: "mnext_s")
    write_csv(on_imagenet / "train" / "history.csv", rows(0.4, 0.5, ema_val_accuracy=[0.001, 0.002]))
    facts = read_runs([open_run(on_imagenet)])[0]
    assert facts.published_column == "ema_val_accuracy"
    assert [top1 for _, top1 in facts.published] == [0.1, 0.1]


def test_another_recipe_has_no_curve(trained):
    assert read_runs([open_run(trained(rows(0.5)))])[0].curve is None
