"""The workflow with several seeds: trained, evaluated and compared for real; exports and timing are replaced."""

import pytest

from mnext_tf import workflow
from mnext_tf.benchmark.settings import Settings
from mnext_tf.files import read_json
from mnext_tf.training.recipes import resolve_recipe
from mnext_tf.training.start import Plan

RECIPE = resolve_recipe("digits", {"epochs": 2, "batch_size": 8})
MODELS = ("mnext", "mobilenet_v2")


@pytest.fixture
def compare(tmp_path, few_images, two_layers, monkeypatch, benchmark_folder):
    """`compare(seeds)`: report.md of two networks, and what was exported."""
    exported = []

    def compare(seeds, **options):
        exported.clear()
        monkeypatch.setattr(workflow, "export_tflite", lambda run, precision, **_: exported.append(run.name))
        monkeypatch.setattr(workflow, "run_benchmark", lambda *_, **__: benchmark_folder)
        plans = [Plan(model, RECIPE, {}) for model in MODELS]
        settings = Settings(models=MODELS)
        page = workflow.run_workflow(tmp_path / "out", plans, few_images, settings, seeds=seeds, **options)
        return page, list(exported)

    return compare


@pytest.mark.slow
def test_networks_are_compared_and_a_further_seed_keeps_the_others(compare, tmp_path, log_lines):
    page, exported = compare((0, 1), precisions=("float32",))
    assert exported == ["mnext-seed0", "mobilenet_v2-seed0"]
    (pair,) = read_json(page.parent / "seeds.json")["pairs"]
    assert (pair["seeds"], pair["images"]) == ([0, 1], 9)
    assert pair["verdict"].startswith("Undecided")  # the two are the same network here
    assert "2 seeds in common, and differ by 0.00 points with each" in pair["verdict"]
    weights = tmp_path / "out" / "mnext-seed0" / "train" / "model.weights.h5"
    before, trained = weights.stat().st_mtime_ns, sum("kept the raw" in line for line in log_lines)
    page, _ = compare((0, 1, 2), precisions=("float32",))
    assert weights.stat().st_mtime_ns == before
    assert sum("kept the raw" in line for line in log_lines) == trained + 2
    assert read_json(page.parent / "seeds.json")["pairs"][0]["seeds"] == [0, 1, 2]
