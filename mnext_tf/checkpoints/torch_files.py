"""PyTorch files, in the old and the new serialization, loaded with weights_only: no code in the file is executed."""

from __future__ import annotations

import argparse
import collections
import pickle
import re
from pathlib import Path, PosixPath

from mnext_tf.checkpoints.limits import Budget, damaged
from mnext_tf.checkpoints.restricted_unpickler import SAFE_TYPES, Array, DType, Scalar, to_arrays
from mnext_tf.errors import CheckpointError


def read_torch(path: Path) -> object:
    """The object in the file, with tensors as NumPy arrays (half precision as float32).

    Raises CheckpointError for a file that tries to execute code. A damaged file may raise anything; see
    `limits.report_damage`.
    """
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path} is a PyTorch file, and PyTorch is not installed. Run pip install 'mnext-tf[torch]', or use a "
            ".safetensors file of the same weights, which does not need PyTorch."
        ) from None
    with torch.serialization.safe_globals(_safe_globals()):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as e:
            raise _refusal(path, str(e)) from None
    return _arrays(torch, path, content)


def _safe_globals() -> list:
    """Types that training scripts save with the weights; creating one has no side effects."""
    return [
        argparse.Namespace,
        collections.defaultdict,
        PosixPath,
        *((made, name) for name, made in SAFE_TYPES.items()),
        DType,  # PyTorch also requires the types that receive a state
        Array,
        Scalar,
    ]


def _refusal(path: Path, text: str) -> CheckpointError:
    """The error for what weights_only rejected."""
    match = re.search(r"GLOBAL ([\w.]+)", text)
    if match and not _is_truncated_at(path, match[1]):
        name = match[1]
        whole = name.startswith("__main__.") or ".nn." in name or "models." in name
        fix = (
            "It is a pickled model. In the program that wrote it, use torch.save(model.state_dict(), 'weights.pth')."
            if whole
            else "Weights need no such call; do not load this file with weights_only=False."
        )
        return CheckpointError(
            f"{path} tries to execute code: unpickling it would call {name}. Nothing was executed. {fix}"
        )
    return damaged(path, text.strip().partition("\n")[0][:200])


def _is_truncated_at(path: Path, name: str) -> bool:
    """Whether the file ends with that name: a truncated one, which PyTorch takes for a complete one.

    PyTorch drops the last letter then, instead of the line ending.
    """
    with open(path, "rb") as f:
        f.seek(max(0, path.stat().st_size - 1000))
        return f.read()[:-1].replace(b"\n", b".").rstrip(b".").endswith(name.rstrip(".").encode())


def _arrays(torch, path: Path, content: object) -> object:
    """`content` with tensors replaced by arrays, in nested mappings."""
    budget = Budget(path)
    half = (torch.float16, torch.bfloat16)
    plain = (torch.float32, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)

    def array(value: object, name: str) -> object:
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_quantized or value.layout != torch.strided:
            kind = "quantized" if value.is_quantized else "sparse"
            raise CheckpointError(f"{path}: {name} is {kind}; use the float checkpoint of the same network.")
        if value.dtype not in half + plain:
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{path}: {name} contains {kind} values; use the float32 checkpoint of the same network."
            )
        budget.take(value.numel() * value.element_size())  # a view can be larger than its storage
        if value.dtype in half:
            value = value.float()
        return value.detach().numpy()

    return to_arrays(content, array)
