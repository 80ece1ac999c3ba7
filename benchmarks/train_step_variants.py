"""What `train_step` times: one process for each framework and device, which makes its networks and waits for its turns.

A process of its own keeps one framework's idle threads and freed memory out of the other's way.
"""

from __future__ import annotations

import importlib.metadata
import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnext_tf.errors import MnextError
from mnext_tf.models.config import ModelConfig
from mnext_tf.quiet import quiet_stderr


@dataclass(frozen=True)
class Variant:
    framework: str
    model: ModelConfig
    precision: str  # float32, bfloat16, or int8, with what else sets the variant apart
    device: str  # cpu or gpu
    batch_size: int
    kinds: tuple[str, ...]  # of KINDS

    @property
    def key(self) -> tuple:
        return self.framework, self.model.name, self.precision, self.device, self.batch_size


KINDS = ("forward", "step")


class Worker:
    """The process of one framework on one device."""

    def __init__(self, framework: str, device: str, threads: int, folder: Path):
        spawn = multiprocessing.get_context("spawn")  # a fork would copy TensorFlow's threads' locks
        self._pipe, theirs = spawn.Pipe()
        self._process = spawn.Process(target=_work, args=(theirs, framework, device, threads, folder), daemon=True)
        self._process.start()
        theirs.close()

    def __call__(self, *request):
        """The answer to `request`, a method of the framework's class with its arguments; raises what it raised."""
        self._pipe.send(request)
        try:
            answer = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise MnextError(f"The process that answers {request[0]} ended ({self._process.exitcode}).") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        self._pipe.close()  # ends the process
        self._process.join(10)
        self._process.kill()


def _work(pipe, framework: str, device: str, threads: int, folder: Path) -> None:
    if device == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        with quiet_stderr():
            frameworks = {"tensorflow": TensorFlow, "litert": LiteRT, "pytorch": PyTorch}
            side = frameworks[framework](threads, device, folder)
    except ImportError as e:
        side = e
    while True:
        try:
            name, *arguments = pipe.recv()
            with quiet_stderr():
                answer = side if isinstance(side, Exception) else getattr(side, name)(*arguments)
        except EOFError:
            return
        except Exception as e:
            answer = e if isinstance(e, MnextError) else MnextError(f"{framework}: {type(e).__name__}: {e}")
        pipe.send(answer)


class _Side:
    """`calls[key of a variant][kind]` is what is timed. A call returns when its result is in the host's memory."""

    packages: tuple[str, ...] = ()

    def __init__(self, threads: int, device: str, folder: Path):
        self.threads, self.device, self.folder, self.calls = threads, device, folder, {}

    def versions(self) -> dict[str, str]:
        return {package: importlib.metadata.version(package) for package in self.packages}

    def has_device(self) -> bool:
        return self.device == "cpu"

    def prepare(self, variant: Variant) -> None:
        self.calls[variant.key] = self.make(variant)
        for kind in variant.kinds:
            self.calls[variant.key][kind]()

    def time(self, key: tuple, kind: str, runs: int) -> list[tuple[float, float]]:
        """(ms, ms of processor time) of each run, after one that is not measured."""
        call, times = self.calls[key][kind], []
        call()
        for _ in range(runs):
            start, start_cpu = time.perf_counter(), time.process_time()
            call()
            times.append(((time.perf_counter() - start) * 1e3, (time.process_time() - start_cpu) * 1e3))
        return times


