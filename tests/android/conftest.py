"""The built APK, the app's Kotlin code on a desktop JVM, and a model for the assets."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

HERE = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def android_tools(repository) -> Path:
    """The folder created by `environments/android.sh`; skips if it is missing."""
    folder = repository / ".environments" / "android"
    if not (folder / "made_by").is_file():
        pytest.skip(f"{folder} is missing: make environment-android")
    for program in ("java", "javac", "keytool"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is missing: install openjdk-17-jdk-headless")
    return folder


@pytest.fixture(scope="session")
def app_model() -> bytes:
    """A small network with the interface that the app expects: pixels, three probabilities, metadata."""
    import tensorflow as tf

    from mnext_tf.tflite.metadata import Metadata, TensorInfo, add_metadata

    weights = tf.constant(np.random.default_rng(0).standard_normal((3, 3)), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec((1, 32, 32, 3), tf.float32)])
    def network(image):
        return tf.nn.softmax(tf.reduce_mean(image, (1, 2)) / 255 @ weights)

    plain = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()]).convert()
    record = {"input_size": 32, "crop_fraction": 0.875, "interpolation": "bilinear"}
    about = Metadata(name="Small", labels=("tench", "große Katze", "fire engine, fire truck"), preprocess=record)
    return add_metadata(plain, about, [TensorInfo("probabilities", "", (0.0, 1.0), labeled=True)])


@pytest.fixture(scope="session")
def app_assets(tmp_path_factory, app_model) -> Path:
    """An assets folder like the exporter's, and a hidden file that must not be packaged."""
    folder = tmp_path_factory.mktemp("assets")
    pixels = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    golden = {"input": "small.golden.rgb", "output": [0.5, 0.25, 0.25], "tolerance": 0.01, "gpu_tolerance": 0.05}
    record = {
        "format": 1,
        "name": "small",
        "title": "Small, 32 px, float32",
        "file": "small.tflite",
        "bytes": len(app_model),
        "sha256": hashlib.sha256(app_model).hexdigest(),
        "labels": "small.labels.txt",
        "input_size": 32,
        "golden": golden,
    }
    (folder / "small.tflite").write_bytes(app_model)
    (folder / "small.labels.txt").write_text("tench\ngroße Katze\nfire engine, fire truck\n")
    (folder / "small.golden.rgb").write_bytes(pixels.tobytes())
    (folder / "small.json").write_text(json.dumps(record))
    (folder / ".gitkeep").write_text("")
    return folder


@pytest.fixture(scope="session")
def app(android_tools, app_assets, tmp_path_factory) -> SimpleNamespace:
    """The APK, and the class path to run its classes."""
    folder = tmp_path_factory.mktemp("apk")
    kept = ["--out", folder / "app.apk", "--work", folder / "work"]
    done = subprocess.run(
        ["sh", HERE / "build_apk.sh", "--tools", android_tools, "--assets", app_assets, *kept],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = (folder / "work/classes", folder / "work/stubs", android_tools / "kotlin/kotlin-stdlib.jar")
    return SimpleNamespace(apk=folder / "app.apk", class_path=":".join(map(str, parts)))


@pytest.fixture(scope="session")
def jvm(app, tmp_path_factory):
    """`jvm("model", path)` runs a command of jvm/Driver.java and returns (success, output fields)."""
    driver = tmp_path_factory.mktemp("driver")
    compiled = ["javac", "-nowarn", "-cp", app.class_path, "-d", driver, *(HERE / "jvm").glob("*.java")]
    subprocess.run(compiled, check=True, timeout=120)
    options = ["-Djava.awt.headless=true", "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8"]
    process = subprocess.Popen(
        ["java", *options, "-cp", f"{driver}:{app.class_path}", "Driver"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )

    def run(*words) -> tuple[bool, list[str]]:
        process.stdin.write("\t".join(map(str, words)) + "\n")
        process.stdin.flush()
        verdict, *output = process.stdout.readline().rstrip("\n").split("\t")
        assert verdict in ("ok", "error"), verdict
        return verdict == "ok", output

    yield run
    process.stdin.close()
    process.wait(20)


@pytest.fixture(scope="session")
def floats():
    """Converts float32 arrays to the driver's text format and back."""
    to_text = lambda values: base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()
    return SimpleNamespace(text=to_text, array=lambda text: np.frombuffer(base64.b64decode(text), "<f4"))
