"""Reports on detectors, alone and beside classifiers."""

import csv
import dataclasses
import shlex

import pytest
from support.reports import host, report, table

from mnext_tf.boxes import DetectionSettings
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.files import read_json, write_json
from mnext_tf.models.config import ModelConfig
from mnext_tf.report import plots
from mnext_tf.runs.config import DatasetConfig
from mnext_tf.runs.run import open_run
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import plan_training

CHANGES = {"epochs": 2, "warmup_epochs": 0, "cooldown_epochs": 0, "ema_decay": 0.0, "iou_threshold": 0.6}
RECIPE = resolve_recipe("scenes", CHANGES)


@pytest.fixture
def detector(run_maker, tmp_path):
    """`detector(name, exports={...})`: the folder of a detector's run."""

    def make(name="detector", **fields):
        return run_maker(
            tmp_path / name,
            **{"data": "scenes", "recipe": RECIPE, "task": "detection", "detection": DetectionSettings()} | fields,
            model_config=ModelConfig("mnext", width=0.5, num_classes=10, input_size=128, priors="voc"),
            preprocess=Preprocess(128, crop_fraction=1.0, interpolation="bilinear", fit="squash"),
        )

    return make


def test_detectors_and_classifiers_share_neither_table_nor_axis(tmp_path, run_maker, detector, monkeypatch):
    panels, axes = [], []
    draw, plain = plots.overview, plots.plain
    monkeypatch.setattr(plots, "overview", lambda path, given: (panels.extend(given), draw(path, given)))
    monkeypatch.setattr(plots, "plain", lambda axis: (axes.append(axis), plain(axis)))
    runs = [run_maker(tmp_path / "a", exports={"float32": 0.9}), detector(exports={"float32": 0.6, "int8": 0.5})]
    text = report(tmp_path, [], runs)
    accuracy, map50 = text.split("\n\n")[1].splitlines()[:2]
    assert accuracy.startswith("- Accuracy on 360 validation images of digits: MobileNeXt 1.0: Keras 98.0%")
    assert map50.startswith(
        "- mAP50 on 360 validation images of scenes: MobileNeXt SSDLite 0.5: Keras 98.0%, TFLite float32 60.0%, int8 50"
    )
    assert [(panel.heading, len(panel.values)) for panel in panels[:2]] == [("Top-1 accuracy, %", 1), ("mAP50, %", 2)]
    assert [axis.get_ylabel() for axis in axes if axis.get_xlabel() == "epoch"] == [
        *("loss", "accuracy, %"),
        *("loss", "mAP50, %"),
    ]
    lines = [len(axis.lines) for axis in axes if axis.get_ylabel() in ("accuracy, %", "mAP50, %")]
    assert lines == [3, 2]  # no mAP50 of training images
    after = text[text.index("|largest relative difference of logits".replace("|", "| ")) :]
    header, _, float32, int8 = table(after, "| largest")
    assert header[4:8] == ["Keras mAP50, %", "TFLite mAP50, %", "change, points", "same boxes as Keras, %"]
    assert float32[4:8] == ["98.00", "60.00", "-38.00", "98.75"]
    assert "same boxes on at least 85 %" in int8[-1]
    header, _, trained = table(text[text.index("accuracy in the last epoch") :], "accuracy in")
    assert trained[0] == "MobileNeXt SSDLite 0.5"
    assert (header[5], trained[5]) == ("validation mAP50 there, %", "70.00")


def test_a_file_of_detections_has_no_difference_of_outputs(tmp_path, detector):
    folder = detector(exports={"float32": 0.6, "float32_detections": 0.6})
    path = folder / "tflite_float32_detections" / "verify.json"
    verify = read_json(path)
    verify["networks"]["tflite"] |= {"max_relative_difference": None, "max_abs_difference": None}
    write_json(path, verify)
    text = report(tmp_path, [], [folder])
    row = table(text, "## Accuracy before")[-1]
    assert (row[3], row[8]) == ("float32 detections", "-")
    assert "float32 outputs differ from Keras by at most 6.2e-02" in text
    assert f"--run={folder} --quantize=float32 --output=detections" in text


def test_the_command_of_a_detector_makes_the_same_recipe(tmp_path, detector):
    text = report(tmp_path, [], [detector()])
    (line,) = [line for line in text.splitlines() if line.startswith("python -m pipelines.train")]
    given = dict(flag.removeprefix("--").split("=", 1) for flag in shlex.split(line)[3:])
    assert given["task"] == "detection"
    fields = {k: v for r in (RECIPE, RECIPE.detection) for k, v in vars(r).items() if k not in ("version", "detection")}
    recipe = {
        k: type(v)(given[k]) if not isinstance(v, bool) else given[k] == "True"
        for k, v in fields.items()
        if v is not None
    }
    plan = plan_training(given["model"], None, recipe, options={}, has_data=False, task="detection")
    assert plan.recipe == RECIPE


def test_an_untrained_detector_is_made_by_the_benchmark(tmp_path, detector):
    text = report(tmp_path, [], [detector(init="random", recipe=None, history=False, exports={"int8": 0.1})])
    assert "pipelines.benchmark --task=detection --models=mnext --width=0.5 --input_size=128 --quantize=int8" in text


def test_benchmarks_of_detectors(tmp_path, row):
    rows = [{"model": "mnext_ssdlite", "file": "mnext_ssdlite_1.0_320_float32.tflite", "input_size": 320}]
    text = report(tmp_path, [], [], [host(tmp_path, row, "timed", rows)])
    assert "MobileNeXt SSDLite 1.0 6.75 ms" in text
    assert "The networks have random weights and 20 classes." in text
    sizes = table(text, "## File sizes")
    assert sizes[-1][:5] == ["MobileNeXt SSDLite 1.0", "float32", "13.90", "20", "320"]


def test_detectors_are_compared_over_seeds(tmp_path, detector):
    folders = []
    for width, values in (("a", (0.5, 0.52, 0.51)), ("b", (0.3, 0.31, 0.33))):
        for seed, value in enumerate(values):
            recipe = dataclasses.replace(RECIPE, seed=seed, learning_rate=0.01 if width == "a" else 0.002)
            dataset = DatasetConfig("scenes", "/data", "0", 100, 20)
            folders.append(detector(f"{width}{seed}", recipe=recipe, dataset=dataset))
            result = {"val_map50": value, "history": [{"step": 1}]}
            write_json(folders[-1] / "train" / "manifest.json", {"outputs": {}, "result": result})
    text = report(tmp_path, [], folders)
    assert "is better than MobileNeXt SSDLite 0.5 (b0 and others) on these images of scenes: 19.67 points" in text
    assert "mean validation mAP50, %" in text
    assert "Detectors are compared over seeds alone" in text
    assert "pipelines.evaluate" not in text
    with open(tmp_path / "report" / "seeds.csv", newline="") as f:
        assert float(next(csv.DictReader(f))["val_map50"]) == pytest.approx(50)


def test_a_history_without_the_metric_is_damaged(tmp_path, detector):
    folder = detector()
    path = folder / "train" / "history.csv"
    path.write_text(path.read_text().replace("val_map50", "val_accuracy"))
    from mnext_tf.errors import DataError
    from mnext_tf.report.run_facts import read_runs

    with pytest.raises(DataError, match="val_map50"):
        read_runs([open_run(folder)])
