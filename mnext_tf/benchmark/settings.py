"""What a benchmark times: the record behind the flags of `pipelines.benchmark`."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from mnext_tf.benchmark.keras_networks import KERAS, check_keras_network, full_name
from mnext_tf.data.detection_classes import VOC
from mnext_tf.errors import ConfigError, one_of
from mnext_tf.models import check_model_arguments, list_models
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.registry import identity_divisor
from mnext_tf.models.ssdlite import BACKBONES
from mnext_tf.naming import PRECISIONS, SSDLITE, command_line
from mnext_tf.records import Record, field
from mnext_tf.runs.run import open_run

DELEGATES = ("cpu", "gpu")
TASKS = ("classification", "detection")
NETWORK_FLAGS = (
    "models",
    "task",
    "width",
    "identity_tensor_multiplier",
    "input_size",
)  # which a run or a file determines


@dataclass(frozen=True)
class Settings(Record):
    """What to time; each field is a flag. With `runs`, `models`, `widths`, and `input_sizes` are ignored."""

    models: tuple[str, ...] = field(
        ("mnext", "mobilenet_v2"),
        f"Networks, of {', '.join(list_models())}, or {KERAS}NAME for a network of keras.applications, such as "
        f"{KERAS}MobileNetV3Large. The others are compared with the first.",
    )
    task: str = field(
        "classification", "What untrained networks do; detection: SSDLite detectors on them.", choices=TASKS
    )
    widths: tuple[float, ...] = field(
        (1.0,),
        "Width multipliers, such as 0.5,1.0: every network is timed at each, and compared at the same width.",
        flag="width",
    )
    identity_tensor_multiplier: float = field(1.0, "Share 1/k of the channels that mnext's shortcuts carry.")
    input_sizes: tuple[int, ...] = field(
        (224,), "Input sizes in pixels, such as 192,224; of detectors 320 unless given.", flag="input_size"
    )
    runs: tuple[str, ...] = field(
        (),
        "Run folders to time instead of untrained networks; they determine --models, --width, and --input_size. A "
        "run's own verified file is timed; where it has none, one is exported to --models_dir without a check of its "
        "accuracy.",
        flag="run",
    )
    files: tuple[str, ...] = field(
        (),
        "Any .tflite files to time as they are: a.tflite,b.tflite; alone, or with the networks of --models or --run. "
        "Each is compared with the first network of its input size and precision, or else with the first file.",
        flag="tflite",
    )
    precisions: tuple[str, ...] = field(
        ("float32", "int8"), f"Precisions, of {', '.join(PRECISIONS)}.", flag="quantize"
    )
    delegates: tuple[str, ...] = field(
        ("cpu",),
        f"Processors, of {', '.join(DELEGATES)}, such as cpu,gpu. The GPU runs through LiteRT's accelerator, in half "
        "precision where the adapter has it.",
        flag="delegate",
    )
    threads: tuple[int, ...] = field((1, 2), "Numbers of threads on the CPU, such as 1,2; one drives the GPU.")
    rounds: int = field(20, "Rounds; in each, every network takes a turn.", at_least=1, at_most=10_000)
    runs_per_round: int = field(10, "Measured inferences per turn.", at_least=1, at_most=100_000)
    warmup: int = field(2, "Unmeasured inferences before those of a turn.", at_least=0, at_most=100_000)
    seed: int = field(0, "Seed of the random pixels.", at_least=0)

    @property
    def networks(self) -> tuple[str, ...]:
        """The untrained networks, by their full names."""
        return () if self.runs else tuple(map(full_name, self.models))

    @property
    def priors(self) -> str:
        """Of the untrained networks, as in `ModelConfig`."""
        return "voc" if self.task == "detection" else ""

    @property
    def processors(self) -> list[tuple[str, int]]:
        """(delegate, threads) that everything is timed on."""
        return [(d, n) for d in self.delegates for n in (self.threads if d == "cpu" else (1,))]

    def flags(self) -> dict[str, object]:
        """Flag -> value, without those that are ignored."""
        ignored = {"run": not self.runs, "tflite": not self.files}
        ignored |= dict.fromkeys(NETWORK_FLAGS, bool(self.runs or (self.files and not self.models)))
        ignored["quantize"] = bool(self.files and not self.models and not self.runs)
        values = {f.metadata.get("flag", f.name): getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if not ignored.get(name)}

    def check(self) -> None:
        """ConfigError for anything that could not be timed. Does not import TensorFlow."""
        for name, values in self.flags().items():
            if values == ():
                raise ConfigError(f"{name} names nothing to time.")
            if isinstance(values, tuple) and (twice := _twice(map(full_name, values) if name == "models" else values)):
                raise ConfigError(f"{name} names {twice} twice.")
        for precision in self.precisions:
            one_of("quantize", precision, PRECISIONS)
        for delegate in self.delegates:
            one_of("delegate", delegate, DELEGATES)
        for threads in self.threads:
            if not 1 <= threads <= 256:
                raise ConfigError(f"threads must be a whole number from 1 to 256; received {threads!r}.")
        for folder in self.runs:
            open_run(Path(folder))
        for file in self.files:
            if not Path(file).is_file():
                raise ConfigError(
                    f"tflite names {file}, which is no file. python -m pipelines.export_tflite makes one."
                )
        if self.networks:
            identity_divisor(self.identity_tensor_multiplier)
        for model in self.networks:
            for width in self.widths:
                for input_size in self.input_sizes:
                    self._check_network(model, width, input_size)

    def _check_network(self, model: str, width: float, input_size: int) -> None:
        if model.startswith(KERAS) and self.task == "detection":
            raise ConfigError(f"{model} classifies; detectors are built on {', '.join(BACKBONES)}.")
        if model.startswith(KERAS):
            check_keras_network(model, width, input_size, self.precisions)
            return
        one_of("model", model, [*list_models(), f"{KERAS}NAME"])
        check_model_arguments(model, width=width, input_size=input_size, priors=self.priors)

    def command(self, **more) -> str:
        """The command line for these settings; `more` are further flags."""
        return command_line("benchmark", {**self.flags(), **more})


def untrained_classes(name: str) -> int:
    """Of an untrained network by its full name: ImageNet's, or VOC's of a detector."""
    return len(VOC) if name.endswith(SSDLITE) else ModelConfig.num_classes


def _twice(values) -> object | None:
    """The first value that is there a second time."""
    values = list(values)
    return next((v for i, v in enumerate(values) if v in values[:i]), None)
