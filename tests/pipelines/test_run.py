"""pipelines.run: what it refuses before any work, and what it hands to the workflow."""

import pytest

from mnext_tf.files import read_json


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--seeds=0,0"], "--seeds names one twice: 0,0."),
        (["--seeds=0,1", "--seed=3"], "--seed and --seeds both name seeds"),
        (["--seeds=0,-1"], "seed must be at least 0"),
        (["--seeds=a"], "--seeds takes whole numbers"),
        (["--models=mnext,mnxt"], "Did you mean 'mnext'?"),
        (["--init=nowhere"], "nowhere does not exist"),
    ],
)
def test_wrong_flags_are_refused(python, flags, said):
    done = python("-m", "pipelines.run", *flags, timeout=60)
    assert done.returncode == 1, done.stderr
    assert said in done.stderr


def test_each_network_needs_a_run_to_start_from(python, repository):
    run = repository / "tests" / "fixtures" / "version_0_1" / "runs" / "imported"
    model = read_json(run / "config.json")["model"]["name"]
    done = python("-m", "pipelines.run", f"--init={run}", f"--models={model},mnext")
    assert f"--init has runs of {model} and --models names {model}, mnext" in done.stderr
    twice = python("-m", "pipelines.run", f"--init={run},{run}")
    assert f"--init has two runs of {model}" in twice.stderr


def test_the_flags_become_plans_seeds_and_a_benchmark(python):
    flags = [
        "--models=mnext,mobilenet_v2",
        "--seeds=2,1",
        "--width=0.5",
        "--epochs=4",
        "--quantize=int8",
        "--out=there",
    ]
    code = f"""
import runpy, sys
import mnext_tf.workflow, pipelines._recipe
class Data(str):
    task = "classification"
pipelines._recipe.open_data = lambda task: Data("the data")
def run_workflow(out, plans, dataset, benchmark, **options):
    print(out, dataset, options["seeds"], options["precisions"], options["sources"])
    print(*((plan.model, plan.recipe.width, plan.recipe.epochs) for plan in plans))
    print(benchmark.models, benchmark.widths)
    raise KeyboardInterrupt
mnext_tf.workflow.run_workflow = run_workflow
sys.argv[1:] = {flags}
runpy.run_module("pipelines.run", run_name="__main__", alter_sys=True)
"""
    done = python("-c", code)
    assert done.returncode == 130, done.stderr
    assert done.stdout.splitlines() == [
        "there the data (2, 1) ('int8',) {}",
        "('mnext', 0.5, 4) ('mobilenet_v2', 0.5, 4)",
        "('mobilenet_v2', 'mnext') (0.5,)",
    ]


def test_detectors_are_timed_as_detectors(python):
    code = """
import runpy, sys
import mnext_tf.workflow, pipelines._recipe
class Data(str):
    task = "detection"
pipelines._recipe.open_data = lambda task: print("the data of", task) or Data()
def run_workflow(out, plans, dataset, benchmark, **options):
    print(benchmark.task, benchmark.widths, benchmark.input_sizes)
    raise KeyboardInterrupt
mnext_tf.workflow.run_workflow = run_workflow
sys.argv[1:] = ["--recipe=scenes", "--width=0.25"]
runpy.run_module("pipelines.run", run_name="__main__", alter_sys=True)
"""
    done = python("-c", code)
    assert done.stdout.splitlines() == ["the data of detection", "detection (0.25,) (128,)"], done.stderr
