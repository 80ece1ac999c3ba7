"""The files for apps: probabilities, MediaPipe, and an Android project's assets."""

import hashlib
import itertools
import json

import numpy as np
import pytest
from scipy.special import softmax

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.export import app_assets
from mnext_tf.inference.image_stream import Images
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.metadata import read_metadata
from mnext_tf.tflite.operators import read_operators
from mnext_tf.tflite.softmax import add_softmax

KINDS = ("float32", "int8")


@pytest.fixture(scope="module")
def apps(exported):
    """kind -> the stage of `app_assets.for_apps`."""
    return {kind: app_assets.for_apps(exported, kind) for kind in KINDS}


def path_of(stage):
    return stage.folder / stage.result["file"]


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_probabilities_are_the_softmax_of_the_logits_file(exported, apps, pixels, kind):
    logits = TFLiteNetwork(exported.stage(f"tflite_{kind}") / exported.manifest(f"tflite_{kind}")["result"]["file"])
    network = TFLiteNetwork(path_of(apps[kind]))
    assert (logits.output, network.output) == ("logits", "probabilities")
    np.testing.assert_allclose(network(pixels), softmax(logits(pixels), axis=1), atol=1e-6)
    assert path_of(apps[kind]).name == f"mnext_0.35_32_{kind}_probabilities.tflite"


def test_an_int8_file_takes_pixels_as_they_are(apps):
    result = apps["int8"].result
    assert (result["input"]["dtype"], result["input"]["scale"], result["input"]["zero_point"]) == ("uint8", 1.0, 0)
    assert result["output"]["dtype"] == "float32"
    kinds = [op.kind for op in read_operators(path_of(apps["int8"]))]
    assert (kinds[0], kinds[-2:]) == ("QUANTIZE", ["DEQUANTIZE", "SOFTMAX"])


@pytest.mark.parametrize("kind", KINDS)
def test_weights_are_those_of_the_logits_file(exported, apps, kind):
    before = exported.stage(f"tflite_{kind}") / exported.manifest(f"tflite_{kind}")["result"]["file"]
    a, b = (flatbuffer.read_model(path.read_bytes()) for path in (before, path_of(apps[kind])))
    weights = lambda tree: [bytes(buffer.data) for buffer in tree.buffers[:-1] if buffer.data is not None]
    assert len(weights(a)) > 50
    assert set(weights(a)) <= set(weights(b))


def test_it_says_that_it_output_probabilities_and_is_verified(exported, apps):
    for kind in KINDS:
        assert read_metadata(path_of(apps[kind])).labels == tuple(exported.config.class_names)
        assert apps[kind].result["verify"]["passed"]
    measured = apps["float32"].result["verify"]["networks"]["tflite"]
    assert measured["max_relative_difference"] < 1e-4


def test_a_wrong_network_does_not_pass(exported, apps):
    """Probabilities of logits that are 2 % off are told from the right ones."""
    from mnext_tf.tasks import Classification

    logits = np.random.default_rng(1).normal(0, 3, (20, 10)).astype(np.float32)
    assert (
        Classification().compare(softmax(logits, axis=1), logits, None, output="probabilities")[
            "max_relative_difference"
        ]
        < 1e-6
    )
    assert (
        Classification().compare(softmax(1.02 * logits, axis=1), logits, None, output="probabilities")[
            "max_relative_difference"
        ]
        > 1e-3
    )


def test_a_second_softmax_is_refused(apps):
    with pytest.raises(ExportError, match="one output named logits"):
        add_softmax(path_of(apps["float32"]).read_bytes())


@pytest.mark.slow
def test_verify_and_evaluate_know_these_files(exported, apps):
    from mnext_tf.evaluation.verify_run import verify_run
    from mnext_tf.inference.predictor import open_exports
    from mnext_tf.tasks.tolerance import Tolerance

    verified = verify_run(exported, Tolerance())
    assert verified["passed"], verified["failures"]
    assert "tflite_int8_probabilities" in verified["networks"]
    assert any(n.path == path_of(apps["int8"]) for n in open_exports(exported))


