"""Logs of runs that failed."""

import pytest
from support.tool_logs import GPU_FULL, MEMORY, SUMMARY, UNDONE, tool_log

from mnext_tf.device import parse_log

XNNPACK = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."

ENDS = (
    "Illegal instruction ",
    "Bus error ",
    "bash: line 1:  4711 Killed                  ./benchmark_model --graph=a.tflite",
    "zsh: segmentation fault  ./benchmark_model",
    "taskset: bad mask 'f00g'",
    "bash: ./benchmark_model: cannot execute binary file: Exec format error",
    "/system/bin/sh: syntax error: unexpected 'ELF'",
)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("STARTING!\nERROR: Could not open '/data/local/tmp/a.tflite'.\nERROR: Failed to load model\n"
         "ERROR: Benchmarking failed.\n", "Could not open '/data/local/tmp/a.tflite'."),
        (tool_log("ERROR: Falling back to OpenGL", "ERROR: TfLiteGpuDelegate Init: no API", UNDONE,
                  "ERROR: Failed to apply GPU delegate.", "ERROR: Benchmarking failed.", warm="", measured="",
                  tail=()), "TfLiteGpuDelegate Init: no API"),
        (tool_log("Failed to allocate tensors!", "Benchmarking failed."), "Failed to allocate tensors!"),
        ("WARN: Unconsumed cmdline flags: --use_gpi=true\n" + tool_log(), "Unconsumed cmdline flags: --use_gpi=true"),
        ("INFO: STARTING!\nERROR: Requesting full delegation and CPU acceleration are incompatible.\nAborted \n",
         "Requesting full delegation"),
        (tool_log(GPU_FULL, tail=["ERROR: Node number 66 (TfLiteGpuDelegateV2) failed to invoke."]), "Node number 66"),
        ("STARTING!\nSegmentation fault \n", "Segmentation fault"),
        ("/system/bin/sh: /data/local/tmp/benchmark_model: not executable: 64-bit ELF file\n", "not executable"),
        ("CANNOT LINK EXECUTABLE \"./benchmark_model\": library \"libOpenCL.so\" not found\n", "CANNOT LINK"),
        ("STARTING!\nDisallowed CPU fallback detected.\nBenchmarking failed.\n", "Disallowed CPU fallback"),
        ("STARTING!\nERROR: Failed to mmap model /data/a.tflite\n", "Failed to mmap"),
        ("STARTING!\nFATAL: No data for a tensor of this type\n", "No data for a tensor"),
        ("STARTING!\nlibc++abi: terminating due to uncaught exception of type std::bad_alloc\n", "libc++abi"),
        ("05-30 10:31:13.006  4711  4712 E AndroidRuntime: FATAL EXCEPTION: main\n", "FATAL EXCEPTION"),
        *((tool_log(GPU_FULL, measured="", tail=[line]), line.strip()) for line in ENDS),
    ],
)  # fmt: skip
def test_failures(text, error):
    log = parse_log(text)
    assert log.status == "failed"
    assert log.error.startswith(error) or error in log.error
    assert log.ran_on != "gpu" or "failed to invoke" in log.error  # after the measured runs


@pytest.mark.parametrize("end", [*ENDS, "ERROR: Failed to apply GPU delegate."])
def test_a_failure_beside_a_result_is_a_warning(end):
    log = parse_log(tool_log(XNNPACK, tail=[SUMMARY, MEMORY, end]))
    assert (log.status, log.error, log.avg_ms) == ("ok", None, 7.05)
    assert log.warnings == (end.removeprefix("ERROR: ").strip(),)
