"""The report on a run's int8 file, from its validation images and from a folder without labels."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from PIL import Image

from mnext_tf.boxes import DetectionSettings
from mnext_tf.errors import ConfigError
from mnext_tf.files import read_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.report.quantization import FILES, _Data, format_report, quantization_report
from mnext_tf.runs.run import open_run
from mnext_tf.training.recipes import resolve_recipe


@pytest.fixture
def run(few_blocks, few_blocks_exported):
    return few_blocks_exported


def test_the_files_of_a_labeled_report(run, tmp_path):
    from mnext_tf.inference.predictor import exports_of, open_predictor
    from mnext_tf.runs.dataset import validation_batches

    report = quantization_report(run, images=8, max_images=30, out=tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(FILES)
    assert read_json(tmp_path / "out" / "quantization.json")["whole"]["accuracy"] == report["whole"]["accuracy"]
    with open(tmp_path / "out" / "quantization.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert [row["layer"] for row in rows] == [row["layer"] for row in report["layers"]]
    with Image.open(tmp_path / "out" / "quantization.png") as image:
        assert image.width > 900

    ((images, labels),) = validation_batches(run, max_images=30)
    with open_predictor(dict(exports_of(run))["tflite_int8"]) as file, open_predictor(run) as keras:
        top, expected = file.outputs(images).argmax(1), keras.logits(images).argmax(1)
    whole = report["whole"]
    assert (whole["images"], report["layer_images"]) == (30, 8)
    assert whole["top1_agreement"] == (top == expected).mean()
    assert (whole["accuracy"], whole["float_accuracy"]) == ((top == labels).mean(), (expected == labels).mean())

    text = format_report(report, most=3)
    worst = max(report["layers"], key=lambda row: row["noise_share"])
    assert text.splitlines()[-3].startswith(worst["layer"])
    assert "McNemar" in text


def test_images_without_labels_give_no_accuracy(run, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(5):
        pixels = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{i}.png")
    (tmp_path / "photos" / "5.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    report = quantization_report(run, data_dir=tmp_path / "photos", out=tmp_path / "out")
    assert (report["whole"]["images"], report["layer_images"], report["skipped"]) == (5, 5, 1)
    assert "accuracy" not in report["whole"]
    assert "accuracy" not in format_report(report)


def test_max_images_of_a_folder(run, tmp_path):
    for i in range(70):  # more than a batch
        Image.fromarray(np.full((9, 9, 3), i, np.uint8)).save(tmp_path / f"{i:02d}.png")
    data = _Data(run, tmp_path, 66)
    found = list(data.batches())
    assert [(len(pixels), labels) for pixels, labels in found] == [(64, None), (2, None)]
    assert data.count == len({int(image.mean()) for pixels, _ in found for image in pixels}) == 66


def test_a_run_without_the_file_says_what_makes_it(run, tmp_path):
    with pytest.raises(ConfigError, match=r"--run=\S+ --quantize=int8 --io_type=uint8`.*has tflite_int8:"):
        quantization_report(run, "tflite_int8_uint8", out=tmp_path)
    with pytest.raises(ConfigError, match=r"stage must be one of tflite_int8, .*received 'tflite_float32'"):
        quantization_report(run, "tflite_float32", out=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file"):
        quantization_report(run, out=tmp_path / "file")


def test_detectors_are_refused_at_once(run_maker, tmp_path):
    model = ModelConfig("mnext", num_classes=10, input_size=128, priors="voc")
    fields = {"task": "detection", "detection": DetectionSettings()}
    recipe = resolve_recipe("scenes", {})
    folder = run_maker(tmp_path / "boxes", model_config=model, recipe=recipe, **fields, exports={"int8": 0.5})
    with pytest.raises(ConfigError, match=r"boxes is a detector.*pipelines\.evaluate --run=.*boxes --exports"):
        quantization_report(open_run(folder))
    assert not (folder / "quantization_report").exists()