def test_publish_puts_all_that_an_app_needs_into_the_assets(exported, apps, tmp_path):
    assets = tmp_path / "main" / "assets"
    with pytest.raises(ConfigError, match="no assets folder"):
        app_assets.publish(exported, apps["int8"], assets)
    assets.parent.mkdir()
    written = app_assets.publish(exported, apps["int8"], assets)
    name = "mnext_0.35_32_int8"
    assert sorted(p.name for p in assets.iterdir()) == sorted(p.name for p in written)
    record = json.loads((assets / f"{name}.json").read_text())
    content = (assets / record["file"]).read_bytes()
    assert content == path_of(apps["int8"]).read_bytes()
    assert (record["bytes"], record["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert (assets / record["labels"]).read_text().splitlines() == list(exported.config.class_names)
    pixels = np.frombuffer((assets / record["golden"]["input"]).read_bytes(), np.uint8).reshape(1, 32, 32, 3)
    assert pixels.std() > 20  # a photograph
    assert record["golden"]["tolerance"] == pytest.approx(0.02 * max(record["golden"]["output"]))  # random weights
    assert np.abs(np.array(record["golden"]["output"]) - 0.1).max() > record["golden"]["tolerance"]  # of 10 classes
    given = TFLiteNetwork(assets / record["file"])(pixels.astype(np.float32))
    np.testing.assert_allclose(given[0], record["golden"]["output"], atol=1e-6)


def test_a_publication_that_fails_leaves_no_description_of_other_files(exported, apps, tmp_path, monkeypatch):
    assets = tmp_path / "assets"
    app_assets.publish(exported, apps["int8"], assets)
    monkeypatch.setattr(app_assets, "atomic_write", lambda path: (_ for _ in ()).throw(OSError("the disk is full")))
    with pytest.raises(OSError, match="full"):
        app_assets.publish(exported, apps["int8"], assets)
    assert not list(assets.glob("*.json"))


def test_a_classifiers_record_is_that_of_the_first_apps(exported, apps, tmp_path):
    """Installed apps read it: its fields, in this order, are all there are."""
    record = json.loads(app_assets.publish(exported, apps["float32"], tmp_path / "assets")[-1].read_text())
    assert record["format"] == 1
    assert " ".join(record) == "format name title file bytes sha256 labels input_size golden"
    assert " ".join(record["golden"]) == "input output tolerance gpu_tolerance"


@pytest.mark.parametrize("kind", KINDS)
def test_a_detectors_record_has_what_it_finds_in_the_golden_image(published_detector, kind):
    from mnext_tf.inference.predictor import open_predictor

    path = published_detector(kind)
    record = json.loads(path.read_text())
    golden = record["golden"]
    assert (path.name, record["file"], record["format"]) == ("toy.json", "toy.tflite", 2)  # the first apps know 1
    pixels = np.frombuffer((path.parent / golden["input"]).read_bytes(), np.uint8).reshape(1, 64, 64, 3)
    with open_predictor(path.parent / record["file"]) as network:
        found = network.predict(pixels)[0].above(0.3)
    assert len(found) > 3
    assert [d["score"] for d in golden["detections"]] == pytest.approx(found.scores)
    assert [d["class"] for d in golden["detections"]] == found.labels.tolist()
    np.testing.assert_allclose([d["box"] for d in golden["detections"]], found.boxes, atol=1e-6)
    assert (golden["above"], golden["min_iou"], golden["tolerance"]) == (0.3, 0.9, 0.05)
    assert "x_min, y_min, x_max, y_max" in golden["meaning"]


def test_the_golden_boxes_of_an_unsure_detector_are_its_best_few(published_detector, monkeypatch):
    monkeypatch.setattr(app_assets, "SHOWN", 0.99)
    golden = json.loads(published_detector("float32").read_text())["golden"]
    scores = [d["score"] for d in golden["detections"]]
    assert len(scores) == app_assets.FEW
    assert golden["above"] == scores[-1] == min(scores) < 0.99


def test_a_detector_that_finds_nothing_has_no_golden_boxes(published_detector):
    golden = json.loads(published_detector("float32", score_threshold=0.999).read_text())["golden"]
    assert (golden["detections"], golden["above"], golden["tolerance"]) == ([], 0.3, 0.0)


@pytest.fixture(scope="module")
def classify():
    """`classify(path, image)`: MediaPipe's [(class name, probability), ...], best first, for uint8 (h, w, 3)."""
    mediapipe = pytest.importorskip("mediapipe", reason="MediaPipe is not installed: make extras")
    from mediapipe.tasks.python import BaseOptions, vision

    opened = {}

    def classify(path, image):
        if path not in opened:
            options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=str(path)), max_results=3)
            opened[path] = vision.ImageClassifier.create_from_options(options)
        result = opened[path].classify(mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=image))
        return [(c.category_name, c.score) for c in result.classifications[0].categories]

    yield classify
    for classifier in opened.values():
        classifier.close()