class TensorFlow(_Side):
    packages = ("tensorflow", "keras")

    def __init__(self, *arguments):
        super().__init__(*arguments)
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")  # it warns of many traced functions
        tf.config.threading.set_intra_op_parallelism_threads(self.threads)
        tf.config.threading.set_inter_op_parallelism_threads(self.threads)
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)  # PyTorch needs the GPU, too

    def has_device(self) -> bool:
        import tensorflow as tf

        return self.device == "cpu" or bool(tf.config.list_physical_devices("GPU"))

    def make(self, variant: Variant) -> dict:
        import tensorflow as tf

        from mnext_tf.models.keras_layers import folded_batch_norm
        from mnext_tf.tasks import Classification
        from mnext_tf.training.groups import make_groups
        from mnext_tf.training.recipe import Recipe
        from mnext_tf.training.steps import make_steps
        from mnext_tf.training.strategy import make_devices

        half, folded = "bfloat16" in variant.precision, "folded" in variant.precision
        tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if half else "float32")
        model = variant.model.create()
        tf.keras.mixed_precision.set_global_policy("float32")
        images, labels = map(tf.constant, make_batch(variant))

        @tf.function(autograph=False)
        def forward(images):
            if not folded:
                return model(images, training=False)
            with folded_batch_norm():
                return model(images, training=False)

        calls = {"forward": lambda: forward(images).numpy()}
        if "step" in variant.kinds:
            recipe = Recipe()
            task, groups = Classification(), make_groups(model, recipe)
            train_step, _ = make_steps(model, groups, recipe, task, devices=make_devices())
            rate, number = tf.constant(RATE), tf.constant(0, tf.int64)
            calls["step"] = lambda: float(train_step(images, labels, rate, number)[0])
        return calls


class LiteRT(_Side):
    """Our files, with XNNPACK."""

    packages = ("ai-edge-litert",)

    def make(self, variant: Variant) -> dict:
        from mnext_tf.benchmark.runners import CpuRunner
        from mnext_tf.export import export_tflite
        from mnext_tf.naming import network_name
        from mnext_tf.training.random_weights import create_random_run

        model = variant.model
        name = network_name(model.name, model.width, model.identity_tensor_multiplier, model.input_size)
        run = create_random_run(self.folder / name, model, cache_dir=str(self.folder / "data"))
        runner = CpuRunner(export_tflite(run, variant.precision), self.threads)
        runner.fill(0)

        def forward():
            runner.invoke()
            return runner.output()

        return {"forward": forward}


class PyTorch(_Side):
    packages = ("torch",)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        import torch

        torch.set_num_threads(self.threads)
        torch.manual_seed(0)

    def has_device(self) -> bool:
        import torch

        return self.device == "cpu" or torch.cuda.is_available()

    def make(self, variant: Variant) -> dict:
        import torch

        from benchmarks.train_step_torch import Network, make_optimizer
        from mnext_tf.training.recipe import Recipe

        device = {"cpu": "cpu", "gpu": "cuda"}[variant.device]
        layout = torch.channels_last if "channels_last" in variant.precision else torch.contiguous_format
        recipe, network = Recipe(), Network(variant.model).to(device, memory_format=layout)
        images, labels = map(torch.from_numpy, make_batch(variant))
        images = images.permute(0, 3, 1, 2).to(device).contiguous(memory_format=layout)
        labels = labels.long().to(device)
        optimizer = make_optimizer(network, recipe, RATE)
        loss_of = torch.nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        half = torch.autocast(device, torch.bfloat16, enabled="bfloat16" in variant.precision)

        def forward():
            network.eval()
            with torch.inference_mode(), half:
                return network(images).float().cpu().numpy()

        def step():
            network.train()
            optimizer.zero_grad(set_to_none=True)
            with half:
                loss = loss_of(network(images), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        return {"forward": forward, "step": step}


RATE = 1e-3  # small: random labels are learned by many steps in a row, and no number may overflow


def make_batch(variant: Variant) -> tuple[np.ndarray, np.ndarray]:
    """(pixels, float32 (batch, size, size, 3) in [0, 255], labels, int64 (batch,)): noise."""
    rng, size = np.random.default_rng(0), variant.model.input_size
    pixels = rng.integers(0, 256, (variant.batch_size, size, size, 3)).astype(np.float32)
    return pixels, rng.integers(0, variant.model.num_classes, variant.batch_size)
