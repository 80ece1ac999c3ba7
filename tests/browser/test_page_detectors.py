"""Detectors on the page find what Python finds with the same file, in every form that a browser runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from support.detectors import toy_decoding, toy_images

from mnext_tf.browser.models import page_models
from mnext_tf.data.preprocess import eval_image
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.models.priors import make_priors

pytestmark = [pytest.mark.browser, pytest.mark.slow]

FORMS = [("float32", "two"), ("float32", "four"), ("int8", "two"), ("int8", "four")]


@pytest.fixture(scope="module")
def files(toy_file):
    return [toy_file(*form) for form in FORMS]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "toy.png"
    Image.fromarray(toy_images(1, seed=5)[0].astype(np.uint8)).save(path)
    return path


def test_boxes_classes_and_scores_are_those_of_python(server, open_page, show, files, picture):
    with open_page(server) as page:
        assert page.locator("#model option").count() == len(files)
        page.fill("#score", "0.3")
        for i, path in enumerate(files):
            page.select_option("#model", index=i)
            found = show(page, picture)
            with open_predictor(path) as network:
                (wanted,) = network.predict(eval_image(picture.read_bytes(), network.preprocess).numpy()[None])
            wanted = wanted.above(0.3)
            assert len(wanted) > 2, path
            assert [int(item["index"]) for item in found] == list(wanted.labels), path
            np.testing.assert_allclose([float(item["value"]) for item in found], wanted.scores, atol=0.01)
            boxes = np.array([json.loads(item["box"]) for item in found])
            np.testing.assert_allclose(boxes, wanted.boxes, atol=0.005, err_msg=str(path))


def test_their_checks_pass(server, open_page, check_all):
    with open_page(server, viewport={"width": 390, "height": 844}) as page:
        assert check_all(page) == "All passed.", page.inner_text("#checks")
        assert "the GPU computed a part" in page.inner_text("#checks")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_boxes_stand_on_the_picture_and_the_minimum_score_hides_them(server, open_page, show, picture):
    count = "() => document.querySelectorAll('#results li[data-index]').length"
    colored = "() => document.getElementById('canvas').toDataURL()"
    with open_page(server) as page:
        show(page, picture)
        many, drawn = page.evaluate(count), page.evaluate(colored)
        page.evaluate("() => { Worker.prototype.postMessage = () => { throw new Error('The network ran again.'); }; }")
        page.fill("#score", "0.95")
        assert page.evaluate(count) < many
        assert page.evaluate(colored) != drawn
        assert page.locator("#remark.bad").count() == 0
        assert page.get_by_role("slider", name="Minimum score").count() == 1


@pytest.mark.parametrize("scoring", ["softmax", "sigmoid"])
def test_raw_outputs_are_decoded_and_suppressed_as_in_python(server, open_page, scoring):
    priors = make_priors("voc", 96)
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (1, len(priors), 5)).astype(np.float32)
    logits[0, 20:40] = logits[0, 20]  # equal scores
    packed = np.concatenate([logits, rng.normal(0, 1, (1, len(priors), 4)).astype(np.float32)], -1)
    how = toy_decoding(form="raw", scoring=scoring, max_detections=50)
    (wanted,) = how.detect(packed, priors)
    run = """async ({ logits, boxes, how, priors }) => (await import('/boxes.js')).detections(
      { class_logits: Float32Array.from(logits), box_regression: Float32Array.from(boxes) },
      how, Float32Array.from(priors))"""
    given = {"logits": logits.ravel().tolist(), "boxes": packed[..., -4:].ravel().tolist()}
    with open_page(server) as page:
        found = page.evaluate(run, {**given, "how": how.to_dict(), "priors": priors.ravel().tolist()})
    assert [item["label"] for item in found] == list(wanted.labels)
    np.testing.assert_allclose([item["score"] for item in found], wanted.scores, atol=1e-5)
    np.testing.assert_allclose([item["box"] for item in found], wanted.boxes, atol=1e-4)


def test_an_int8_file_of_raw_outputs_is_refused(toy_file):
    shown, (refused,) = page_models([toy_file("int8", "raw"), toy_file("float32", "two")])
    assert len(shown) == 1
    assert "takes int8" in refused.why
