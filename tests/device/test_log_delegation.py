import pytest
from support.tool_logs import GPU_FULL, GPU_NOT, GPU_PART, UNDONE, litert_log, profile, profile_row, replacing, tool_log

from mnext_tf.device import parse_log

XNNPACK = "INFO: Created TensorFlow Lite XNNPACK delegate for CPU."


GPU = {"asked": "gpu"}


@pytest.mark.parametrize(
    ("middle", "ran_on", "nodes"),
    [
        ([replacing(66, 66), GPU_FULL], "gpu", (66, 66)),
        ([GPU_FULL], "gpu", (None, None)),
        (["Applied GPU delegate, and the model graph will be completely executed w/ the delegate."], "gpu", None),
        ([replacing(66, 66)], "gpu", (66, 66)),
        ([replacing(66, 66, "LITERT_CL", where=" for subgraph 0 (main)")], "gpu", (66, 66)),
        ([replacing(66, 66, "ML_DRIFT_CL")], "gpu", (66, 66)),
        ([replacing(66, 66, "LITERT_WEBGPU")], "gpu", (66, 66)),
        ([replacing(66, 66), GPU_FULL, replacing(0, 1, "TfLiteXNNPackDelegate")], "gpu", (66, 66)),
        ([replacing(66, 66), GPU_FULL, GPU_NOT.replace("GPU", "NNAPI")], "gpu", (66, 66)),
        ([replacing(62, 66, partitions=3), GPU_PART], "gpu_partial", (62, 66)),
        ([replacing(62, 66, "LITERT_CL", 2), replacing(4, 6, "TfLiteXNNPackDelegate", 3)], "gpu_partial", (62, 66)),
        ([replacing(50, 66, "TfLiteXNNPackDelegate"), replacing(62, 66)], "gpu_partial", (62, 66)),
        (["62 operations will run on the GPU, and the remaining 4 operations will run on the CPU.", GPU_PART],
         "gpu_partial", (62, 66)),
        (["62 operations will run on the GPU, and the remaining 4 operations will run on the CPU.",
          "Replacing 62 node(s) with delegate (TfLiteGpuDelegateV2) node, yielding 2 partitions."], "gpu_partial",
         (62, 66)),
        (["62 operations will run on the GPU, and the remaining 4 operations will run on the CPU.", GPU_FULL],
         "gpu_partial", (62, 66)),
        ([replacing(62, 66), GPU_FULL], "gpu_partial", (62, 66)),
        ([replacing(66, 66), GPU_PART], "gpu_partial", (66, 66)),
        ([replacing(31, 31, where=" for subgraph 0"), replacing(5, 9, where=" for subgraph 1")], "gpu_partial",
         (36, 40)),
        ([replacing(31, 31, where=" for subgraph 0"), replacing(9, 9, where=" for subgraph 1")], "gpu", (40, 40)),
        ([replacing(66, 66), replacing(3, 9, "TfLiteXNNPackDelegate")], "gpu_partial", (66, 66)),
        ([GPU_NOT], "cpu", (None, None)),
        ([replacing(66, 66), GPU_NOT], "cpu", None),
        ([replacing(0, 66), GPU_NOT], "cpu", (0, 66)),
        (["Next operations are not supported by GPU delegate:", "First 0 operations will run on the GPU, and the "
          "remaining 66 on the CPU."], "cpu", (None, None)),
        ([replacing(66, 66), "ERROR: Node number 66 (TfLiteGpuDelegateV2) failed to prepare.", UNDONE], "cpu", None),
        ([replacing(66, 66), GPU_FULL, UNDONE, replacing(66, 66, "TfLiteXNNPackDelegate")], "cpu", (66, 66)),
        ([replacing(66, 66), "ERROR: Failed to apply GPU delegate."], "cpu", None),
        ([replacing(66, 66, "LITERT_CL"), replacing(66, 66, "TfLiteXNNPackDelegate")], "cpu", (66, 66)),
        ([replacing(66, 66), UNDONE, replacing(66, 66), GPU_FULL], "gpu", (66, 66)),
        (["INFO: Created TensorFlow Lite delegate for GPU.", "INFO: Initialized OpenCL-based API.",
          "GPU delegate created."], "cpu", (None, None)),
        (["WARNING: [gpu_registry.cc:150] GPU accelerator could not be loaded and registered.", XNNPACK], "cpu", None),
        ([replacing(66, 66), "INFO: Created 0 GPU delegate kernels."], "cpu", None),
        ([replacing(66, 66), "Node number 66 (TfLiteGpuDelegateV2) failed to prepare."], "cpu", None),
        ([XNNPACK], "cpu", (None, None)),
    ],
)  # fmt: skip
def test_who_ran_a_graph_that_was_meant_for_the_gpu(middle, ran_on, nodes):
    log = parse_log(tool_log(*middle, **GPU))
    assert (log.status, log.ran_on) == ("ok", ran_on)
    assert nodes is None or (log.nodes_delegated, log.nodes_total) == nodes
    if ran_on == "cpu":
        assert any("GPU was asked for" in warning for warning in log.warnings)
        assert "gpu" not in str(log.delegate).lower()


