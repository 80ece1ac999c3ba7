import importlib.util
import os
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest

from mnext_tf.benchmark import cases, gpu, suite
from mnext_tf.benchmark.gpu import Adapter, benchmark_isolated, check_on_gpu, find_gpu
from mnext_tf.benchmark.isolated import call_isolated
from mnext_tf.benchmark.results import format_table, read_results
from mnext_tf.benchmark.settings import Settings
from mnext_tf.benchmark.suite import run_benchmark
from mnext_tf.benchmark.timing import Case
from mnext_tf.errors import ConfigError, ExportError

ROOT = Path(__file__).resolve().parents[2]
SELECTED = (
    "I0000 00:00:1.2 7 environment.cc:532] Selected adapter: {}, arch={}, vendor=v, backend=Vulkan, adapterType={}\n"
)
LIMITS = "Warning: maxDynamicUniformBuffersPerPipelineLayout artificially reduced from 1000000 to 16 to fit\n"


@pytest.fixture
def tried(monkeypatch):
    """`tried(answer, log)`: what the process that tries a file answers and logs."""

    def tried(answer: dict, log: str) -> None:
        monkeypatch.setattr(gpu, "_try", lambda file: (answer, log))

    return tried


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (
            "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file: No such file or directory\n"
            "ERROR: Failed to initialize WebGPU environment: INTERNAL: No adapters found\n",
            r"no Vulkan loader \(libvulkan.so.1\)\. Install the Vulkan driver of your GPU \(Debian",
        ),
        (
            "Warning: vkCreateInstance: Found no drivers!\nERROR: INTERNAL: No adapters found\n",
            r"finds no GPU driver \(vkCreateInstance: Found no drivers!\)\. Install",
        ),
        (
            LIMITS
            + "Warning: Vulkan shaderUniform*ArrayDynamicIndexing required.\nERROR: INTERNAL: No adapters found\n",
            r"what LiteRT requires \(Vulkan shaderUniform\*ArrayDynamicIndexing required\.\)\. A newer driver",
        ),
        ("", "failed on a network of one operator: it was ended by SIGSEGV"),
    ],
)
def test_the_error_names_what_is_missing_and_what_to_do(tried, log, message):
    tried({"error": "it was ended by SIGSEGV"}, log)
    with pytest.raises(ConfigError, match=f"No GPU can be used: .*{message}.*delegate=cpu needs none"):
        find_gpu()


def test_a_wheel_without_accelerator_is_named(monkeypatch, tmp_path):
    spec = types.SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match="comes without a GPU accelerator"):
        find_gpu()


def test_adapters_are_named_and_software_is_told_apart(tried):
    tried({"difference": 0.0}, LIMITS + SELECTED.format("NVIDIA H100, PCIe", "hopper", "Discrete GPU"))
    assert find_gpu() == Adapter("NVIDIA H100, PCIe", "Vulkan", "Discrete GPU", software=False)
    tried({"difference": 0.0}, SELECTED.format("llvmpipe (LLVM 15.0.6, 256 bits)", "software", "CPU / Software"))
    assert find_gpu().software


@pytest.mark.parametrize("difference", [0.3, float("nan")])
def test_other_logits_than_the_cpus_are_refused(tried, difference):
    tried({"difference": difference}, SELECTED.format("A", "b", "Discrete GPU"))
    with pytest.raises(ExportError, match=r"other logits on A, Vulkan, Discrete GPU.*0\.2 is allowed"):
        check_on_gpu(Path("a.tflite"))


def test_operators_that_a_gpu_cannot_do_are_named(tried):
    log = "Following operations are not supported by GPU delegate:\nRFFT2D: Operation is not supported.\n"
    tried({"error": "a.tflite does not run on the GPU: Some ops are not accelerated."}, log)
    with pytest.raises(ExportError, match=r"not accelerated\. Not supported: RFFT2D\. Time this file with"):
        check_on_gpu(Path("a.tflite"))


class FakeModel:
    """Stands for LiteRT's `CompiledModel`: an output is ready only when it is read."""

    def __init__(self, whole):
        self.whole, self.log = whole, []

    def is_fully_accelerated(self):
        return self.whole

    def create_input_buffers(self, signature):
        return [types.SimpleNamespace(write=lambda pixels: self.log.append("write"))]

    def create_output_buffers(self, signature):
        def read(count, dtype):
            self.log.append("read")
            return np.zeros(count, dtype)

        return [types.SimpleNamespace(read=read)]

    def run_by_index(self, signature, inputs, outputs):
        self.log.append("run")


@pytest.fixture
def compiled(monkeypatch):
    """`compiled(whole)`: the `FakeModel` that files are compiled to from now on."""
    import ai_edge_litert

    def compiled(whole: bool) -> FakeModel:
        model = FakeModel(whole)
        module = types.ModuleType("ai_edge_litert.compiled_model")
        module.CompiledModel = types.SimpleNamespace(from_file=lambda file, accelerators: model)
        module.HardwareAccelerator = types.SimpleNamespace(GPU=2)
        monkeypatch.setitem(sys.modules, "ai_edge_litert.compiled_model", module)
        monkeypatch.setattr(ai_edge_litert, "compiled_model", module, raising=False)
        return model

    return compiled


