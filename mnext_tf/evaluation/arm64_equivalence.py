"""Does a phone's CPU compute of an exported file what this machine computes? Outputs and layers, side by side."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from mnext_tf.inference.arm64 import CPU_SECONDS, Arm64Network, run_arm64
from mnext_tf.inference.tflite import TFLiteNetwork
from mnext_tf.tasks import Classification, Detection
from mnext_tf.tflite import flatbuffer
from mnext_tf.tflite.operators import layer_of, open_interpreter, operators
from mnext_tf.tflite.zeros import without_zeros

FLOAT_TOLERANCE = 1e-4  # largest difference over the largest value; found 2e-6

MAX_STEPS = 3  # int8: found 0, to the bit, in every network; a kernel that rounds halves otherwise would give 1 a layer

SPARSE_RATIO = 0.8  # of the emulated time: below it, zeros were saved; dense kernels give 1, within a few percent
_TIMED_RUNS = 5

# Emulated, for 10^9 multiply-adds on one core of 2020's servers. XNNPACK takes nothing of an int16x8 file.
SECONDS = {"float32": 13.0, "float16": 13.0, "weight_int8": 13.0, "dynamic": 4.0, "int8": 1.8}


def with_all_outputs(model: bytes) -> bytes:
    """The .tflite file `model` with what every operator gives as an output of the graph.

    XNNPACK keeps what is between its operators to itself; outputs of the graph it must hand out.
    """
    tree = flatbuffer.read_model(model)
    graph = tree.subgraphs[0]
    constant = {i for i, tensor in enumerate(graph.tensors) if tree.buffers[tensor.buffer].data is not None}
    computed = [op for op in graph.operators if not constant.issuperset(i for i in op.inputs if i >= 0)]
    graph.outputs = [int(output) for op in computed for output in op.outputs]
    return flatbuffer.write_model(tree)


def layer_steps(path: Path, root: Path, images: np.ndarray, layers: Iterable[str] = (), **options) -> list[dict]:
    """Differences between this machine and ARM64 of what each operator gives, in order of computation.

    Args:
      path: the file. images: a few, float32 (n, size, size, 3). layers: names of the network's layers.
      root, options: see `run_arm64`.

    Returns:
      Rows of layer (or the tensor's name), operator, dtype, different (share of the elements) and steps (largest
      difference in quantization steps; None for float), relative (largest difference over the largest element).
    """
    network = Arm64Network(path, root)
    inputs = [network.fed(image) for image in images]
    with tempfile.TemporaryDirectory() as scratch:
        open_file = Path(scratch) / Path(path).name
        open_file.write_bytes(with_all_outputs(Path(path).read_bytes()))
        interpreter = open_interpreter(open_file)
        details = {d["index"]: d for d in interpreter.get_output_details()}
        ops = [op for op in operators(interpreter) if set(op.outputs) <= set(details)]
        tensors = [details[op.outputs[0]] for op in ops]
        _, computed = run_arm64(open_file, root, inputs, tensors, **options)
        rows = [
            {"layer": layer_of(op.name, layers) or op.name, "operator": op.kind, "dtype": op.output_types[0]}
            for op in ops
        ]
        here = []
        for fed in inputs:
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], fed)
            interpreter.invoke()
            here.append([interpreter.get_tensor(t["index"]) for t in tensors])
    for i, row in enumerate(rows):
        row |= differences(np.stack([c[i] for c in computed]), np.stack([h[i] for h in here]))
    return rows


def differences(arm64: np.ndarray, host: np.ndarray) -> dict:
    """How far two arrays of the same tensor are apart; see `layer_steps`."""
    host, integer = host.astype(np.float64), np.issubdtype(host.dtype, np.integer)
    difference = np.abs(arm64 - host)
    return {
        "different": float((difference > 0).mean()),
        "steps": int(difference.max()) if integer else None,
        "relative": float(difference.max() / max(np.abs(host).max(), 1e-30)),
    }


def first_difference(rows: list[dict]) -> str:
    """In words: the first of `layer_steps`' rows in which ARM64 gives something else, beyond float rounding."""
    for i, row in enumerate(rows):
        if row["steps"] or (row["steps"] is None and row["relative"] > FLOAT_TOLERANCE):
            how = f"{row['steps']} steps" if row["steps"] else f"{row['relative']:.1e} of its largest value"
            return (
                f"first at {row['layer']} ({row['operator']}, {i + 1} of {len(rows)}): up to {how}, in "
                f"{row['different']:.2%} of its elements"
            )
    return f"in no operator's output (of {len(rows)}) on the images that were looked at"


def default_images(precisions: list[str], multiply_adds: int) -> list[int]:
    """How many images each file gets so that all together take a minute or so on this machine's cores."""
    seconds = (os.cpu_count() or 1) * 60 / max(1, len(precisions))
    return [int(np.clip(seconds / (SECONDS[p] * multiply_adds / 1e9), 4, 100)) for p in precisions]


