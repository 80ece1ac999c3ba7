"""The workflow of several networks, of which some fail; training, exporting and timing are replaced."""

import dataclasses

import pytest

from mnext_tf import workflow
from mnext_tf.benchmark.settings import Settings
from mnext_tf.errors import ConfigError, ExportError, TrainingError, VerificationError
from mnext_tf.runs.config import InitialWeights
from mnext_tf.runs.run import list_runs, open_run
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import Plan

RECIPE = resolve_recipe("digits", {"epochs": 3, "batch_size": 8})
MODELS = ("mnext", "mobilenet_v2")


@pytest.fixture
def run_workflow(tmp_path, few_images, monkeypatch):
    """`run_workflow(failing)`: over two networks; `failing` holds (run, precision). What was done, in order."""
    done = []

    def run(failing=(), recipe=RECIPE, widths=(1.0, 1.0), dataset=few_images, **options):
        def train(run, dataset):
            done.append(f"{run.name} train")
            if (run.name, "train") in failing:
                raise TrainingError("The loss is nan.")

        def export(run, precision, **options):
            done.append(f"{run.name} {precision}")
            if (run.name, precision) in failing:
                raise VerificationError("it is not the network it came from.")

        def benchmark(folder, settings, **options):
            done.append(" ".join(["benchmark", *(run.split("/")[-1] for run in settings.runs)]))

        def report(folder, runs, results):
            done.append(f"report of {', '.join(run.name for run in runs)}")
            return folder / "report.md"

        monkeypatch.setattr("mnext_tf.training.loop.train", train)
        monkeypatch.setattr("mnext_tf.evaluation.on_validation.evaluate_run", lambda r: done.append(f"{r.name} images"))
        monkeypatch.setattr(workflow, "export_tflite", export)
        monkeypatch.setattr(workflow, "run_benchmark", benchmark)
        monkeypatch.setattr("mnext_tf.report.report.write_report", report)
        plans = [
            Plan(model, dataclasses.replace(recipe, width=width), {})
            for model, width in zip(MODELS, widths, strict=True)
        ]
        return workflow.run_workflow(tmp_path, plans, dataset, Settings(models=MODELS), **options)

    run.done = done
    return run


def test_everything_is_done_in_order(run_workflow, tmp_path):
    assert run_workflow() == tmp_path / "report" / "report.md"
    networks = [f"{model} {step}" for model in MODELS for step in ("train", "float32", "int8")]
    assert run_workflow.done == [*networks, "benchmark", "report of mnext, mobilenet_v2"]


def test_every_seed_is_trained_and_the_first_exported(run_workflow, tmp_path):
    run_workflow(seeds=(3, 5))
    first = [f"{model}-seed3 {step}" for model in MODELS for step in ("train", "images", "float32", "int8")]
    second = [f"{model}-seed5 {step}" for model in MODELS for step in ("train", "images")]
    names = ["mnext-seed3", "mobilenet_v2-seed3", "mnext-seed5", "mobilenet_v2-seed5"]
    assert run_workflow.done == [*first, *second, "benchmark", f"report of {', '.join(names)}"]
    found = [run.name for run in list_runs(tmp_path.parent) if run.folder.parent == tmp_path]  # as runs/ finds them
    assert sorted(found) == sorted(names)
    assert [open_run(tmp_path / name).config.seed for name in names] == [3, 3, 5, 5]


def test_a_network_that_fails_its_check_costs_the_others_nothing(run_workflow, tmp_path):
    with pytest.raises(ExportError, match=r"^mnext \(float32\) failed its export check: it is not the net") as error:
        run_workflow(failing=[("mnext", "float32")])
    assert str(error.value).endswith(f"The report of the other networks: {tmp_path / 'report' / 'report.md'}")
    assert run_workflow.done == [
        *("mnext train", "mnext float32", "mobilenet_v2 train", "mobilenet_v2 float32", "mobilenet_v2 int8"),
        *("benchmark", "report of mobilenet_v2"),
    ]


def test_a_seed_that_cannot_be_trained_costs_the_others_nothing_and_the_next_is_exported(run_workflow):
    with pytest.raises(TrainingError, match=r"^mnext-seed0 cannot be trained: The loss is nan\. The report of the"):
        run_workflow(failing=[("mnext-seed0", "train")], seeds=(0, 1, 2))
    assert [line for line in run_workflow.done if "int8" in line] == ["mobilenet_v2-seed0 int8", "mnext-seed1 int8"]
    assert run_workflow.done[-1].count("mnext-seed") == 2
    assert run_workflow.done[-1].count("mobilenet_v2-seed") == 3


def test_a_seed_whose_export_fails_still_counts_in_the_comparison(run_workflow):
    with pytest.raises(ExportError, match=r"^mnext-seed0 \(int8\) failed"):
        run_workflow(failing=[("mnext-seed0", "int8")], seeds=(0, 1))
    assert run_workflow.done[-1] == "report of mnext-seed0, mobilenet_v2-seed0, mnext-seed1, mobilenet_v2-seed1"


def test_where_all_fail_each_is_named_and_nothing_is_timed(run_workflow):
    with pytest.raises(ExportError) as error:
        run_workflow(failing=[("mnext", "int8"), ("mobilenet_v2", "float32")])
    assert "mnext (int8) failed" in str(error.value)
    assert "mobilenet_v2 (float32) failed" in str(error.value)
    assert "benchmark" not in run_workflow.done


def test_networks_of_several_widths_are_timed_as_exported(run_workflow):
    run_workflow(widths=(1.0, 0.5), seeds=(0, 1))
    assert "benchmark mnext-seed0 mobilenet_v2-seed0" in run_workflow.done


def test_another_recipe_is_refused_before_any_training(run_workflow):
    run_workflow(seeds=(0,))
    run_workflow.done.clear()
    other = resolve_recipe("digits", {"epochs": 4, "batch_size": 8})
    with pytest.raises(ConfigError, match=r"made with other settings: epochs 3 \(now 4\)"):
        run_workflow(recipe=other, seeds=(1, 0))
    assert run_workflow.done == []


def test_another_start_is_refused(run_workflow, tmp_path, monkeypatch):
    run_workflow()
    source = open_run(tmp_path / "mobilenet_v2")
    monkeypatch.setattr(workflow, "describe_source", lambda run: InitialWeights(str(run.folder), "0" * 64))
    with pytest.raises(ConfigError, match="other settings: first weights of its seed") as error:
        run_workflow(sources={"mnext": source})
    assert f"now {source.folder}" in str(error.value)


def test_detectors_are_compared_over_seeds_without_images(run_workflow, few_images):
    counts = {"train": (1, 1, 1), "validation": (1, 1, 1)}
    boxes = dataclasses.replace(few_images, task="detection", metrics="voc", box_counts=counts)
    run_workflow(recipe=resolve_recipe("scenes", {"batch_size": 8}), dataset=boxes, seeds=(0,))
    assert "mnext-seed0 train" in run_workflow.done
    assert not [step for step in run_workflow.done if step.endswith("images")]