def test_an_inference_on_the_gpu_ends_when_its_output_was_read(compiled, tiny_files):
    from mnext_tf.benchmark.runners import GpuRunner

    model = compiled(whole=True)
    runner = GpuRunner(tiny_files["small"])
    runner.fill(seed=0)
    runner.invoke()
    assert model.log == ["write", "run", "read"]
    assert runner.output().shape == (1, 8)


def test_what_falls_back_to_the_cpu_is_not_the_gpus(compiled, tiny_files):
    from mnext_tf.benchmark.runners import GpuRunner

    compiled(whole=False)
    with pytest.raises(ExportError, match=r"small\.tflite does not run on the GPU: LiteRT leaves a part"):
        GpuRunner(tiny_files["small"])


def test_nothing_is_exported_where_there_is_no_gpu(monkeypatch, tmp_path, tried):
    tried({"error": "crashed"}, "")
    monkeypatch.setattr(suite, "make_cases", lambda *args, **kwargs: pytest.fail("it went on"))
    with pytest.raises(ConfigError, match="No GPU can be used"):
        run_benchmark(tmp_path / "out", Settings(delegates=("cpu", "gpu")))
    assert not (tmp_path / "out").exists()


def run_without_gpu(*arguments):
    """A command on a host whose Vulkan loader, where it has one, finds no driver."""
    hidden = dict.fromkeys(("VK_ICD_FILENAMES", "VK_DRIVER_FILES"), os.devnull)
    environment = {**os.environ, **hidden, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, cwd=ROOT)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the GPU cannot be hidden")
def test_the_command_says_what_is_missing(tmp_path):
    done = run_without_gpu("-m", "pipelines.benchmark", "--delegate=gpu", f"--out={tmp_path / 'out'}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: No GPU can be used: ")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_crash_of_the_subprocess_is_an_error():
    outcome = call_isolated(os.abort)
    assert str(outcome.error) == "the subprocess was ended by SIGABRT"
    assert str(call_isolated(time.sleep, 60, timeout=0.5).error) == "it gave no answer within 0.5 s"


def test_the_subprocess_returns_results_and_errors(tiny_files, tmp_path):
    settings = {"rounds": 2, "runs_per_round": 3, "warmup": 1, "progress": False}
    case = Case(None, tiny_files["small"], 1)
    (result,) = benchmark_isolated([case], **settings)
    assert result.case == case
    assert [len(times) for times in result.run_ms] == [3, 3]
    (tmp_path / "cut.tflite").write_bytes(b"no model")
    with pytest.raises(ExportError, match="cannot be run"):
        benchmark_isolated([Case(None, tmp_path / "cut.tflite", 1)], **settings)


@pytest.fixture
def software_gpu(monkeypatch):
    """A Vulkan driver that computes on the CPU; what `environments/vulkan.sh` makes."""
    folder = ROOT / ".environments" / "vulkan"
    if not (folder / "driver.json").is_file():
        pytest.skip("no software Vulkan: make environment-vulkan")
    monkeypatch.setenv("VK_ICD_FILENAMES", str(folder / "driver.json"))
    monkeypatch.setenv("VK_DRIVER_FILES", str(folder / "driver.json"))
    monkeypatch.setenv("LD_LIBRARY_PATH", str(folder / "lib"))


def test_files_are_timed_on_webgpu(tmp_path, monkeypatch, software_gpu, tiny_files):
    monkeypatch.setattr(cases, "create_random_run", lambda *args, **kwargs: None)
    monkeypatch.setattr(
        cases,
        "export_tflite",
        lambda run, precision, **kwargs: tiny_files["small" if precision == "float32" else "small_int8"],
    )
    settings = Settings(models=("mnext",), input_sizes=(32,), delegates=("cpu", "gpu"), threads=(1, 2), rounds=2)
    rows = read_results(run_benchmark(tmp_path / "out", settings, progress=False)).rows
    assert [(r["quantize"], r["delegate"], r["threads"]) for r in rows] == [
        (precision, *on)
        for precision in ("float32", "int8")
        for on in (("xnnpack", 1), ("xnnpack", 2), ("software_gpu", 1))
    ]
    on_gpu = [r for r in rows if r["delegate"] == "software_gpu"]
    assert all("llvmpipe" in r["adapter"] and r["nodes_delegated"] == r["nodes_total"] > 0 for r in on_gpu)
    assert all(r["gpu_difference"] < 0.01 for r in on_gpu)
    assert all(r["ratio"] == 1 for r in rows)  # each delegate is compared with itself
    assert "they are not a GPU's" in format_table(rows)


def test_an_operator_that_webgpu_cannot_do_is_refused(tmp_path, software_gpu):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((1, 8, 8))], autograph=False)
    def network(image):
        return tf.abs(tf.signal.rfft2d(image))

    file = tmp_path / "fft.tflite"
    file.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert())
    with pytest.raises(ExportError, match=r"fft\.tflite does not run on the GPU.*RFFT2D"):
        check_on_gpu(file)
