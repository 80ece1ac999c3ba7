"""int8 files of one network by several tools, on the same images: how much of the float network each keeps.

python -m benchmarks.quantizers --run=runs/mobilenet_v2-imported --images=PHOTOS

Half of the images are never calibrated on. From the other half, each of `--sets` seeds draws a calibration set; every
tool gets the same sets, and is compared with the float network on the same unseen images. The spread is over sets.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from pathlib import Path

import numpy as np
from absl import flags

from mnext_tf.errors import ConfigError, ExportError
from pipelines import _cli

FLAGS = flags.FLAGS
flags.DEFINE_string("run", None, "A run folder with trained or imported weights.", required=True)
flags.DEFINE_string("images", None, "A folder of images, of the kind that the network is for.", required=True)
flags.DEFINE_list("tools", ["fast", "good", "best"], "fast (TensorFlow's converter), good, best, litert_quantizer.")
flags.DEFINE_integer("calibration_images", 160, "Images in a calibration set.", lower_bound=1)
flags.DEFINE_integer("sets", 3, "Calibration sets.", lower_bound=1)
flags.DEFINE_string("litert_python", "python3", "The Python that has litert-quantizer, for the tool of that name.")
flags.DEFINE_string("out", "runs/quantizers", "Folder for quantizers.csv and quantizers.json.")

TOOLS = ("fast", "good", "best", "litert_quantizer")
_LITERT = """
import sys, numpy as np
from litert_quantizer import quantizer, recipe
tool = quantizer.Quantizer(sys.argv[1])
tool.load_quantization_recipe(recipe.static_wi8_ai8())
images = np.load(sys.argv[2])
data = {"serving_default": [{"image": image[None]} for image in images]}
tool.quantize(tool.calibrate(data)).export_model(sys.argv[3], overwrite=True)
"""


def main() -> None:
    if wrong := [tool for tool in FLAGS.tools if tool not in TOOLS]:
        raise ConfigError(f"--tools takes {', '.join(TOOLS)}; received {wrong[0]}.")
    from mnext_tf.export.stages import freeze
    from mnext_tf.runs.run import open_run
    from mnext_tf.runs.weights import load_network

    run, out = open_run(Path(FLAGS.run)), Path(FLAGS.out)
    out.mkdir(parents=True, exist_ok=True)
    network, frozen = load_network(run), freeze(run).folder / "frozen.pb"
    images = _images(run)
    order = np.random.default_rng(0).permutation(len(images))
    unseen, others = images[order[: len(images) // 2]], images[order[len(images) // 2 :]]
    if len(others) < FLAGS.calibration_images:
        raise ConfigError(f"Half of {len(images)} images is less than --calibration_images={FLAGS.calibration_images}.")
    expected = np.concatenate([network(unseen[i : i + 25], training=False) for i in range(0, len(unseen), 25)])
    rows = []
    for seed in range(1, FLAGS.sets + 1):
        drawn = np.random.default_rng(seed).permutation(len(others))[: FLAGS.calibration_images]
        rows += [{"set": seed, **row} for row in _compare(network, frozen, list(others[drawn]), unseen, expected, out)]
    _report(rows, len(unseen), out)


def _images(run) -> np.ndarray:
    from mnext_tf.data.preprocess import eval_image
    from mnext_tf.data.sources.layouts import list_image_files

    paths = list_image_files(Path(FLAGS.images))
    if not paths:
        raise ConfigError(f"There are no images in {FLAGS.images}.")
    return np.stack([eval_image(path.read_bytes(), run.config.preprocess).numpy() for path in paths])


def _compare(network, frozen: Path, calibration: list, unseen: np.ndarray, expected: np.ndarray, out: Path):
    """A row for each tool, on one calibration set."""
    from mnext_tf.compression.post_training import compare_file, improve
    from mnext_tf.export.tflite import convert

    started = time.monotonic()
    converted = convert(frozen, "int8", calibration=calibration)
    first = time.monotonic() - started
    for tool in FLAGS.tools:
        started = time.monotonic()
        if tool == "fast":
            content = converted
        elif tool == "litert_quantizer":
            content = _by_litert_quantizer(convert(frozen, "float32"), calibration, out)
        else:
            content = improve(network, converted, calibration, effort=tool).content
        seconds = time.monotonic() - started + (0 if tool == "litert_quantizer" else first)
        row = {"tool": tool, **compare_file(content, unseen, expected), "seconds": round(seconds, 1)}
        print(f"{tool:18}{row['agreement']:8.1%}{row['sqnr_db']:8.1f} dB{row['seconds']:8.0f} s", flush=True)
        yield row


def _by_litert_quantizer(content: bytes, calibration: list, out: Path) -> bytes:
    files = [out / name for name in ("float32.tflite", "calibration.npy", "litert.tflite")]
    files[0].write_bytes(content)
    np.save(files[1], np.stack(calibration))
    done = subprocess.run([FLAGS.litert_python, "-c", _LITERT, *map(str, files)], capture_output=True, text=True)
    if done.returncode:
        raise ExportError(f"litert-quantizer failed in {FLAGS.litert_python}: {done.stderr[-500:]}")
    return files[2].read_bytes()


def _report(rows: list[dict], unseen: int, out: Path) -> None:
    from mnext_tf.files import write_csv, write_json

    print(
        f"\n{unseen} unseen images, {FLAGS.calibration_images} calibration images, {FLAGS.sets} sets: mean (st. error)"
    )
    print(f"{'tool':18}{'same top-1':>18}{'SQNR, dB':>18}{'seconds':>9}")
    for tool in FLAGS.tools:
        mine = [row for row in rows if row["tool"] == tool]
        texts = [
            _mean_and_error([100 * row["agreement"] for row in mine]),
            _mean_and_error([r["sqnr_db"] for r in mine]),
        ]
        print(f"{tool:18}{texts[0]:>18}{texts[1]:>18}{statistics.fmean(row['seconds'] for row in mine):9.0f}")
    write_csv(out / "quantizers.csv", rows)
    write_json(out / "quantizers.json", {"run": FLAGS.run, "unseen": unseen, "rows": rows})
    print(out / "quantizers.csv")


def _mean_and_error(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return f"{statistics.fmean(values):.2f} ({error:.2f})"


if __name__ == "__main__":
    _cli.run(main)
