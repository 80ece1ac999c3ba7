import pytest

from mnext_tf.errors import ConfigError
from mnext_tf.files import write_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.run import create_run
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import make_config, plan_training, resume_run, start_run

RESULT = {"val_accuracy": 0.5, "history": [{"step": 1}]}
RECIPE = resolve_recipe("digits", {"epochs": 3, "width": 0.5, "dropout": 0.2, "batch_size": 8})


def test_the_configuration_says_all_that_later_stages_need(tmp_path, few_images):
    run = start_run(tmp_path / "r", "mobilenet_v2", RECIPE, few_images, options={"convention": "tensorflow"})
    assert run.config.model == ModelConfig(
        "mobilenet_v2", num_classes=3, width=0.5, input_size=32, dropout=0.2, options={"convention": "tensorflow"}
    )
    assert run.config.class_names == ("class0", "class1", "class2")
    assert run.config.dataset.fingerprint == few_images.fingerprint
    assert (run.config.dataset.num_train, run.config.dataset.num_validation) == (24, 9)
    assert run.config.preprocess.input_size == 32
    assert run.config.recipe.epochs == 3
    assert run.trained


def test_a_folder_without_a_name_is_named_after_network_and_data(tmp_path, few_images):
    run = start_run(None, "mnext", RECIPE, few_images, root=tmp_path)
    assert run.folder.parent == tmp_path
    assert run.name.startswith("mnext-few-2")


def test_a_run_is_not_overwritten(tmp_path, few_images):
    run = start_run(tmp_path / "r", "mnext", RECIPE, few_images)
    before = (run.folder / "config.json").read_bytes()
    with pytest.raises(ConfigError, match=rf"{run.folder} already holds a run.*--resume --run={run.folder}.*--out"):
        start_run(run.folder, "mobilenet_v2", RECIPE, few_images)
    assert (run.folder / "config.json").read_bytes() == before


def test_layers_are_not_frozen_at_random_weights():
    with pytest.raises(ConfigError, match=r"random weights.*--init=RUN"):
        plan_training("mnext", None, {"freeze": "backbone"}, options={}, has_data=False)


@pytest.fixture
def runs(tmp_path, few_images):
    """Three runs, oldest first: one unfinished, one finished, one untrained."""
    unfinished = start_run(tmp_path / "unfinished", "mnext", RECIPE, few_images)
    finished = start_run(tmp_path / "finished", "mnext", RECIPE, few_images)
    write_json(finished.folder / "train" / "manifest.json", {"result": RESULT})
    random = create_run(tmp_path / "random", make_config(RECIPE.model("mnext", 3), RECIPE, few_images, init="random"))
    return unfinished, finished, random


def test_the_newest_unfinished_run_is_resumed(runs, tmp_path):
    assert resume_run(None, {}, root=tmp_path) == runs[0]
    assert resume_run(runs[1].folder, {}) == runs[1]


def test_nothing_to_resume_names_the_command(runs, tmp_path):
    write_json(runs[0].folder / "train" / "manifest.json", {"result": RESULT})
    with pytest.raises(ConfigError, match=r"No unfinished run under .*python -m pipelines\.train"):
        resume_run(None, {}, root=tmp_path)


def test_an_untrained_run_is_not_resumed(runs):
    with pytest.raises(ConfigError, match="is an untrained network"):
        resume_run(runs[2].folder, {})


def test_flags_that_repeat_the_run_are_accepted(runs):
    resume_run(runs[0].folder, {"epochs": 3, "width": 0.5, "model": "mnext", "learning_rate": None})


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"epochs": 4}, r"--epochs=4 contradicts .*epochs=3"),
        ({"model": "mobilenet_v2"}, r"--model=mobilenet_v2 contradicts .*model=mnext"),
        ({"convention": "tensorflow"}, r"--convention=tensorflow contradicts"),
    ],
)
def test_flags_that_contradict_the_run_are_refused(runs, given, text):
    with pytest.raises(ConfigError, match=text):
        resume_run(runs[0].folder, given)


def test_a_batch_larger_than_the_data_makes_no_run(tmp_path, few_images):
    recipe = resolve_recipe("digits", {"batch_size": 25})
    with pytest.raises(ConfigError, match="batch_size=25 is more than the 24 training images"):
        start_run(tmp_path / "r", "mnext", recipe, few_images)
    assert not (tmp_path / "r").exists()
