"""Time networks side by side on this host through LiteRT, on CPU (XNNPACK) or GPU; write benchmark.csv and .json.

Exports what is missing. Untrained networks are as fast as trained ones, so no training is needed.

python -m pipelines.benchmark --models=mnext,mobilenet_v2 --quantize=int8
python -m pipelines.benchmark --models=mnext,mobilenet_v2,keras:MobileNetV3Large --width=0.5,1.0
python -m pipelines.benchmark --run=runs/a,runs/b
python -m pipelines.benchmark --tflite=mine.tflite,other.tflite
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from absl import flags

from mnext_tf.benchmark.results import format_table, read_results
from mnext_tf.benchmark.settings import NETWORK_FLAGS, Settings
from mnext_tf.benchmark.suite import ROOT, new_folder, run_benchmark
from mnext_tf.errors import ConfigError
from pipelines import _cli


def _define(field: dataclasses.Field) -> flags.FlagHolder:
    name, default, help = field.metadata.get("flag", field.name), field.default, field.metadata["help"]
    if isinstance(default, tuple):
        return flags.DEFINE_list(name, list(default), help)
    if isinstance(default, str):
        return flags.DEFINE_enum(name, default, field.metadata["choices"], help)
    return (flags.DEFINE_float if isinstance(default, float) else flags.DEFINE_integer)(name, default, help)


_DETECTOR_SIZE = 320  # pixels, as published
_SETTINGS = {field.name: _define(field) for field in dataclasses.fields(Settings)}
_OUT = flags.DEFINE_string(
    "out", None, f"Folder for the results; it may not hold others. Without it: a new one in {ROOT}, named by the time."
)
_MODELS_DIR = flags.DEFINE_string(
    "models_dir",
    None,
    f"Folder for exported files, which later benchmarks use again. Without it: {ROOT}/models, or models in --out.",
)
_FORCE = flags.DEFINE_bool("force", False, "Replace the results in --out, and export again what is in --models_dir.")


def main() -> None:
    values = {name: flag.value for name, flag in _SETTINGS.items()}
    for name in ("input_sizes", "threads"):
        values[name] = _cli.whole_numbers(_SETTINGS[name].name, values[name])
    if values["task"] == "detection" and not flags.FLAGS["input_size"].present:
        values["input_sizes"] = [_DETECTOR_SIZE]
    values["widths"] = _cli.numbers("width", values["widths"])
    given = [name for name in (*NETWORK_FLAGS, "quantize") if flags.FLAGS[name].present]
    if values["runs"] and (clash := [name for name in given if name in NETWORK_FLAGS]):
        raise ConfigError(f"--run and --{clash[0]} contradict each other: a run determines its network.")
    if values["files"] and not values["runs"] and "models" not in given:
        if given:
            raise ConfigError(
                f"--{given[0]} says nothing about the files of --tflite; name networks, too: --models=..."
            )
        values["models"] = ()
    settings = Settings(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})
    out = Path(_OUT.value) if _OUT.value else new_folder()
    models_dir = Path(_MODELS_DIR.value) if _MODELS_DIR.value else (out if _OUT.value else ROOT) / "models"
    run_benchmark(out, settings, models_dir=models_dir, force=_FORCE.value)
    print(format_table(read_results(out).rows))
    print(f"\n{out / 'benchmark.csv'}")


if __name__ == "__main__":
    _cli.run(main)
