import subprocess
import sys
from pathlib import Path

from mnext_tf.benchmark.memory import peak_memory_mb


def test_peak_is_positive_and_grows_with_the_network(tiny_files):
    small, reason = peak_memory_mb(tiny_files["small"], 1)
    large, _ = peak_memory_mb(tiny_files["large"], 1)
    assert reason is None
    assert 0 < small < large < 500
    assert large - small > 4  # the large one's output alone: 16 x 16 x 4096 floats


def test_a_file_that_cannot_be_read_gives_a_reason(tmp_path):
    (tmp_path / "cut.tflite").write_bytes(b"no model")
    peak, reason = peak_memory_mb(tmp_path / "cut.tflite", 1)
    assert peak is None
    assert "cannot be run" in reason


def test_the_probe_does_not_import_tensorflow():
    root = Path(__file__).resolve().parents[2]
    code = "import sys, mnext_tf.benchmark.memory, mnext_tf.benchmark.runners; sys.exit('tensorflow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