@pytest.mark.mediapipe
@pytest.mark.parametrize("kind", KINDS)
def test_mediapipe_output_our_probabilities(exported, apps, classify, pixels, kind):
    network, labels = TFLiteNetwork(path_of(apps[kind])), exported.config.class_names
    for image in pixels:
        names, scores = zip(*classify(path_of(apps[kind]), image.astype(np.uint8)), strict=True)
        ours = network(image[None])[0]
        np.testing.assert_allclose(scores, np.sort(ours)[:-4:-1], atol=1e-5)
        np.testing.assert_allclose(scores, [ours[labels.index(name)] for name in names], atol=1e-5)  # some are equal
        assert len(set(names)) == 3


@pytest.mark.mediapipe
def test_mediapipe_loads_the_files_with_logits_too(exported, classify, pixels):
    """But those with int8 input, which it does not take from anybody."""
    from mnext_tf.export.stages import tflite

    for stage in (tflite(exported, "float32"), tflite(exported, "int8", io_type="uint8")):
        network = TFLiteNetwork(path_of(stage))
        name, score = classify(path_of(stage), pixels[0].astype(np.uint8))[0]
        ours = network(pixels[:1])[0]
        assert name == exported.config.class_names[ours.argmax()]
        assert score == pytest.approx(ours.max(), rel=1e-4)
    with pytest.raises(ValueError, match="uint8/float32, got INT8"):
        classify(path_of(tflite(exported, "int8")), pixels[0].astype(np.uint8))


@pytest.mark.mediapipe
@pytest.mark.shared
@pytest.mark.parametrize("kind", KINDS)
def test_mediapipe_on_sample_photographs(imported, sample_images_500, classify, kind):
    """Real weights. On images that we cropped MediaPipe gives our probabilities; whole ones it squashes to a square.

    That changes top-1 on 72 of all 500 (ours moves as much when we squash), and makes it right as often: 430
    times, ours 431.
    """
    from PIL import Image

    from mnext_tf.inference.image_stream import images_in_folder, preprocessed
    from mnext_tf.inference.predictor import open_predictor

    file = path_of(app_assets.for_apps(imported, kind))
    network = open_predictor(file, format="tflite")
    folder = sample_images_500[0].parent
    images = images_in_folder(folder, network.labels)
    every_tenth = Images(images.name, 50, True, lambda: itertools.islice(images.items(), 0, None, 10))
    ours_right = theirs_right = count = 0
    for batch in preprocessed(every_tenth, [network.preprocess], 10, progress=False):
        pixels = np.rint(batch.pixels[network.preprocess])
        for name, image, given, label in zip(batch.names, pixels, network.predict(pixels), batch.labels, strict=True):
            first, score = classify(file, np.ascontiguousarray(image.astype(np.uint8)))[0]
            assert first == network.labels[given.argmax()]
            assert score == pytest.approx(given.max(), abs=1e-3)
            whole = np.asarray(Image.open(folder / name).convert("RGB"))
            theirs_right += classify(file, whole)[0][0] == network.labels[label]
            ours_right += given.argmax() == label
            count += 1
    assert count == 50
    assert abs(theirs_right - ours_right) <= 4
