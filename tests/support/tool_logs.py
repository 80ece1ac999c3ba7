"""Logs as the benchmark tools print them, with made-up numbers."""

WARM = "count=7 first=9100 curr=7000 min=6900 max=9100 avg=7400 std=700"
MEASURED = "count=60 first=7010 curr=6990 min=6800 max=8200 avg=7050 std=210"
SUMMARY = "Inference timings in us: Init: 15250, First inference: 9100, Warmup (avg): 7400, Inference (avg): 7050"
MEMORY = "Memory footprint delta from the start of the tool (MB): init=8.5 overall=21.75"
GPU_FULL = "Explicitly applied GPU delegate, and the model graph will be completely executed by the delegate."
GPU_PART = (
    "Explicitly applied GPU delegate, and the model graph will be partially executed by the delegate w/ 2 "
    "delegate kernels."
)
GPU_NOT = "Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate."
UNDONE = "ERROR: Restored original execution plan after delegate application failure."


def replacing(nodes, total, name="TfLiteGpuDelegateV2", partitions=1, where=" for the whole graph"):
    return (
        f"VERBOSE: Replacing {nodes} out of {total} node(s) with delegate ({name}) node, "
        f"yielding {partitions} partitions{where}."
    )


def tool_log(*middle, asked="", percentiles=True, warm=WARM, measured=MEASURED, tail=(SUMMARY, MEMORY)):
    """A run of TFLite's tool; `middle` is what is said while the graph is prepared."""
    more = " p5=6850 median=7020 p95=7600" if percentiles else ""
    lines = ["STARTING!", "Log parameter values verbosely: [0]", "Num threads: [4]", "Graph: [/data/a.tflite]"]
    lines += [f"Use {asked}: [1]"] if asked else []
    lines += ["Loaded model /data/a.tflite", "INFO: Initialized TensorFlow Lite runtime.", *middle]
    lines += ["The input model file size (MB): 13.9", "Initialized session in 15.25ms."]
    lines += ["Running benchmark for at least 1 iterations and at least 0.5 seconds but terminate if exceeding 150 s."]
    lines += [warm + more, ""] if warm else []
    lines += ["Running benchmark for at least 50 iterations and at least 1 seconds but terminate if exceeding 150 s."]
    lines += [measured + more, ""] if measured else []
    return "\n".join([*lines, *tail]) + "\n"


def litert_log(*middle, table=True, counts=True):
    """A run of LiteRT's C++ tool."""
    more = " p5=950 median=980 p95=1100"
    lines = ["INFO: STARTING!", "INFO: [litert/runtime/environment.cc:36] Creating LiteRT environment with options"]
    lines += [*middle, "INFO: The input model file size (MB): 4.1", "INFO: Initialized session in 31.5ms."]
    if counts:
        lines += [f"INFO: count=400 first=2500 curr=990 min=940 max=2500 avg=1010 std=60{more}", ""]
        lines += [f"INFO: count=1000 first=1000 curr=985 min=940 max=1300 avg=990 std=25{more}", ""]
    if table:
        at = "INFO: [benchmark_litert_model.h:9{}] "
        lines += [at.format(1), "========== BENCHMARK RESULTS =========="]
        lines += [at.format(2) + "Model initialization: 31.50 ms", at.format(3) + "Warmup (first):       2.50 ms"]
        lines += [at.format(4) + "Warmup (avg):         1.01 ms (400 runs)"]
        lines += [at.format(5) + "Inference (avg):      0.99 ms (1000 runs)"]
        lines += [at.format(6) + "Inference (min):      0.94 ms", at.format(7) + "Inference (max):      1.30 ms"]
        lines += [at.format(8) + "Inference (std):      0.03", at.format(9), "Memory Usage:"]
        lines += [at.format(1) + "Init footprint:       5.00 MB", at.format(1) + "Overall footprint:    9.25 MB"]
        lines += [at.format(1) + "Peak memory:          44.50 MB", at.format(1) + "=" * 38]
    return "\n".join(lines) + "\n"


PROFILE_ROWS = (
    ("CONV_2D", "0.000", "0.900", "0.880", "12.500%", "12.500%", "0.000", "1", "[stem/conv, stem/relu]:0"),
    ("Convolution (NHWC, F32) IGEMM", "0.880", "6.2", "6.16", "87.500%", "100.000%", "0.000", "1", "body part:1"),
)


def profile(rows=PROFILE_ROWS, *, joint="\t", start=True, title="Run Order"):
    """The operator profile with (`start`) or without the column of starts; joint "," makes it CSV."""
    names = ["node type", "start", "first", "avg ms", "%", "cdf%", "mem KB", "times called", "Name"]
    keep = [i for i in range(9) if start or i != 1]
    if joint == ",":
        header = ", ".join(["node type", "start", "first", "avg_ms", "%", "cdf%", "mem KB", "times called", "name"])
        body = [", ".join(row) for row in rows]
    else:
        header = joint + joint.join(f"[{names[i]}]".rjust(10) for i in keep)
        body = [joint + joint.join(row[i].rjust(10) for i in keep) for row in rows]
    initial = ["Profiling Info for Benchmark Initialization:", f"====== {title} ======", header]
    initial += [joint.join(("", "AllocateTensors", *"01234567"[: len(keep) - 3], "9%", "AllocateTensors/0")), ""]
    return "\n".join(
        [
            *initial,
            "Operator-wise Profiling Info for Regular Benchmark Runs:",
            f"============================== {title} ==============================",
            header,
            *body,
            "",
            "============================== Top by Memory Use ==============================",
            header,
            *body,
            "",
            "Number of nodes executed: 2",
            "============================== Summary by node type ==============================",
            "\t[Node type]\t[count]\t[avg ms]\t[avg %]\t[cdf %]\t[mem KB]\t[times called]",
            "\tCONV_2D\t1\t0.880\t12.500%\t12.500%\t0.000\t1",
            "",
            "Timings (microseconds): count=60 first=7100 curr=7000 min=6900 max=8000 avg=7040 std=150",
            "Memory (bytes): count=0",
            "2 nodes observed",
            "",
        ]
    )


def profile_row(kind):
    return (kind, *("1",) * 3, "25%", "75%", "0", "1", f"[{kind}]:3")
