"""Real ImageNet weights on real photographs, in every form: what a user would see."""

import itertools
import shutil

import numpy as np
import pytest

pytestmark = pytest.mark.shared

IMAGES = 100  # of 500: each costs a fifth of a second over all forms


@pytest.fixture(scope="module")
def networks(imported, tmp_path_factory):
    from mnext_tf.export.stages import tflite
    from mnext_tf.inference.predictor import open_exports, open_predictor
    from mnext_tf.runs.run import open_run

    run = open_run(shutil.copytree(imported.folder, tmp_path_factory.mktemp("imported") / "run"))
    for stage in run.folder.glob("tflite_*"):  # that other tests made
        shutil.rmtree(stage)
    tflite(run, "float32")
    return [open_predictor(run), *open_exports(run)]


@pytest.fixture(scope="module")
def images(sample_images_500, networks):
    from mnext_tf.inference.image_stream import Images, images_in_folder

    everything = images_in_folder(sample_images_500[0].parent, networks[0].labels)
    step = everything.count // IMAGES
    return Images(everything.name, IMAGES, True, lambda: itertools.islice(everything.items(), 0, None, step))


@pytest.mark.slow
def test_all_forms_agree_on_every_image_with_one_another_and_with_keras_applications(
    networks, images, real_weights, tmp_path
):
    import tensorflow as tf

    from mnext_tf.evaluation.accuracy import evaluate
    from mnext_tf.inference.image_stream import preprocessed

    result = evaluate(networks, images, tmp_path / "evaluation")
    assert [n["format"] for n in result["networks"]] == ["keras", "saved_model", "frozen", "tflite"]
    assert {n["same_top1_as_keras"] for n in result["networks"]} == {1.0}

    theirs = tf.keras.applications.MobileNetV2(weights=None, classifier_activation=None)
    theirs.load_weights(real_weights)
    preprocess, right = networks[0].preprocess, 0
    for batch in preprocessed(images, [preprocess], 10):
        pixels = tf.keras.applications.mobilenet_v2.preprocess_input(batch.pixels[preprocess].copy())
        right += int((np.argmax(theirs(pixels, training=False), 1) == batch.labels).sum())
    assert {n["correct"] for n in result["networks"]} == {right}
    assert right >= 0.8 * IMAGES  # measured: 86.2 % of all 500


def test_the_tench_is_named(networks, sample_images_500):
    from mnext_tf.inference.image_stream import images_of_paths

    (row,) = networks[-1].predict_images(images_of_paths([sample_images_500[0].with_name("n01440764_tench.JPEG")]))
    assert row["predictions"][0]["name"] == "tench"
    assert row["predictions"][0]["probability"] > 0.8
    assert len(row["predictions"]) == 5
