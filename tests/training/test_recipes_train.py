"""Every recipe trains on real images, at a small size; and a run that is killed ends as one that is not."""

from __future__ import annotations

import dataclasses
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from support.training import arrays_in, train

from mnext_tf.data import open_dataset
from mnext_tf.training.recipes import MODELS, RECIPES, resolve_recipe
from mnext_tf.training.start import start_run

SMALL = {"epochs": 1, "batch_size": 8, "input_size": 32, "output_stride": 32, "width": 0.35, "data_streams": 1}


@pytest.fixture(scope="module")
def flowers(repository, tmp_path_factory):
    """40 training and 8 validation images of each of five kinds."""
    source = repository.parent / "shared" / "data" / "flowers"
    if not source.is_dir():
        pytest.skip(f"the reference data is not there: {source}")
    root = tmp_path_factory.mktemp("flowers")
    for split, count in (("train", 40), ("val", 8)):
        for kind in (source / split).iterdir():
            (folder := root / "few" / split / kind.name).mkdir(parents=True)
            for image in sorted(kind.iterdir())[:count]:
                shutil.copy(image, folder)
    return open_dataset(root / "few", root)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name, recipe in RECIPES.items() if not recipe.detection])
def test_a_recipe_trains_an_epoch(name, flowers, tmp_path):
    recipe = resolve_recipe(name, SMALL)
    model, source = MODELS.get(name, "mnext"), None
    if recipe.qat:  # goes on from a trained network
        source = start_run(tmp_path / "source", model, resolve_recipe("finetune", SMALL), flowers)
        train(source, flowers)
    (row,) = train(start_run(tmp_path / "run", model, recipe, flowers, source=source), flowers).history
    assert row["step"] > 20
    assert np.isfinite([row["train_loss"], row["val_loss"]]).all()
    assert row["train_loss"] < 5  # 1.6 is chance; a rate that does not fit ends far above
    fields = {f.name for f in dataclasses.fields(recipe)} - SMALL.keys() - {"warmup_epochs", "cooldown_epochs"}
    assert all(getattr(recipe, f) == getattr(RECIPES[name], f) for f in fields)


@pytest.mark.slow
def test_a_run_that_was_killed_ends_as_one_that_was_not(tmp_path, repository):
    def command(*more):
        return [sys.executable, "-m", "pipelines.train", f"--cache_dir={tmp_path / 'data'}", *more]

    fields = ["--model=mobilenet_v1", "--width=0.1", "--epochs=1", "--ema_decay=0.9", "--dropout=0.2"]
    fields += ["--checkpoint_minutes=0.0001"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(f"--out={whole}", *fields), cwd=repository, check=True, capture_output=True)
    with subprocess.Popen(
        command(f"--out={killed}", *fields), cwd=repository, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 120
        while not list(killed.glob("train/checkpoints/step_0000002*.npz")):
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    done = subprocess.run(
        command("--resume", f"--run={killed}"), cwd=repository, check=True, capture_output=True, text=True
    )
    assert "taking over from process" in done.stderr
    assert "resuming at step 2" in done.stderr

    for kind in ("model", "raw", "ema"):
        expected, found = (arrays_in(folder / f"train/{kind}.weights.h5") for folder in (whole, killed))
        assert len(expected) > 50
        assert all(np.array_equal(found[name], value) for name, value in expected.items())
