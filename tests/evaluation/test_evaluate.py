"""The same images through every form of a network: the same numbers, and files that add up."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import ConfigError, DataError, ExportError
from mnext_tf.evaluation.accuracy import check_same_classes, evaluate, format_table
from mnext_tf.evaluation.predictions import annotate, csv_rows, format_predictions
from mnext_tf.files import read_json
from mnext_tf.inference.image_stream import images_in_folder, images_of_dataset, images_of_paths, open_images
from mnext_tf.inference.predictor import open_exports, open_predictor
from mnext_tf.runs.run import open_run
from mnext_tf.tflite import flatbuffer


@pytest.fixture(scope="module")
def networks(run):
    return [open_predictor(run), *open_exports(run)]


@pytest.fixture(scope="module")
def evaluated(networks, labelled, tmp_path_factory, collect_log):
    out = tmp_path_factory.mktemp("out") / "evaluation"
    with collect_log() as lines:
        result = evaluate(networks, images_in_folder(labelled, networks[0].labels), out)
    return result, out, lines


def rows(path):
    with open(path, newline="", encoding="utf-8") as f:
        return list(csv.DictReader(f))


def test_every_form_says_the_same(evaluated):
    result, _, _ = evaluated
    assert [r["format"] for r in result["networks"]] == ["keras", "saved_model", "frozen", "tflite"]
    names = [r["network"] for r in result["networks"]]
    assert names == ["net keras", "net saved_model", "net frozen", "net tflite_float32"]
    assert {r["same_top1_as_keras"] for r in result["networks"]} == {1.0}
    assert len({r["correct"] for r in result["networks"]}) == 1


def test_the_network_tells_the_images_apart(evaluated):
    result, out, _ = evaluated
    predictions = rows(out / result["networks"][0]["folder"] / "predictions.csv")
    assert len({p["top1"] for p in predictions}) >= 2
    assert np.ptp([float(p["probability1"]) for p in predictions]) > 0.1


def test_damaged_images_are_left_out_and_listed(evaluated):
    result, out, lines = evaluated
    assert (result["images"], result["skipped"]) == (11, 1)
    assert [r["file"] for r in rows(out / "skipped.csv")] == ["photo 05 é.jpg"]
    assert "photo 05 é.jpg" in lines[0]


def test_predictions_add_up_to_the_accuracy(evaluated):
    result, out, _ = evaluated
    for row in result["networks"]:
        predictions = rows(out / row["folder"] / "predictions.csv")
        assert len(predictions) == 11
        assert sum(p["top1"] == p["label_name"] for p in predictions) == row["correct"] == round(11 * row["top1"])
        assert all(int(p["label"]) == int(p["file"][6:8]) % 4 for p in predictions)
        top = [[float(p[f"probability{k}"]) for k in range(1, 5)] for p in predictions]
        np.testing.assert_allclose(np.sum(top, 1), 1, atol=1e-4)  # of 4 classes, the first 4
        assert all(sorted(p, reverse=True) == p for p in top)
        classes = rows(out / row["folder"] / "per_class.csv")
        assert sum(int(c["images"]) for c in classes) == 11
        assert sum(int(c["correct"]) for c in classes) == row["correct"]
    assert [r["network"] for r in rows(out / "comparison.csv")] == [r["network"] for r in result["networks"]]
    assert read_json(out / "evaluation.json")["images"] == 11


def test_the_confusion_picture_is_a_picture(evaluated):
    result, out, _ = evaluated
    with Image.open(out / result["networks"][0]["folder"] / "confusion.png") as picture:
        assert min(picture.size) > 400
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_the_table_names_every_network(evaluated):
    result, _, _ = evaluated
    text = format_table(result)
    assert all(row["network"] in text for row in result["networks"])
    assert f"{result['networks'][0]['correct']}/11" in text


def test_probabilities_are_those_of_keras_by_hand(networks, labelled, evaluated):
    """Pillow decodes and resizes, Keras predicts, image by image."""
    result, out, _ = evaluated
    keras, checked = networks[0], 0
    for p in rows(out / result["networks"][-1]["folder"] / "predictions.csv"):
        image = Image.open(labelled / p["file"]).convert("RGB")
        assert image.size == (70, 50)
        side = keras.preprocess.resize_size
        image = image.resize((side * 70 // 50, side), Image.Resampling[keras.preprocess.interpolation.upper()])
        left, top = round((image.width - 32) / 2), round((image.height - 32) / 2)
        pixels = np.asarray(image.crop((left, top, left + 32, top + 32)), np.float32)
        logits = keras.logits(pixels[None])[0]
        expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        got = {p[f"top{k}"]: float(p[f"probability{k}"]) for k in range(1, 5)}
        for i, name in enumerate(keras.labels):
            assert got[name] == pytest.approx(expected[i], abs=0.05)  # Pillow rounds to whole levels
            checked += 1
    assert checked == 44


def test_validation_images_of_a_run_and_records_by_folder(run):
    from mnext_tf.runs.dataset import run_dataset

    dataset = run_dataset(run)
    images = images_of_dataset(dataset)
    items = list(images.items())
    assert len(items) == images.count == dataset.splits["validation"]
    assert items[0].name.startswith("digit-")
    assert 0 <= items[0].label < 10
    again = open_images(str(dataset.folder), dataset.class_names)
    assert [i.name for i in again.items()] == [i.name for i in items]


def test_predictions_of_single_files_and_folders(networks, labelled, tmp_path):
    paths = [labelled / "photo 03 é.jpg", labelled]
    images = images_of_paths(paths)
    predictions = networks[-1].predict_images(images, top=2)
    assert len(predictions) == 12  # the one by itself, and 11 of 12
    assert [name.rsplit("/")[-1] for name, _ in images.skipped] == ["photo 05 é.jpg"]
    first = predictions[0]["predictions"]
    assert len(first) == 2
    assert first[0]["probability"] >= first[1]["probability"] > 0
    assert first == next(p for p in predictions[1:] if "photo 03" in p["file"])["predictions"]
    table = csv_rows(predictions)
    assert [r["rank"] for r in table[:3]] == [1, 2, 1]
    assert "photo 03 é.jpg" in format_predictions(predictions)
    written = annotate(networks[-1], images_of_paths(paths[:1]), predictions[:1], tmp_path / "seen")
    with Image.open(written[0]) as picture:
        assert picture.width > 2 * picture.height


def test_files_without_what_lies_beside_them(run, tmp_path, log_lines):
    path = open_exports(run)[-1].path
    alone = tmp_path / "alone.tflite"
    model = flatbuffer.read_model(path.read_bytes())
    model.metadata = []
    alone.write_bytes(flatbuffer.write_model(model))
    lines = log_lines
    network = open_predictor(alone, format="tflite")
    assert network.preprocess == Preprocess(32, 0.875, "bilinear")
    assert network.labels[:2] == ("class 0", "class 1")
    assert "preprocess.json" in lines[0]
    assert "labels.txt" in lines[1]
    with pytest.raises(ConfigError, match=r"4 classes, but there are 2 class names"):
        open_predictor(alone, labels=("a", "b"), format="tflite")
    with pytest.raises(ConfigError, match="takes 32 pixels, its preprocessing gives 64"):
        open_predictor(alone, preprocess={"input_size": 64}, format="tflite")
    changed = open_predictor(path, preprocess={"crop_fraction": 1.0}, format="tflite").preprocess
    assert changed == replace(open_predictor(path, format="tflite").preprocess, crop_fraction=1.0)


@pytest.mark.parametrize(
    ("form", "name", "error", "words"),
    [
        ("tflite", "missing.tflite", ConfigError, "does not exist"),
        ("tflite", "text.tflite", ExportError, "cannot be run as TFLite"),
        ("frozen", "text.tflite", ExportError, "no frozen graph"),
        ("saved_model", "text.tflite", ConfigError, "is a file"),
        ("saved_model", "empty", ExportError, "cannot be read as saved_model"),
        ("tflite", "empty", ConfigError, "is a folder"),
    ],
)
def test_what_is_no_network_is_named(tmp_path, form, name, error, words):
    (tmp_path / "text.tflite").write_text("hello")
    (tmp_path / "empty").mkdir()
    with pytest.raises(error, match=words):
        open_predictor(tmp_path / name, format=form)


def test_networks_of_other_classes_are_not_compared(networks):
    other = replace(networks[0], name="other", labels=("a", "b", "c", "d"))
    with pytest.raises(ConfigError, match="class 0 is 'class 0' in one and 'a' in the other"):
        check_same_classes([networks[0], other])


def test_labels_beyond_the_classes_and_images_without_labels_are_refused(networks, write_sample_images, tmp_path):
    folder = write_sample_images(tmp_path / "beyond", {"a.jpg": 3, "b.jpg": 4})
    with pytest.raises(DataError, match=r"4.*4|5.*4"):
        images_in_folder(folder, networks[0].labels)
    (folder / "labels.csv").unlink()
    with pytest.raises(DataError, match="no labels"):
        evaluate(networks[:1], images_in_folder(folder, networks[0].labels), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_results_replace_results_and_nothing_else(run, networks, labelled, tmp_path):
    images = images_in_folder(labelled, networks[0].labels)
    out = tmp_path / "out"
    evaluate(networks[:1], images, out)
    evaluate(networks[:1], images, out)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ConfigError, match="something other than an evaluation"):
        evaluate(networks[:1], images, tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ConfigError, match=r"\(config\.json\)"):
        evaluate(networks[:1], images, run.folder)
    assert run.weights.is_file()


def test_networks_of_the_same_name_have_folders_of_their_own(networks, labelled, tmp_path):
    result = evaluate([networks[0]] * 2, images_in_folder(labelled, networks[0].labels), tmp_path / "out")
    folders = [row["folder"] for row in result["networks"]]
    assert len(set(folders)) == 2
    assert all((tmp_path / "out" / folder / "confusion.png").is_file() for folder in folders)


def test_exports_of_other_weights_are_refused(run, tmp_path):
    import shutil

    copy = open_run(shutil.copytree(run.folder, tmp_path / "copy"))
    assert len(open_exports(copy)) == 3
    path = copy.stage("frozen") / "frozen.pb"
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(ExportError, match=r"frozen, tflite_float32 in .* was not made from what the run holds"):
        open_exports(copy)


def test_labels_from_1_in_a_list_file(networks, write_sample_images, tmp_path):
    folder = write_sample_images(tmp_path / "listed", {"a b.jpg": 1, "c.jpg": 4})
    (folder / "labels.csv").rename(folder / "val_list.txt")
    (folder / "val_list.txt").write_text("a b.jpg 1\nc.jpg 4\n")
    images = open_images(folder, networks[0].labels, label_offset=1)
    assert [(i.name, i.label) for i in images.items()] == [("a b.jpg", 0), ("c.jpg", 3)]


def test_notes_beside_an_evaluation_are_not_deleted(networks, labelled, tmp_path):
    images, out = images_in_folder(labelled, networks[0].labels), tmp_path / "out"
    evaluate(networks[:1], images, out)
    (out / "my_notes.txt").write_text("important")
    with pytest.raises(ConfigError, match=r"my_notes\.txt"):
        evaluate(networks[:1], images, out)
    assert (out / "my_notes.txt").read_text() == "important"


def test_files_of_another_kind_are_refused(tmp_path):
    import tensorflow as tf

    def write(name, inputs, outputs, quantized=False):
        converter = tf.lite.TFLiteConverter.from_keras_model(tf.keras.Model(inputs, outputs))
        if quantized:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = lambda: [[np.full((1, 8, 8, 3), v, np.float32)] for v in (-1, 0, 1)]
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = converter.inference_output_type = tf.uint8
        (tmp_path / name).write_bytes(converter.convert())
        return tmp_path / name

    image, oblong = tf.keras.Input((8, 8, 3), 1), tf.keras.Input((8, 6, 3), 1)
    flat = tf.keras.layers.Flatten()
    for path, words in (
        (write("two.tflite", [image, oblong], [flat(image)]), "takes one image"),
        (write("oblong.tflite", oblong, flat(oblong)), r"\(1, 8, 6, 3\)"),
        (write("map.tflite", image, tf.keras.layers.ReLU()(image)), "gives .1, classes"),
        (write("normalised.tflite", image, flat(image), quantized=True), r"takes values from -\S+ to 1, not pixels"),
    ):
        with pytest.raises(ExportError, match=words):
            open_predictor(path, format="tflite")


def test_names_that_are_no_text_and_links_to_nowhere(networks, labelled, tmp_path):
    import os
    import shutil

    shutil.copy(labelled / "photo 01 é.jpg", os.fsencode(tmp_path) + b"/caf\xe9.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    images = images_in_folder(tmp_path, networks[0].labels)
    (row,) = networks[0].predict_images(images)
    row["file"].encode()
    assert row["file"].startswith("caf")
    assert [name for name, _ in images.skipped] == ["gone.jpg"]
    (row,) = networks[0].predict_images(images_of_paths([path for path in tmp_path.iterdir() if not path.is_symlink()]))
    row["file"].encode()
