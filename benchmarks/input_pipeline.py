"""Training images a second: the library's input pipeline beside a Pillow loader in as many processes.

All loaders draw random resized crop, flip and, with --color_jitter above 0, brightness, contrast and
saturation from the same distributions, take the encoded images from memory, and hand over float32
batches. A Pillow worker writes them straight into shared memory; only slot numbers pass through a queue.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import multiprocessing
import os
import statistics
import time
from pathlib import Path

import numpy as np
from absl import flags

from mnext_tf.data import Augment, Preprocess
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.files import atomic_write
from pipelines import _cli

FLAGS = flags.FLAGS
flags.DEFINE_string("data_dir", "", "A folder of JPEGs to read. Empty: two sets made from scikit-learn's images.")
flags.DEFINE_integer("processes", 0, "Cores for each loader, and Pillow's processes. 0: all.", lower_bound=0)
flags.DEFINE_integer("rounds", 5, "The loaders take turns this many times.", lower_bound=1)
flags.DEFINE_integer("batch_size", 4, "Images in a batch.", lower_bound=1)
flags.DEFINE_float("seconds", 2.0, "How long one turn is measured, in seconds; it takes twice that.", lower_bound=0.1)
flags.DEFINE_integer("input_size", 224, "Side of the images handed over, in pixels.", lower_bound=1)
flags.DEFINE_list("interpolation", ["bicubic"], "Resizing, the same for all loaders; each value is measured.")
flags.DEFINE_list("color_jitter", ["0.4", "0"], "Colour jitter; each value is measured.")
flags.DEFINE_float(
    "noise", 6.0, "Standard deviation, of 255, of the noise put on the images that are made here.", lower_bound=0
)
flags.DEFINE_string("out", "", "Folder to write input_pipeline.json and input_pipeline.csv to. Empty: none.")

MADE = {"ImageNet-sized": (500, 375, 95, 48), "12 megapixels": (4000, 3000, 90, 8)}  # width, height, quality, count
AHEAD = 2  # batches that each Pillow worker, and tf.data, may have finished before they are asked for
WINDOWS = 64  # crop windows drawn beforehand for every image


def main() -> None:
    cores = sorted(os.sched_getaffinity(0))
    processes = FLAGS.processes or len(cores)
    if processes > len(cores):
        raise ConfigError(f"--processes must be at most the {len(cores)} cores there are; received {processes}.")
    os.sched_setaffinity(0, cores[:processes])  # before TensorFlow counts them; the workers inherit it
    rows = []
    for name, encoded in _image_sets().items():
        size = sum(map(len, encoded))
        pixels = sum(width * height for width, height in map(_size, encoded))
        print(
            f"\n{name}: {len(encoded)} JPEGs of {size / len(encoded) / 1e3:.0f} kB, {size / pixels:.2f} bytes a pixel"
        )
        for interpolation, jitter in itertools.product(FLAGS.interpolation, map(float, FLAGS.color_jitter)):
            preprocess = Preprocess(FLAGS.input_size, interpolation=interpolation)
            rates = _measure(encoded, preprocess, Augment(color_jitter=jitter), processes)
            rows += _report(name, interpolation, jitter, rates)
    print(f"\n{processes} cores, load average {os.getloadavg()[0]:.1f}; medians of {FLAGS.rounds} rounds (range).")
    if FLAGS.out:
        _write(Path(FLAGS.out), rows)


def _image_sets() -> dict[str, list[bytes]]:
    if not FLAGS.data_dir:
        return {name: _make_jpegs(*how) for name, how in MADE.items()}
    paths = sorted(p for p in Path(FLAGS.data_dir).rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))[:512]
    if not paths:
        raise DataError(f"There are no .jpg or .jpeg files in {FLAGS.data_dir}. Give a folder of images.")
    return {FLAGS.data_dir: [path.read_bytes() for path in paths]}


def _make_jpegs(width: int, height: int, quality: int, count: int) -> list[bytes]:
    """Crops of two sample images, resized, with a sensor's noise: without it they are smoother than a camera's.

    The number of bytes sets the time for Huffman decoding, which every loader needs. With the default noise
    there are as many as ImageNet has, about 110 kB at 500 x 375, and as a phone's camera writes, 2 to 4 MB.
    """
    from PIL import Image
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    samples = [Image.fromarray(sample) for sample in load_sample_images().images]
    jpegs = []
    for i in range(count):
        image = samples[i % len(samples)]
        w = rng.uniform(0.8, 1) * min(image.width, image.height * width / height)
        h = w * height / width
        x, y = rng.uniform(0, image.width - w), rng.uniform(0, image.height - h)
        image = image.resize((width, height), Image.Resampling.BICUBIC, box=(x, y, x + w, y + h))
        noisy = np.asarray(image, np.float32) + rng.normal(0, FLAGS.noise, (height, width, 3)).astype(np.float32)
        jpeg = io.BytesIO()
        Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8)).save(jpeg, "JPEG", quality=quality)
        jpegs.append(jpeg.getvalue())
    return jpegs


def _size(encoded: bytes) -> tuple[int, int]:
    from PIL import Image

    return Image.open(io.BytesIO(encoded), formats=["JPEG"]).size


def _measure(encoded, preprocess: Preprocess, augment: Augment, processes: int) -> dict[str, list[tuple]]:
    """What `_rate` returns for every loader, one value for each round."""
    windows = _draw_windows(encoded, augment)
    loaders = {
        "pillow": PillowLoader(encoded, windows, preprocess, augment, processes, draft=False),
        "pillow_draft": PillowLoader(encoded, windows, preprocess, augment, processes, draft=True),
        "plain": _tf_loader(encoded, _plain_image, preprocess, augment),
        "mnext_tf": _tf_loader(encoded, _library_image, preprocess, augment),
    }
    try:
        for loader in loaders.values():  # warm up
            _rate(loader)
        rates = {name: [] for name in loaders}
        for _ in range(FLAGS.rounds):
            for name, loader in loaders.items():
                rates[name].append(_rate(loader))
        return rates
    finally:
        for name in ("pillow", "pillow_draft"):
            loaders[name].close()


def _rate(loader) -> tuple[float, float]:
    """Images a second of time, and of processor time, over FLAGS.seconds.

    Before, what was made ahead is used up; after, the loader falls idle.
    tf.data prefetches more than it was asked to, so a fixed number of batches to discard would not be enough.
    """
    _batches_taken(loader, FLAGS.seconds / 2)
    start, start_cpu = time.perf_counter(), _cpu_seconds(loader)
    images = _batches_taken(loader, FLAGS.seconds) * FLAGS.batch_size
    rates = images / (time.perf_counter() - start), images / (_cpu_seconds(loader) - start_cpu)
    time.sleep(FLAGS.seconds / 2)
    return rates


def _cpu_seconds(loader) -> float:
    """Used so far by this process and the loader's own; on a busy machine a steadier measure than time."""
    used = time.process_time()
    for worker in getattr(loader, "workers", ()):
        fields = Path(f"/proc/{worker.pid}/stat").read_text().rsplit(")", 1)[1].split()
        used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")  # user, system
    return used


