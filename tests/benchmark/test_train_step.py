"""The benchmark of training steps: its table, its networks in PyTorch, and one small run of all of it."""

import csv
import json

import pytest

import benchmarks.train_step as bench
from benchmarks.train_step_variants import Variant
from mnext_tf.models.config import ModelConfig

CONFIG = ModelConfig("mnext", width=0.25, input_size=32)


def test_ratios_are_those_within_a_round():
    ours = Variant("tensorflow", CONFIG, "float32", "cpu", 4, ("forward", "step"))
    folded = Variant("tensorflow", CONFIG, "float32 folded", "cpu", 4, ("forward",))
    theirs = Variant("pytorch", CONFIG, "float32", "cpu", 4, ("forward", "step"))
    times = {
        (ours.key, "forward"): [[(1.0, 2.0)], [(10.0, 2.0)], [(2.0, 2.0)]],  # the machine was busy in the second round
        (theirs.key, "forward"): [[(3.0, 8.0)], [(30.0, 8.0)], [(6.0, 8.0)]],
        (folded.key, "forward"): [[(1.0, 1.0)]] * 3,
        (ours.key, "step"): [[(8.0, 8.0)]] * 3,
        (theirs.key, "step"): [[(16.0, 16.0)]] * 3,
    }
    first, second, _ = bench._make_rows({"variants": [ours, folded, theirs], "times": times})
    assert first["forward_ms"] == 2
    assert first["forward_times_pytorch"]["median"] == pytest.approx(3)
    assert first["forward_times_pytorch_cpu"]["median"] == pytest.approx(4)
    assert first["images_per_second"] == pytest.approx(500)
    assert second["step_ms"] is second["images_per_second"] is None


@pytest.mark.parametrize("name", ["mnext", "mobilenet_v2", "mobilenet_v2_mnext"])
def test_networks_in_pytorch_give_the_same_logits(name, randomise):
    torch = pytest.importorskip("torch")
    import numpy as np

    from benchmarks.train_step_torch import Network

    config = ModelConfig(name, width=0.25, input_size=64, num_classes=5)
    ours, theirs = randomise(config.create()), Network(config).eval()
    tensors = iter([w.numpy() for layer in ours.layers for w in layer.weights])
    for module in theirs.modules():
        if isinstance(module, torch.nn.Conv2d):
            axes = (2, 3, 0, 1) if module.groups > 1 else (3, 2, 0, 1)
            module.weight.data = torch.from_numpy(next(tensors).transpose(axes).copy())
        elif isinstance(module, torch.nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                tensor.data.copy_(torch.from_numpy(next(tensors)))
        elif isinstance(module, torch.nn.Linear):
            module.weight.data.copy_(torch.from_numpy(next(tensors).T.copy()))
            module.bias.data.copy_(torch.from_numpy(next(tensors)))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    expected = ours(images, training=False).numpy()
    with torch.inference_mode():
        logits = theirs(torch.from_numpy(images).permute(0, 3, 1, 2)).numpy()
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


def test_networks_that_pytorch_has_not_are_refused():
    pytest.importorskip("torch")
    from benchmarks.train_step_torch import Network
    from mnext_tf.errors import ConfigError

    with pytest.raises(ConfigError, match="mnext_s has a layer"):
        Network(ModelConfig("mnext_s"))


@pytest.mark.slow
def test_a_small_run_writes_table_and_plot(python, tmp_path):
    done = python(
        *("-m", "benchmarks.train_step", "--models=mnext", "--width=0.25", "--input_size=32", "--batch_size=2"),
        *("--rounds=1", "--runs=1", f"--out={tmp_path}", "--frameworks=tensorflow,pytorch", "--devices=cpu"),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "train_step.csv", newline="") as f:
        rows = list(csv.DictReader(f))
    assert ",".join(rows[0]) == (
        "framework,model,precision,device,batch_size,input_size,forward_ms,step_ms,images_per_second"
    )
    ours = {(r["precision"], r["batch_size"]): r for r in rows if r["framework"] == "tensorflow"}
    assert float(ours["float32", "2"]["step_ms"]) > float(ours["float32", "2"]["forward_ms"])
    assert ours["float32 folded", "2"]["step_ms"] == ours["float32 folded", "2"]["images_per_second"] == ""
    made = json.loads((tmp_path / "train_step.json").read_text())
    assert made["settings"]["rounds"] == 1
    assert made["versions"]["tensorflow"]
    assert (tmp_path / "train_step.png").read_bytes()[1:4] == b"PNG"


def test_a_wrong_framework_is_named(python):
    done = python("-m", "benchmarks.train_step", "--frameworks=jax")
    assert done.returncode == 1
    assert "jax" in done.stderr
    assert "litert" in done.stderr
