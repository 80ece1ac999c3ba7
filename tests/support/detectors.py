"""A detector of 160 priors with random weights, as .tflite files, and NumPy's account of what it detects."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest

from mnext_tf.data.preprocess import Preprocess
from mnext_tf.tflite.detector import Decoding
from mnext_tf.tflite.detector_metadata import add_detector_metadata
from mnext_tf.tflite.metadata import Metadata
from mnext_tf.tflite.postprocess import four_outputs, two_outputs

SIZE, CLASSES = 64, 3
ABOUT = Metadata(name="Toy", labels=("cat", "dog", "red car"))
GRIDS = ((8, ((0.35, 0.5), (0.6, 0.3))), (4, ((0.9, 0.6), (0.5, 0.8))))  # cells a side, (w, h) of its priors


def toy_priors() -> np.ndarray:
    """Center form, (160, 4), in order of the network's rows."""
    rows = []
    for cells, sizes in GRIDS:
        centers = (np.arange(cells) + 0.5) / cells
        rows += [(x, y, w, h) for y in centers for x in centers for w, h in sizes]
    return np.array(rows, np.float32)


def toy_decoding(**changes) -> Decoding:
    return Decoding(input_size=SIZE, **{"score_threshold": 0.3, "iou_threshold": 0.5, "max_detections": 20, **changes})


def toy_detector():
    """A Keras network of images (1, 64, 64, 3) to `class_logits` and `box_regression`, both of four columns."""
    import keras

    keras.utils.set_random_seed(0)
    image = keras.Input((SIZE, SIZE, 3), batch_size=1)
    x = keras.layers.Rescaling(1 / 127.5, -1)(image)
    x = keras.layers.Conv2D(16, 3, strides=4, padding="same", activation="relu6")(x)
    x = keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu6")(x)
    levels = [x, keras.layers.Conv2D(32, 3, strides=2, padding="same", activation="relu6")(x)]
    outputs = {}
    for name, columns, spread in (("class_logits", CLASSES + 1, 1.5), ("box_regression", 4, 0.4)):
        heads = [keras.layers.Conv2D(2 * columns, 1, kernel_initializer=_normal(spread, i)) for i in range(2)]
        flat = [keras.layers.Reshape((-1, columns))(head(x)) for head, x in zip(heads, levels, strict=True)]
        outputs[name] = keras.layers.Concatenate(axis=1, name=name)(flat)
    return keras.Model(image, outputs)


def _normal(spread: float, seed: int):
    import keras

    return keras.initializers.RandomNormal(stddev=spread, seed=seed)


def convert_detector(model, precision: str) -> bytes:
    """The raw .tflite file, "float32" or "int8", of a Keras network with a dict of outputs."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    image = tf.TensorSpec((1, SIZE, SIZE, 3), tf.float32, name="image")
    frozen = convert_variables_to_constants_v2(tf.function(model).get_concrete_function(image))
    names = sorted(model.output_names)  # the order in which TensorFlow flattens a dict
    servable = tf.Module()
    servable.serve = tf.function(lambda image: dict(zip(names, frozen(image), strict=True)), input_signature=[image])
    converter = tf.lite.TFLiteConverter.from_concrete_functions([servable.serve.get_concrete_function()], servable)
    if precision == "int8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([image[None]] for image in toy_images(20))
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def toy_images(count: int, seed: int = 0) -> np.ndarray:
    """Colored noise of coarse and fine grain, float32 (count, 64, 64, 3), whole numbers from 0 to 255."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 8, 8, 3)).repeat(8, 1).repeat(8, 2)
    return np.clip(np.rint(coarse + rng.normal(0, 30, (count, SIZE, SIZE, 3))), 0, 255).astype(np.float32)


@pytest.fixture(scope="session")
def toy_raw() -> dict[str, bytes]:
    """precision -> the converter's file."""
    model = toy_detector()
    return {precision: convert_detector(model, precision) for precision in ("float32", "int8")}


