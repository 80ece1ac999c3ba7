"""Around the ARM64 kernels, without them: roots that are none, processes that fail, numbers and words.

A stand-in for qemu runs the worker in this machine's own Python, so that results must be this machine's to the bit.
"""

import os
import shutil
import sys

import numpy as np
import pytest
from support.exported_runs import pruned_run

from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.evaluation.arm64_equivalence import (
    MAX_STEPS,
    compare_arm64,
    default_images,
    differences,
    first_difference,
    layer_steps,
)
from mnext_tf.evaluation.verify_run import verify_run
from mnext_tf.export import stages
from mnext_tf.files import read_json
from mnext_tf.inference.arm64 import Arm64Network, check_root, run_arm64
from mnext_tf.inference.predictor import open_predictor
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.runs.run import open_run
from mnext_tf.tasks.tolerance import Tolerance
from mnext_tf.tflite.operators import read_operators

# qemu's own arguments and Python's options of isolation are left out
WORKER = f'shift 5; while [ "${{1#*.py}}" = "$1" ]; do shift; done; exec "{sys.executable}" "$@"'
TOOK = "echo 'INFO: Created TensorFlow Lite XNNPACK delegate for CPU.' >&2"


@pytest.fixture
def exported(few_blocks, few_blocks_exported):
    return few_blocks_exported


@pytest.fixture
def make_root(tmp_path):
    """`make_root(script)`: a root whose qemu is a shell script."""

    def make(script: str):
        root = tmp_path / "root with spaces"
        for name in ("usr/bin/python3", "proc/cpuinfo", "sys/devices/system/cpu/possible", "made_by"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("0\n")
        for name in ("site/numpy", "site/ai_edge_litert"):
            (root / name).mkdir(parents=True)
        (root / "qemu-aarch64-static").write_text(f"#!/bin/sh\n{script}\n")
        (root / "qemu-aarch64-static").chmod(0o755)
        return root

    return make


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3)).astype(np.float32)


def file_of(run, stage):
    return run.stage(stage) / run.manifest(stage)["result"]["file"]


def test_a_root_that_is_none_names_what_makes_one(tmp_path, make_root):
    with pytest.raises(ExportError, match=r"missing does not exist.*sh environments/arm64.sh.*make environment-arm64"):
        check_root(tmp_path / "missing")
    with pytest.raises(ExportError, match=r"no whole ARM64 root: it lacks qemu-aarch64-static, usr/bin/python3, "):
        check_root(tmp_path)
    root = make_root("exit 0")
    assert check_root(root) == root
    (root / "proc/cpuinfo").unlink()
    with pytest.raises(ExportError, match=r"lacks proc/cpuinfo\. Name one that is; `sh environments/arm64.sh FOLDER`"):
        check_root(root)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -SEGV $$", "was ended by SIGSEGV; it last said: nothing"),
        ("echo 'no such library' >&2; exit 7", "left with 7; it last said: no such library"),
        ("sleep 60", "starting took longer than 1 s"),
        ("""echo '{"nodes_delegated": 9}'; cat""", "XNNPACK did not take the graph"),
        (f"""{TOOK}; echo '{{"nodes_delegated": 0}}'; cat""", "XNNPACK did not take the graph"),
        (
            f"""{TOOK}; echo '{{"nodes_delegated": 9}}'; head -c 3; echo 'illegal instruction' >&2; kill -ILL $$""",
            "was ended by SIGILL; it last said: .*illegal instruction",
        ),
        (f"""{TOOK}; echo '{{"nodes_delegated": 9}}'; sleep 60""", "an image took longer than 1 s"),
    ],
)
def test_a_process_that_fails_says_how(make_root, tmp_path, script, said):
    inputs = [np.zeros(4, np.int8)] * 3
    with pytest.raises(ExportError, match=f"f.tflite.*{said}"):
        run_arm64(
            tmp_path / "f.tflite",
            make_root(script),
            inputs,
            [{"index": 0, "shape": [4], "dtype": np.int8}],
            workers=2,
            time_limit=1.0,
        )


