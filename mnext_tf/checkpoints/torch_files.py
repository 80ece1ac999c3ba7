"""PyTorch's own files, old and new serialisation, through weights_only: no code of the file is run."""

from __future__ import annotations

import argparse
import collections
import pickle
import re
from pathlib import Path, PosixPath

from mnext_tf.checkpoints.limits import Budget, cut_short
from mnext_tf.checkpoints.restricted_unpickler import SAFE_TYPES, Array, DType, Scalar, finished
from mnext_tf.errors import CheckpointError


def read_torch(path: Path) -> object:
    """What the file holds, with its tensors as NumPy arrays (half precision as float32).

    Raises CheckpointError for a file that wants to run code. A damaged one raises anything;
    `limits.damage` is for that.
    """
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{path} is a PyTorch file, and PyTorch is not installed. `pip install 'mnext-tf[torch]'` installs it. "
            "A .safetensors file of the same weights needs no PyTorch."
        ) from None
    with torch.serialization.safe_globals(_harmless()):
        try:
            content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as e:
            raise _refusal(path, str(e)) from None
    return _arrays(torch, path, content)


def _harmless() -> list:
    """Types that training scripts save beside the weights; none of them does anything when it is made."""
    return [
        argparse.Namespace,
        collections.defaultdict,
        PosixPath,
        *((made, name) for name, made in SAFE_TYPES.items()),
        DType,  # PyTorch wants the type of what takes a state listed, too
        Array,
        Scalar,
    ]


def _refusal(path: Path, text: str) -> CheckpointError:
    """In a user's words what weights_only refused."""
    match = re.search(r"GLOBAL ([\w.]+)", text)
    if match and not _ends_within(path, match[1]):
        name = match[1]
        whole = name.startswith("__main__.") or ".nn." in name or "models." in name
        mend = (
            "It is a whole pickled model. In the program that wrote it: torch.save(model.state_dict(), 'weights.pth')."
            if whole
            else "A file of weights needs no such call; do not load this one with weights_only=False."
        )
        return CheckpointError(f"{path} wants to run code: unpickling it would call {name}. Nothing was run. {mend}")
    return cut_short(path, text.strip().partition("\n")[0][:200])


def _ends_within(path: Path, name: str) -> bool:
    """Whether the file ends with that name: half of a harmless one, which PyTorch takes for a whole one.

    PyTorch drops the last letter then, in place of the end of the line.
    """
    with open(path, "rb") as f:
        f.seek(max(0, path.stat().st_size - 1000))
        return f.read()[:-1].replace(b"\n", b".").rstrip(b".").endswith(name.rstrip(".").encode())


def _arrays(torch, path: Path, content: object) -> object:
    """Mappings with their tensors as arrays; everything else as it is."""
    budget = Budget(path)
    half = (torch.float16, torch.bfloat16)
    plain = (torch.float32, torch.float64, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool)

    def array(value: object, name: str) -> object:
        if not isinstance(value, torch.Tensor):
            return value
        if value.is_quantized or value.layout != torch.strided:
            kind = "quantized" if value.is_quantized else "sparse"
            raise CheckpointError(f"{path}: {name} is {kind}; take the float checkpoint of the same network.")
        if value.dtype not in half + plain:
            kind = str(value.dtype).removeprefix("torch.")
            raise CheckpointError(
                f"{path}: {name} holds {kind} values; take the float32 checkpoint of the same network."
            )
        budget.take(value.numel() * value.element_size())  # a view can be larger than what the file stores
        if value.dtype in half:
            value = value.float()
        return value.detach().numpy()

    return finished(content, array)
