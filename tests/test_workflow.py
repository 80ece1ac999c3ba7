"""The workflow of several networks, of which some fail; training, exporting and timing are replaced."""

import pytest

from mnext_tf import workflow
from mnext_tf.benchmark.suite import Settings
from mnext_tf.errors import ConfigError, ExportError, VerificationError
from mnext_tf.training.recipes import resolve_recipe

RECIPE = resolve_recipe("digits", {"epochs": 3, "batch_size": 8})


@pytest.fixture
def run_workflow(tmp_path, few_images, monkeypatch):
    """`run_workflow(failing)`: over two networks; `failing` holds (network, precision). What was done, in order."""
    done = []

    def run(failing=(), recipe=RECIPE):
        def export(run, precision, **options):
            done.append(f"{run.name} {precision}")
            if (run.name, precision) in failing:
                raise VerificationError("it is not the network it came from.")

        def report(folder, runs, results):
            done.append(f"report of {', '.join(run.name for run in runs)}")
            return folder / "report.md"

        monkeypatch.setattr("mnext_tf.training.loop.train", lambda run, dataset: done.append(f"{run.name} train"))
        monkeypatch.setattr(workflow, "export_tflite", export)
        monkeypatch.setattr(workflow, "run_benchmark", lambda *args, **kwargs: done.append("benchmark"))
        monkeypatch.setattr("mnext_tf.report.report.write_report", report)
        models = ["mnext", "mobilenet_v2"]
        return workflow.run_workflow(tmp_path, models, few_images, recipe, Settings(models=tuple(models)))

    run.done = done
    return run


def test_everything_is_done_in_order(run_workflow, tmp_path):
    assert run_workflow() == tmp_path / "report" / "report.md"
    networks = [f"{model} {step}" for model in ("mnext", "mobilenet_v2") for step in ("train", "float32", "int8")]
    assert run_workflow.done == [*networks, "benchmark", "report of mnext, mobilenet_v2"]


def test_a_network_that_fails_its_check_costs_the_others_nothing(run_workflow, tmp_path):
    with pytest.raises(ExportError, match=r"^mnext \(float32\) failed its export check: it is not the net") as error:
        run_workflow(failing=[("mnext", "float32")])
    assert str(error.value).endswith(f"The report of the other networks: {tmp_path / 'report' / 'report.md'}")
    assert run_workflow.done == [
        *("mnext train", "mnext float32", "mobilenet_v2 train", "mobilenet_v2 float32", "mobilenet_v2 int8"),
        *("benchmark", "report of mobilenet_v2"),
    ]


def test_where_all_fail_each_is_named_and_nothing_is_timed(run_workflow):
    with pytest.raises(ExportError) as error:
        run_workflow(failing=[("mnext", "int8"), ("mobilenet_v2", "float32")])
    assert "mnext (int8) failed" in str(error.value)
    assert "mobilenet_v2 (float32) failed" in str(error.value)
    assert "benchmark" not in run_workflow.done


def test_another_recipe_is_refused(run_workflow):
    run_workflow()
    other = resolve_recipe("digits", {"epochs": 4, "batch_size": 8})
    with pytest.raises(ConfigError, match=r"made with other settings: epochs 3 \(now 4\)"):
        run_workflow(recipe=other)
