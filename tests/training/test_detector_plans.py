"""What is answered at once where flags, runs, and data of classifiers and of detectors meet."""

import dataclasses

import pytest

from mnext_tf.errors import ConfigError, DataError
from mnext_tf.models.config import ModelConfig
from mnext_tf.runs.dataset import check_same_data
from mnext_tf.runs.run import create_run
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import images_to_verify, make_config, plan_training, resume_run, start_run

BATCH = {"batch_size": 8}


@pytest.fixture
def boxes(few_images):
    """A data set for detection, as far as plans look at it."""
    counts = {"train": (1, 1, 1), "validation": (1, 0, 0)}
    return dataclasses.replace(few_images, task="detection", metrics="voc", box_counts=counts)


@pytest.fixture
def classifier(tmp_path, few_images, monkeypatch):
    return _trained(tmp_path / "classifier", "digits", few_images, monkeypatch)


@pytest.fixture
def detector(tmp_path, boxes, monkeypatch):
    return _trained(tmp_path / "detector", "scenes", boxes, monkeypatch)


def _trained(folder, recipe, data, monkeypatch):
    monkeypatch.setattr("mnext_tf.training.transfer.require_weights", lambda run: folder)
    recipe = resolve_recipe(recipe, BATCH)
    return create_run(folder, make_config(recipe.model("mnext", 3), recipe, data, init="trained"))


def plan(recipe=None, *, model=None, data=True, source=None, task=None, teacher=None, **given):
    return plan_training(model, recipe, given, options={}, has_data=data, source=source, task=task, teacher=teacher)


def test_data_with_boxes_and_a_recipe_for_classifiers(boxes):
    with pytest.raises(ConfigError, match=r"trains a classifier; few is .* detection\. .*--recipe=finetune_detector"):
        plan("photos").for_data(boxes)
    with pytest.raises(ConfigError, match="trains a classifier"):
        plan(task="classification").for_data(boxes)


def test_images_without_boxes_and_a_recipe_of_a_detector(few_images, detector):
    for planned in (plan("scenes"), plan(task="detection"), plan(source=detector)):
        with pytest.raises(ConfigError, match=r"needs images with boxes; few is .*--task=classification"):
            planned.for_data(few_images)


def test_validation_without_a_box_chooses_no_epoch(tmp_path, boxes):
    empty = dataclasses.replace(boxes, box_counts={"train": (1, 1, 1), "validation": (0, 0, 0)})
    with pytest.raises(DataError, match=r"No validation image of few has a box.*--validation_share"):
        start_run(tmp_path / "new", "mnext", resolve_recipe("scenes", BATCH), empty)


def test_a_named_recipe_says_how_a_detector_is_trained(detector):
    theirs = detector.config.detection
    assert plan(source=detector).recipe.detection.settings() == theirs
    named = plan("ssdlite_coco", source=detector, priors="voc").recipe.detection
    assert (named.scoring, named.score_threshold, named.priors) == ("sigmoid", 0.05, "voc")


@pytest.mark.parametrize(
    ("classes", "priors", "images"), [(3, "voc", 200), (80, "coco", 200), (1000, "voc", 32), (300, "voc", 68)]
)
def test_fewer_images_are_kept_of_detectors_with_many_classes(classes, priors, images):
    model = ModelConfig("mobilenet_v2", num_classes=classes, input_size=320, priors=priors)
    assert images_to_verify("imported", model) == images
    assert images_to_verify("random", model) == 32
    assert images_to_verify("imported", dataclasses.replace(model, priors="")) == 1000


def test_a_network_that_no_detector_is_built_on(boxes):
    with pytest.raises(ConfigError, match="must be one of mnext, mobilenet_v2, mobilenet_v1; received 'mnext_s'"):
        plan(model="mnext_s", task="detection")
    with pytest.raises(ConfigError, match="must be one of mnext, mobilenet_v2, mobilenet_v1; received 'mnext_s'"):
        plan(model="mnext_s").for_data(boxes)


def test_a_classifier_takes_the_backbone_of_a_detector(detector):
    planned = plan(source=detector, task="classification")
    assert (planned.recipe.detection, planned.model, planned.recipe.width) == (
        None,
        "mnext",
        detector.config.model.width,
    )


def test_detectors_have_no_quantization_aware_training(classifier, detector):
    for given in ({"task": "detection"}, {"source": detector}, {"recipe": "scenes"}):
        with pytest.raises(ConfigError, match="qat is for classifiers; export a detector"):
            plan(**given, qat=True)
    assert plan(source=classifier, qat=True).recipe.qat


def test_neither_learns_nor_teaches_a_detector(tmp_path, boxes, few_images, classifier, detector):
    with pytest.raises(ConfigError, match="--teacher is for classifiers"):
        plan(task="detection", teacher=classifier)
    with pytest.raises(ConfigError, match="--teacher is for classifiers"):
        plan(teacher=classifier).for_data(boxes)
    with pytest.raises(ConfigError, match=rf"The teacher {detector.folder} is a detector"):
        plan("digits", teacher=detector)
    with pytest.raises(ConfigError, match=rf"The teacher {detector.folder} is a detector"):
        start_run(tmp_path / "new", "mnext", resolve_recipe("digits", BATCH), few_images, teacher=detector)
    assert not (tmp_path / "new").exists()


def test_a_run_is_resumed_for_its_own_task(classifier, detector):
    with pytest.raises(ConfigError, match=r"--task=classification contradicts .* was started with task=detection"):
        resume_run(detector.folder, {"task": "classification"})
    with pytest.raises(ConfigError, match=r"--priors=coco contradicts .* was started with priors=voc"):
        resume_run(detector.folder, {"priors": "coco"})
    with pytest.raises(ConfigError, match=r"--priors=voc contradicts .* is for classification"):
        resume_run(classifier.folder, {"priors": "voc"})
    assert resume_run(detector.folder, {"task": "detection", "priors": "voc"}) == detector


def test_a_run_goes_on_with_data_of_its_task(boxes, few_images, classifier, detector):
    check_same_data(detector, boxes)
    with pytest.raises(ConfigError, match="detector is for detection, the data 'few' for classification"):
        check_same_data(detector, few_images)
    with pytest.raises(ConfigError, match="classifier is for classification, the data 'few' for detection"):
        check_same_data(classifier, boxes)