@pytest.fixture(scope="session")
def toy_file(toy_raw, tmp_path_factory):
    """`toy_file(precision, form, scoring)`: the path of a file with its metadata."""
    folder = tmp_path_factory.mktemp("detectors")

    def make(precision: str, form: str, scoring: str = "softmax"):
        path = folder / f"{precision}_{form}_{scoring}.tflite"
        if not path.exists():
            raw, how = toy_raw[precision], toy_decoding(form=form, scoring=scoring)
            made = {
                "raw": lambda: raw,
                "two": lambda: two_outputs(raw, how),
                "four": lambda: four_outputs(raw, how, toy_priors()),
            }[form]()
            path.write_bytes(add_detector_metadata(made, ABOUT, how, toy_priors()))
        return path

    return make


@pytest.fixture(scope="session")
def published_detector(toy_file, tmp_path_factory):
    """`published_detector(precision)`: NAME.json of the toy detector in the assets of an app."""
    from mnext_tf.export.app_assets import publish

    def make(precision: str, **changes):
        folder = tmp_path_factory.mktemp("app")
        preprocess = Preprocess(SIZE, 1.0, "bilinear", "squash")
        decoding = toy_decoding(form="four", **changes)
        about = dataclasses.replace(ABOUT, preprocess=preprocess.to_dict())
        four = four_outputs(toy_file(precision, "raw").read_bytes(), decoding, toy_priors())
        (folder / "toy_detections.tflite").write_bytes(add_detector_metadata(four, about, decoding))
        (folder / "labels.txt").write_text("\n".join(ABOUT.labels) + "\n")
        run = SimpleNamespace(config=SimpleNamespace(preprocess=preprocess))
        stage = SimpleNamespace(folder=folder, result={"file": "toy_detections.tflite"})
        return publish(run, stage, folder / "assets")[-1]

    return make


def expected_scores(logits: np.ndarray, scoring: str) -> np.ndarray:
    """(priors, classes) from (priors, classes + 1)."""
    from scipy.special import expit, softmax

    return softmax(logits, axis=-1)[:, 1:] if scoring == "softmax" else expit(logits)[:, 1:]


def expected_boxes(regression: np.ndarray) -> np.ndarray:
    """(priors, 4) as x_min, y_min, x_max, y_max."""
    start = toy_priors()
    centers = start[:, :2] + 0.1 * regression[:, :2] * start[:, 2:]
    sizes = start[:, 2:] * np.exp(0.2 * regression[:, 2:])
    return np.concatenate([centers - sizes / 2, centers + sizes / 2], axis=1)


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of one box (4,) with boxes (n, 4)."""
    shared = np.clip(np.minimum(a[2:], b[:, 2:]) - np.maximum(a[:2], b[:, :2]), 0, None).prod(1)
    return shared / ((a[2:] - a[:2]).prod() + (b[:, 2:] - b[:, :2]).prod(1) - shared)


def greedy(boxes: np.ndarray, scores: np.ndarray, threshold: float, overlap: float) -> list[int]:
    """Indices of the boxes that stay, best first."""
    kept, order = [], [i for i in np.argsort(-scores, kind="stable") if scores[i] >= threshold]
    for i in order:
        if not kept or box_iou(boxes[i], boxes[kept]).max() <= overlap:
            kept.append(i)
    return kept


def expected_detections(packed: np.ndarray, how: Decoding, *, per_class: bool = True, overlap: float | None = None):
    """[(class, score, box)], best first, of packed outputs (priors, classes + 5).

    per_class False is MediaPipe's suppression: the best class of each prior, and boxes of all classes in one go.
    """
    scores, boxes = expected_scores(packed[:, :-4], how.scoring), expected_boxes(packed[:, -4:])
    overlap, found = overlap or how.iou_threshold, []
    if per_class:
        for k in range(scores.shape[1]):
            found += [(k, scores[i, k], boxes[i]) for i in greedy(boxes, scores[:, k], how.score_threshold, overlap)]
    else:
        best = scores.argmax(1)
        kept = greedy(boxes, scores.max(1), how.score_threshold, overlap)
        found = [(int(best[i]), scores[i, best[i]], boxes[i]) for i in kept]
    return sorted(found, key=lambda item: -item[1])[: how.max_detections]