def test_the_profile_can_take_gpu_back_but_only_with_nodes_of_the_graph():
    rows = [("TfLiteGpuDelegateV2", *("1",) * 3, "50%", "50%", "0", "1", "all:66")]
    assert parse_log(tool_log(GPU_FULL) + profile(rows)).ran_on == "gpu"
    inside = profile(rows) + "Delegate internal:\n" + "\n".join(profile().split("Runs:\n")[1].splitlines())
    assert parse_log(tool_log(GPU_FULL) + inside).ran_on == "gpu"
    assert parse_log(tool_log(GPU_FULL) + profile([*rows, profile_row("ADD")])).ran_on == "gpu_partial"
    assert parse_log(tool_log(GPU_FULL) + profile([profile_row("CONV_2D"), profile_row("ADD")])).ran_on == "cpu"


def test_a_gpu_in_software_is_the_cpu():
    adapter = "I0000 00:00:1795329208.4 25210 environment.cc:532] Selected adapter: llvmpipe (LLVM 15), arch=software, "
    adapter += "vendor=mesa, backend=Vulkan, adapterType=CPU / Software"
    log = parse_log(litert_log(adapter, replacing(66, 66, "LITERT_WEBGPU")))
    assert (log.status, log.ran_on) == ("ok", "cpu")
    assert any("software" in warning for warning in log.warnings)


@pytest.mark.parametrize(
    ("accelerators", "wholly", "ran_on"),
    [("GPU", "True", "gpu"), ("GPU", "False", "gpu_partial"), ("GPU | CPU", "True", "cpu"), ("CPU", "True", "cpu")],
)
def test_the_python_tools_words(accelerators, wholly, ran_on):
    at = "2026-01-02 03:04:05 INFO benchmark_litert_model: "
    lines = [f"{at}Accelerators:    {accelerators}", f"{at}Fully accelerated: {wholly}"]
    assert parse_log("\n".join(lines) + "\n" + litert_log(counts=False)).ran_on == ran_on


def test_what_failed_ran_nowhere():
    nothing = {"warm": "", "measured": "", "tail": ()}
    log = parse_log(tool_log(replacing(66, 66), GPU_FULL, "ERROR: Failed to allocate tensors!", **nothing))
    assert (log.status, log.ran_on, log.delegate) == ("failed", "cpu", None)


@pytest.mark.parametrize(
    ("middle", "ran_on", "delegate"),
    [
        ([replacing(31, 31, "TfLiteNnapiDelegate"), GPU_FULL.replace("GPU", "NNAPI")], "nnapi", "TfLiteNnapiDelegate"),
        ([GPU_PART.replace("GPU", "NNAPI")], "nnapi_partial", "NNAPI"),
        ([replacing(31, 31, "TfLiteNnapiDelegate"), GPU_NOT.replace("GPU", "NNAPI"), XNNPACK], "cpu", "XNNPACK"),
        ([replacing(5, 64, "TfLiteNnapiDelegate"), replacing(59, 62, "TfLiteXNNPackDelegate")], "nnapi_partial",
         "TfLiteNnapiDelegate"),
        (["INFO: Replacing 5 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions."],
         "nnapi_partial", "TfLiteNnapiDelegate"),
        (["INFO: Replacing 5 node(s) with delegate (TfLiteNnapiDelegate) node, yielding 1 partitions.",
          GPU_FULL.replace("GPU", "NNAPI")], "nnapi", "TfLiteNnapiDelegate"),
        ([replacing(1, 1, "DispatchDelegate")], "other", "DispatchDelegate"),
        ([GPU_PART.replace("GPU", "Hexagon")], "other_partial", "Hexagon"),
    ],
)  # fmt: skip
def test_other_delegates(middle, ran_on, delegate):
    log = parse_log(tool_log(*middle, asked="NNAPI"))
    assert (log.status, log.ran_on, log.delegate) == ("ok", ran_on, delegate)


def test_the_reference_accelerator_is_named():
    lines = ["NNAPI accelerator name: [nnapi-reference]", GPU_FULL.replace("GPU", "NNAPI")]
    assert any("runs on the CPU" in warning for warning in parse_log(tool_log(*lines)).warnings)


def test_opengl_is_a_warning():
    log = parse_log(tool_log(replacing(66, 66), "ERROR: Falling back to OpenGL", GPU_FULL, **GPU))
    assert (log.status, log.ran_on, log.warnings) == ("ok", "gpu", ("Falling back to OpenGL",))
