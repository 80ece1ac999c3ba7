"""A detector from a few scenes of digits to its files: trained, resumed, exported, verified, evaluated."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest
from support.training import assert_bitwise_equal, interrupt, train

from mnext_tf.boxes import Detections
from mnext_tf.data import open_dataset
from mnext_tf.errors import ConfigError
from mnext_tf.evaluation.detection.evaluate_networks import evaluate_detectors, open_truths
from mnext_tf.evaluation.verify_run import verify_run
from mnext_tf.export import app_assets, stages
from mnext_tf.files import read_json
from mnext_tf.inference.predictor import open_exports, open_predictor
from mnext_tf.runs.dataset import validation_batches
from mnext_tf.runs.run import open_run
from mnext_tf.tasks.detection_comparison import found_again
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import plan_training, start_run
from mnext_tf.training.transfer import transfer

LOOSE = Tolerance(max_accuracy_drop=100, min_agreement=0)
RECIPE = resolve_recipe("scenes", {"epochs": 2, "batch_size": 8, "width": 0.35, "input_size": 96})


@pytest.fixture(scope="session")
def few_scenes(tmp_path_factory):
    from mnext_tf.data.sources import scenes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scenes, "COUNTS", {"train": 24, "validation": 6})
        scenes.write_scenes(folder := tmp_path_factory.mktemp("scenes") / "scenes")
    return open_dataset(folder)


@pytest.fixture(scope="session")
def trained(tmp_path_factory, few_scenes):
    run = start_run(tmp_path_factory.mktemp("detector") / "run", "mobilenet_v2", RECIPE, few_scenes)
    train(run, few_scenes)
    return run


@pytest.fixture(scope="session")
def exported(trained):
    for precision in ("float32", "int8"):
        stages.tflite(trained, precision, tolerance=LOOSE)
        for output in app_assets.app_outputs(trained):
            app_assets.for_apps(trained, precision, output=output, tolerance=LOOSE)
    return trained


def test_data_with_boxes_choose_a_recipe_for_detectors(few_scenes):
    plan = plan_training(None, None, {"epochs": 30}, options={}, has_data=True).for_data(few_scenes)
    assert plan.recipe == resolve_recipe("finetune_detector", {"epochs": 30})
    named = plan_training(None, "photos", {}, options={}, has_data=True)
    with pytest.raises(ConfigError, match="trains a classifier; scenes is a data set for detection"):
        named.for_data(few_scenes)


def test_classes_without_boxes_are_no_data_for_a_detector(tmp_path):
    digits = open_dataset("digits", tmp_path)
    plan = plan_training(None, "scenes", {}, options={}, has_data=False)
    with pytest.raises(ConfigError, match="needs images with boxes; digits is a data set for classification"):
        plan.for_data(digits)
    with pytest.raises(ConfigError, match="--task=detection contradicts --recipe=photos"):
        plan_training(None, "photos", {}, options={}, has_data=True, task="detection")


@pytest.mark.slow
def test_a_detector_is_trained_and_its_run_says_how_it_is_decoded(trained):
    config = open_run(trained.folder).config
    assert (config.task, config.model.priors, config.preprocess.fit) == ("detection", "voc", "squash")
    assert config.detection == RECIPE.detection.settings()
    history = trained.manifest("train").result["history"]
    assert {"train_loss", "val_loss", "val_map50", "ema_val_map50"} < history[0].keys()
    assert history[1]["train_loss"] < history[0]["train_loss"]


@pytest.mark.slow
def test_stopped_and_resumed_is_bitwise_the_undisturbed_run(tmp_path, few_scenes, trained):
    disturbed = start_run(tmp_path / "disturbed", "mobilenet_v2", RECIPE, few_scenes)
    interrupt(disturbed, few_scenes, step=4)
    train(disturbed, few_scenes)
    assert_bitwise_equal(disturbed, trained)


@pytest.mark.slow
def test_a_detector_takes_the_backbone_and_normalization_of_a_classifier(tmp_path, few_images, few_scenes):
    recipe = resolve_recipe("digits", {"epochs": 2, "batch_size": 8, "width": 0.35})
    classifier = start_run(tmp_path / "a", "mobilenet_v2", recipe, few_images, options={"convention": "tensorflow"})
    train(classifier, few_images)
    given = {"width": None, "input_size": 96}
    plan = plan_training(None, None, given, options={}, has_data=True, source=classifier).for_data(few_scenes)
    run = start_run(tmp_path / "b", plan.model, plan.recipe, few_scenes, options=plan.options, source=classifier)
    assert run.config.model.normalization == classifier.config.model.normalization
    assert run.config.model.options == {"convention": "tensorflow"}
    assert run.config.preprocess.crop_fraction == 1
    model = run.config.model.create()
    done = transfer(model, run.config)
    assert "stem/kernel" in done.kept
    assert "head1_class_pointwise/kernel" in done.new
    assert str(done).startswith("kept the backbone, ")


@pytest.mark.slow
def test_a_detector_keeps_all_but_the_scores_where_the_classes_differ(tmp_path, few_scenes, trained):
    other = dataclasses.replace(few_scenes, class_names=tuple("abcdefghij"))
    plan = plan_training(None, None, {}, options={}, has_data=True, source=trained).for_data(other)
    run = start_run(tmp_path / "b", plan.model, plan.recipe, other, options=plan.options, source=trained)
    done = transfer(run.config.model.create(), run.config)
    assert {name.split("/")[0] for name in done.new} == {f"head{k}_class_pointwise" for k in range(1, 7)}


@pytest.mark.slow
def test_every_form_gives_the_same_boxes(exported):
    images = np.concatenate([images for images, _ in validation_batches(exported)])
    with open_predictor(exported) as keras:
        expected = [found.above(0.05) for found in keras.predict(images)]
        assert sum(map(len, expected)) > 0
    for network in open_exports(exported):
        with network:
            assert network.task.name == "detection"
            assert network.labels == exported.config.class_names
            found = network.predict(images)
            assert all(isinstance(each, Detections) for each in found)
            if "int8" in network.name:
                continue
            same = sum(found_again(mine, theirs) for mine, theirs in zip(found, expected, strict=True))
            assert same >= 0.95 * sum(map(len, expected)), network.name


@pytest.mark.slow
def test_files_say_how_they_are_decoded_and_what_they_give(exported):
    from mnext_tf.tflite.metadata import read_metadata

    forms = {"": "raw", "_anchors": "two", "_detections": "four"}
    for precision in ("float32", "int8"):
        for suffix, form in forms.items():
            stage = f"tflite_{precision}{suffix}"
            result = exported.manifest(stage).result
            about = read_metadata(exported.stage(stage) / result["file"])
            assert about.detector["form"] == form
            assert (about.detector["priors"], about.detector["input_size"]) == ("voc", 96)
            assert about.preprocess["fit"] == "squash"
            assert result["file"].startswith("mobilenet_v2_ssdlite_0.35_96_")
    ends = exported.manifest("tflite_int8").result["outputs"]
    assert set(ends) == {"class_logits", "box_regression"}
    assert ends["class_logits"]["scale"] != ends["box_regression"]["scale"]


@pytest.mark.slow
def test_exports_twice_are_the_same_bytes(exported):
    stage = "tflite_int8_detections"
    before = (exported.stage(stage) / exported.manifest(stage).result["file"]).read_bytes()
    made = app_assets.for_apps(exported, "int8", output="detections", tolerance=LOOSE, force=True)
    assert (made.folder / made.result["file"]).read_bytes() == before


@pytest.mark.slow
def test_verify_compares_all_forms_and_finds_a_changed_one(exported, tmp_path):
    shutil.copytree(exported.folder, tmp_path / "run")
    run = open_run(tmp_path / "run")
    verified = verify_run(run, LOOSE)
    assert verified["passed"], verified["failures"]
    assert verified["networks"]["frozen"]["max_relative_difference"] < 1e-4
    assert verified["networks"]["tflite_float32_detections"]["max_relative_difference"] is None
    stage = run.stage("tflite_float32")
    file = stage / run.manifest("tflite_float32").result["file"]
    from mnext_tf.tflite.flatbuffer import read_model, set_content, write_model

    tree = read_model(content := file.read_bytes())
    biases = [t for t in tree.subgraphs[0].tensors if t.shape is not None and list(t.shape) == [16]]
    set_content(tree, biases[0], np.full(16, 100, np.float32))
    file.write_bytes(write_model(tree) + content[len(content) :])
    failures = verify_run(run, LOOSE)["failures"]
    assert "its outputs differ by" in failures["tflite_float32"]


@pytest.mark.slow
def test_evaluation_writes_tables_plots_and_cocos_format(exported, few_scenes, tmp_path):
    with open_predictor(exported) as keras:
        result = evaluate_detectors([keras], open_truths(few_scenes), tmp_path / "evaluation")
        again = evaluate_detectors([keras], open_truths(few_scenes, "train"), tmp_path / "train", metrics="voc07")
    assert (result["metrics"], result["images"], again["metrics"], again["images"]) == ("coco", 6, "voc07", 24)
    folder = tmp_path / "evaluation" / result["networks"][0]["folder"]
    assert {p.name for p in folder.iterdir()} == {
        *("per_class.csv", "curves.json", "detections.csv", "detections.json", "precision_recall.png", "mistakes.png")
    }
    row = read_json(folder / "detections.json")[0]
    assert row.keys() == {"image_id", "category_id", "name", "bbox", "score", "file_name"}


@pytest.mark.slow
def test_what_detectors_do_not_have_is_refused(exported):
    with pytest.raises(ConfigError, match="effort=best is for classifiers"):
        stages.tflite(exported, "int8", effort="best")
    with pytest.raises(ConfigError, match="gives logits or detections or anchors; received probabilities"):
        app_assets.for_apps(exported, output="probabilities")


def test_a_focal_loss_begins_with_scores_of_one_percent():
    from mnext_tf import create_detector
    from mnext_tf.training.detection_examples import expect_background

    model = create_detector("mobilenet_v2", 4, input_size=64, width=0.35)
    expect_background(model, 0)
    logits, _ = model(np.random.default_rng(0).uniform(0, 255, (1, 64, 64, 3)).astype(np.float32), training=True)
    scores = 1 / (1 + np.exp(-np.asarray(logits)))
    assert 0.002 < scores.min() < scores.max() < 0.1