def test_a_qemu_of_another_machine_is_named(make_root, tmp_path):
    root = make_root("exit 0")
    (root / "qemu-aarch64-static").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(ExportError, match=r"qemu-aarch64-static does not run on this machine"):
        run_arm64(tmp_path / "f.tflite", root, [np.zeros(4, np.int8)], [])


@pytest.mark.slow
def test_several_processes_give_the_images_in_order(exported, make_root, images):
    root = make_root(WORKER)
    for stage, dtype in (("tflite_float32", np.float32), ("tflite_int8", np.int8)):
        path = file_of(exported, stage)
        network = Arm64Network(path, root, workers=3)
        assert [values.dtype for values in network.raw(images)] == [dtype]
        logits = network(images)
        np.testing.assert_array_equal(logits, TFLiteNetwork(path)(images))
        assert len(np.unique(logits, axis=0)) == len(images)
        assert network.about["nodes_delegated"] == network.about["nodes_total"] == len(read_operators(path))


def test_a_predictor_may_compute_by_arm64_kernels(exported, make_root, images):
    path, root = file_of(exported, "tflite_int8"), make_root(WORKER)
    with open_predictor(path, arm64=root) as network, open_predictor(path) as here:
        np.testing.assert_array_equal(network.predict(images), here.predict(images))
        assert (network.input_size, network.num_classes) == (32, 10)
    with pytest.raises(ConfigError, match="TFLite files only"):
        open_predictor(exported.stage("frozen") / "frozen.pb", arm64=root)


def test_every_operator_is_compared(exported, make_root, images):
    path = file_of(exported, "tflite_int8")
    rows = layer_steps(path, make_root(WORKER), images[:2], ["stem", "logits"])
    assert [row["operator"] for row in rows] == [op.kind for op in read_operators(path)]
    assert {row["steps"] for row in rows} == {0}
    assert [row["operator"] for row in rows if row["layer"] == "stem"] == ["PAD", "CONV_2D"]
    assert first_difference(rows).startswith(f"in no operator's output (of {len(rows)})")


def test_the_first_difference_is_told_in_words():
    same = np.zeros((2, 100), np.int8)
    other = same.copy()
    other[1, 3] = -2
    rows = [
        {"layer": "stem", "operator": "CONV_2D", **differences(same, same)},
        {"layer": "block01_reduce", "operator": "CONV_2D", **differences(other, same)},
        {"layer": "pool", "operator": "MEAN", **differences(other - 5, same)},
    ]
    assert (
        first_difference(rows) == "first at block01_reduce (CONV_2D, 2 of 3): up to 2 steps, in 0.50% of its elements"
    )
    values = np.float32([[1, 2, -4]])
    rows = [
        {"layer": "stem", "operator": "CONV_2D", **differences(values + np.float32(1e-5), values)},
        {"layer": "pool", "operator": "MEAN", **differences(values + np.float32([0, 0, 0.04]), values)},
    ]
    assert "first at pool (MEAN, 2 of 2): up to 1.0e-02 of its largest value, in 33.33%" in first_difference(rows)
    assert differences(np.int8([-128]), np.int8([127]))["steps"] == 255