def _batches_taken(loader, seconds: float) -> int:
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(loader)
        count += 1
    return count


def _draw_windows(encoded, augment: Augment) -> np.ndarray:
    """The library's own crop windows (y, x, height, width), int (images, WINDOWS, 4), for Pillow to use."""
    import tensorflow as tf

    from mnext_tf.data.augment import random_window

    draw = tf.function(lambda shape, seed: random_window(shape, augment, seed))
    shapes = [(height, width, 3) for width, height in map(_size, encoded)]
    return np.array(
        [[draw(tf.constant(shape), tf.constant([i, k])) for k in range(WINDOWS)] for i, shape in enumerate(shapes)]
    )


class PillowLoader:
    """Batches float32 (B, S, S, 3) from worker processes, through shared memory."""

    def __init__(self, encoded, windows, preprocess: Preprocess, augment: Augment, processes: int, *, draft: bool):
        spawn = multiprocessing.get_context("spawn")  # a fork would copy TensorFlow's threads' locks
        shape = (AHEAD * processes, FLAGS.batch_size, preprocess.input_size, preprocess.input_size, 3)
        memory = spawn.RawArray("f", int(np.prod(shape)))
        self._batches = np.frombuffer(memory, np.float32).reshape(shape)
        self._done = spawn.SimpleQueue()
        self._free = [spawn.SimpleQueue() for _ in range(processes)]
        self._slot = None
        self.workers = []
        for i, free in enumerate(self._free):
            for k in range(AHEAD):
                free.put(AHEAD * i + k)
            arguments = (i, memory, shape, free, self._done, encoded, windows, preprocess, augment, draft)
            self.workers.append(spawn.Process(target=_work, args=arguments, daemon=True))
            self.workers[-1].start()

    def __next__(self) -> np.ndarray:
        """The batch stays as it is until the next call."""
        if self._slot is not None:
            self._free[self._slot // AHEAD].put(self._slot)
        self._slot = self._done.get()
        return self._batches[self._slot]

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.join()


def _work(seed, memory, shape, free, done, encoded, windows, preprocess, augment, draft) -> None:
    batches = np.frombuffer(memory, np.float32).reshape(shape)
    rng = np.random.default_rng(seed)
    while True:
        slot = free.get()
        for image in batches[slot]:
            i = rng.integers(len(encoded))
            image[:] = _pillow_image(encoded[i], windows[i, rng.integers(WINDOWS)], preprocess, augment, draft, rng)
        done.put(slot)


def _pillow_image(encoded, window, preprocess: Preprocess, augment: Augment, draft: bool, rng):
    """uint8 (S, S, 3); assigning it to float32 memory is the only copy after Pillow."""
    from PIL import Image, ImageEnhance

    image = Image.open(io.BytesIO(encoded), formats=["JPEG"])
    y, x, height, width = window.tolist()
    side, full = preprocess.input_size, image.width
    if draft:  # JPEG's own 1/2, 1/4, 1/8, as long as the crop stays as large as the target
        image.draft("RGB", (side * image.width // width, side * image.height // height))
    scale = image.width / full
    if image.mode != "RGB":
        image = image.convert("RGB")
    box = (x * scale, y * scale, min((x + width) * scale, image.width), min((y + height) * scale, image.height))
    image = image.resize((side, side), getattr(Image.Resampling, preprocess.interpolation.upper()), box=box)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if augment.color_jitter:
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(rng.uniform(1 - augment.color_jitter, 1 + augment.color_jitter))
    return np.asarray(image)


def _tf_loader(encoded, make_image, preprocess: Preprocess, augment: Augment):
    """Batches as `train_batches` makes them; what it does before, reading and shuffling records, is left out."""
    import tensorflow as tf

    def image(i):
        return make_image(images[i % len(encoded)], preprocess, augment, tf.stack([tf.constant(7, tf.int64), i]))

    images = tf.constant(encoded)
    options = tf.data.Options()
    options.deterministic = True
    batches = (
        tf.data.Dataset.counter()
        .map(image, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(FLAGS.batch_size, drop_remainder=True)
        .prefetch(AHEAD)
    )
    return iter(batches.with_options(options))


def _library_image(encoded, preprocess: Preprocess, augment: Augment, seed):
    from mnext_tf.data.preprocess import train_image

    return train_image(encoded, preprocess, augment, seed)


def _plain_image(encoded, preprocess: Preprocess, augment: Augment, seed):
    """What TensorFlow's guides do: decode the crop, resize it without antialiasing, flip, jitter step by step."""
    import tensorflow as tf

    from mnext_tf.data.augment import random_window

    window = random_window(tf.io.extract_jpeg_shape(encoded), augment, seed)
    image = tf.io.decode_and_crop_jpeg(encoded, window, channels=3)
    image = tf.image.resize(image, (preprocess.input_size,) * 2, preprocess.interpolation)
    image = tf.image.stateless_random_flip_left_right(image, seed)
    if jitter := augment.color_jitter:
        brightness = tf.random.stateless_uniform((), seed, 1 - jitter, 1 + jitter)
        image = tf.clip_by_value(image * brightness, 0, 255)
        image = tf.image.stateless_random_contrast(image, 1 - jitter, 1 + jitter, seed)
        image = tf.image.stateless_random_saturation(image, 1 - jitter, 1 + jitter, seed)
    return tf.clip_by_value(image, 0, 255)


def _report(name: str, interpolation: str, jitter: float, rates: dict[str, list[tuple]]) -> list[dict]:
    print(f"  {interpolation}, color jitter {jitter:g}")
    rows = []
    for loader, values in rates.items():
        speed, per_cpu = (
            [value[kind] / pillow[kind] for value, pillow in zip(values, rates["pillow"], strict=True)]
            for kind in (0, 1)
        )
        row = {
            "images": name,
            "interpolation": interpolation,
            "color_jitter": jitter,
            "loader": loader,
            "images_per_second": statistics.median(value[0] for value in values),
            "times_pillow": statistics.median(speed),
            "times_pillow_least": min(speed),
            "times_pillow_most": max(speed),
            "cpu_ms_per_image": statistics.median(1000 / value[1] for value in values),
            "times_pillow_per_cpu": statistics.median(per_cpu),
        }
        print(
            f"    {loader:13}{row['images_per_second']:9.1f} images/s   {row['times_pillow']:6.2f} times Pillow"
            f"  ({min(speed):.2f} to {max(speed):.2f})   {row['cpu_ms_per_image']:8.2f} ms of processor time an image,"
            f" {row['times_pillow_per_cpu']:.2f} times less",
            flush=True,
        )
        rows.append(row)
    return rows


def _write(folder: Path, rows: list[dict]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table = io.StringIO()
    writer = csv.DictWriter(table, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    for path, text in (("input_pipeline.json", json.dumps(rows, indent=2)), ("input_pipeline.csv", table.getvalue())):
        with atomic_write(folder / path) as part:
            part.write_text(text)


if __name__ == "__main__":
    _cli.run(main)