def compare_arm64(
    path: Path,
    precision: str,
    root: Path,
    images: np.ndarray,
    reference: np.ndarray,
    *,
    task: Classification | Detection | None = None,
    trained: bool = True,
    layers: Iterable[str] = (),
    **options,
) -> tuple[dict, list[str]]:
    """A file's outputs by ARM64 kernels against those by this machine's.

    Args:
      path: the file. precision: one of `SECONDS`. images: float32 (n, size, size, 3). reference: Keras' outputs.
      task: of the network; None: classification. trained: False asks for no top-1: an untrained network's logits are
        all alike.
      layers: names of the network's layers. root, options: see `run_arm64`.

    Returns:
      ({images, top1_agreement (or same_boxes, boxes), max_abs_difference, max_relative_difference, allowed (the
      largest relative difference; None for int8), steps and allowed_steps (None but for int8), first_difference (where,
      in words; None where int8 agrees to the bit and float as far as allowed), about}, what is wrong, in words).
    """
    images = np.asarray(images)
    with closing(TFLiteNetwork(path)) as here, closing(Arm64Network(path, root, **options)) as network:
        host, arm64 = here(images), network(images)
    as_logits = np.log(np.maximum(host, np.exp(-60.0))) if network.output == "probabilities" else host
    task = task or Classification()
    measured = _compared(task, arm64, as_logits, network.output)
    result = {"images": len(images), **{k: v for k, v in measured.items() if v is not None}}
    result |= {"allowed": FLOAT_TOLERANCE, "steps": None, "allowed_steps": None}
    relative, allowed = result["max_relative_difference"], FLOAT_TOLERANCE
    if precision == "dynamic":
        # Where an activation is halfway between two integers, a last digit decides, and the layers behind amplify that.
        # It is the rounding that the file already suffers on this machine, so its size there is the bound.
        own = _compared(task, host, reference, network.output)["max_relative_difference"]
        result["allowed"] = allowed = max(FLOAT_TOLERANCE, own)
    found = []
    if not np.isfinite(relative):
        found.append("its outputs are not numbers")
    elif precision == "int8":
        steps = round(_most_steps(network, path, arm64 - host, result["max_abs_difference"]), 2)
        result |= {"allowed": None, "steps": steps, "allowed_steps": MAX_STEPS}
        if steps > MAX_STEPS:
            found.append(f"its outputs differ by {steps:g} quantization steps, allowed {MAX_STEPS}")
    elif relative > allowed:
        found.append(f"its outputs differ by {relative:.2e} of the largest, allowed {allowed:.0e}")
    compared = result.get("boxes", len(images))
    others = round(compared * (1 - result[task.agreement]))
    if trained and others > -(-compared // 100):
        what = "its top-1 is another one" if task.name == "classification" else "it finds others or none"
        found.append(f"{what} on {others} of {compared} {'boxes' if 'boxes' in result else 'images'}, allowed 1 in 100")
    result["first_difference"] = None
    if found or (result["steps"] or 0) > 0.01:
        most = np.abs(arm64 - host).reshape(len(host), -1).max(axis=1).argsort()[::-1][:2]
        result["first_difference"] = first_difference(layer_steps(path, root, images[most], layers, **options))
    return {**result, "about": network.about}, found


def _compared(task, outputs: np.ndarray, reference: np.ndarray, output: str) -> dict:
    comparison = task.comparison(output)
    comparison.update(outputs, reference, None)
    return comparison.result()


def _most_steps(network: Arm64Network, path: Path, difference: np.ndarray, largest: float) -> float:
    """The largest difference in quantization steps; of a detector's outputs in the steps of each."""
    ends = network.outputs
    if len(ends) == 1 or not all(np.issubdtype(end["dtype"], np.integer) for end in ends):
        return largest / _last_scale(path)
    columns = np.split(np.abs(difference), np.cumsum([end["shape"][-1] for end in ends])[:-1], axis=-1)
    return max(float(c.max()) / end["quantization"][0] for c, end in zip(columns, ends, strict=True))


def sparse_kernels(path: Path, root: Path, image: np.ndarray, **options) -> dict:
    """Whether XNNPACK's sparse kernels compute a float file with many zeros, by the emulated time that they save.

    XNNPACK does not say which kernels it takes. The time of a dense one does not depend on the weights, so that the
    same file without zeros tells: with four in five weights zero, sparse kernels took 0.36 of its time for mnext.

    Returns {sparse_kernels: whether they took it, time_ratio: to the file without zeros}.
    """
    with tempfile.TemporaryDirectory() as scratch:
        dense = Path(scratch) / Path(path).name
        dense.write_bytes(without_zeros(path))
        ratio = _seconds(path, root, image, **options) / _seconds(dense, root, image, **options)
    return {"sparse_kernels": ratio < SPARSE_RATIO, "time_ratio": round(ratio, 3)}


def _seconds(path: Path, root: Path, image: np.ndarray, **options) -> float:
    """Emulated processor time of one run; the first ones of a process are slower, because qemu translates."""
    fed = Arm64Network(path, root).fed(image)
    _, times = run_arm64(path, root, [fed] * _TIMED_RUNS, [CPU_SECONDS], **{**options, "workers": 1})
    return min(float(seconds) for (seconds,) in times)


def _last_scale(path: Path) -> float:
    """The size of a quantization step of an int8 file's logits, whatever type it gives them in."""
    interpreter = open_interpreter(path, delegate=False)
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    integer = [op for op in operators(interpreter) if op.output_types[0] in ("int8", "uint8")]
    return float(details[integer[-1].outputs[0]]["quantization"][0])