def test_default_images_take_a_minute(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    float32, int8 = default_images(["float32", "int8"], 311_000_000)
    assert 10 < float32 < 20
    assert int8 == 100
    assert default_images(["float32"] * 8, 600_000_000) == [4] * 8
    assert default_images([], 1) == []


@pytest.fixture
def copy_of_exported(exported, tmp_path):
    """With the two files that every test here leaves alone."""
    shutil.copytree(exported.folder, tmp_path / "run")
    for other in (tmp_path / "run").glob("tflite_*"):
        if other.name not in ("tflite_float32", "tflite_int8"):
            shutil.rmtree(other)
    return open_run(tmp_path / "run")


@pytest.mark.slow
def test_verify_run_adds_rows_for_arm64(copy_of_exported, make_root):
    verified = verify_run(copy_of_exported, Tolerance(), max_images=8, arm64=make_root(WORKER), arm64_images=3)
    assert verified["passed"]
    assert read_json(copy_of_exported.folder / "verify.json")["arm64"] == verified["arm64"]
    assert list(verified["arm64"]) == ["tflite_float32", "tflite_int8"]
    for row in verified["arm64"].values():
        assert row["images"] == 3
        assert row["max_abs_difference"] == 0
        assert row["first_difference"] is None
    assert verified["arm64"]["tflite_int8"]["allowed_steps"] == MAX_STEPS


@pytest.mark.slow
@pytest.mark.parametrize("saved", [0.6, 0.0])
def test_verify_run_says_whether_sparse_kernels_compute_a_pruned_network(
    few_blocks, tmp_path, make_root, monkeypatch, saved
):
    from mnext_tf.evaluation import arm64_equivalence
    from mnext_tf.tflite.zeros import zero_share

    def seconds(path, root, image, **_):
        assert 0 < arm64_seconds(path, root, image) < 60
        return 1 - saved * (zero_share(path.read_bytes()) > 0)

    arm64_seconds = arm64_equivalence._seconds
    monkeypatch.setattr(arm64_equivalence, "_seconds", seconds)
    run = pruned_run(tmp_path / "run")
    stages.tflite(run, sparse=True)
    row = verify_run(run, Tolerance(), max_images=4, arm64=make_root(WORKER), arm64_images=2)["arm64"]["tflite_float32"]
    assert row["zero_share"] == pytest.approx(0.8, abs=0.01)
    assert (row["sparse_kernels"], row["time_ratio"]) == (saved > 0, 1 - saved)


@pytest.mark.slow
def test_a_file_that_arm64_computes_otherwise_is_put_aside(copy_of_exported, make_root, monkeypatch):
    scale = copy_of_exported.manifest("tflite_int8")["result"]["output"]["scale"]
    computed = Arm64Network.__call__
    monkeypatch.setattr(Arm64Network, "__call__", lambda self, images: computed(self, images) + np.float32(4 * scale))
    int8 = file_of(copy_of_exported, "tflite_int8")
    verified = verify_run(copy_of_exported, Tolerance(), max_images=8, arm64=make_root(WORKER), arm64_images=3)
    assert not verified["passed"]
    assert set(verified["failures"]) == {"tflite_float32 on ARM64", "tflite_int8 on ARM64"}
    assert "differ by 4 quantization steps, allowed 3. It differs in no" in verified["failures"]["tflite_int8 on ARM64"]
    assert "of the largest, allowed 1e-04" in verified["failures"]["tflite_float32 on ARM64"]
    assert not int8.exists()
    assert int8.with_name(int8.name + ".failed").exists()


def test_another_top1_is_wrong_for_trained_networks(exported, make_root, images, monkeypatch):
    path = file_of(exported, "tflite_float32")
    monkeypatch.setattr(Arm64Network, "__call__", lambda self, images: -TFLiteNetwork(path)(images))
    reference = TFLiteNetwork(path)(images)
    root = make_root(WORKER)
    _, found = compare_arm64(path, "dynamic", root, images, -0.5 * reference)
    assert found == ["its top-1 is another one on 7 of 7 images, allowed 1 in 100"]
    _, found = compare_arm64(path, "dynamic", root, images, -0.5 * reference, trained=False)
    assert found == []


@pytest.mark.slow
def test_a_process_that_dies_is_a_failure_and_the_file_stays(copy_of_exported, make_root):
    verified = verify_run(copy_of_exported, Tolerance(), max_images=8, arm64=make_root("kill -SEGV $$"))
    assert not verified["passed"]
    assert verified["arm64"] == {}
    assert all("was ended by SIGSEGV" in text for text in verified["failures"].values())
    assert file_of(copy_of_exported, "tflite_int8").exists()


def test_verify_run_wants_a_root(exported, tmp_path):
    with pytest.raises(ExportError, match="does not exist: no ARM64 root"):
        verify_run(exported, Tolerance(), arm64=tmp_path / "missing")


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--arm64_images=3"], "--arm64_images belongs to --arm64=FOLDER"),
        (["--arm64=x", "--arm64_images=0"], "--arm64_images must be at least 1; received 0"),
    ],
)
def test_wrong_flags_are_answered_at_once(python, flags, text):
    finished = python("-m", "pipelines.verify", *flags)
    assert finished.returncode == 1
    assert text in finished.stderr
    assert finished.stderr.count("\n") == 1
