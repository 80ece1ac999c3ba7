"""pipelines.run: what it refuses before any work, and several seeds from data to verdict."""

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


@pytest.mark.slow
def test_several_seeds_from_data_to_verdict_and_resumed(python, tmp_path, repository):
    data = [f"--cache_dir={tmp_path / 'data'}", "--epochs=2", "--batch_size=256", "--width=0.35", "--threads=1"]
    flags = [*data, "--seeds=0,1", "--quantize=float32", "--benchmark_input_size=32", f"--out={tmp_path / 'out'}"]
    first = python("-m", "pipelines.run", *flags, timeout=590)
    assert first.returncode == 0, first.stderr
    assert "MobileNeXt 0.35" in first.stdout.splitlines()[0]
    report = tmp_path / "out" / "report"
    (pair,) = read_json(report / "seeds.json")["pairs"]
    assert (pair["seeds"], pair["images"]) == ([0, 1], 360)
    assert (report / "seeds.png").is_file()
    again = python("-m", "pipelines.run", *flags, timeout=590)
    assert again.returncode == 0, again.stderr
    assert again.stderr.count("already finished") == 4
    assert "epoch" not in again.stderr
