"""PyTorch's own files, old and new serialisation, through weights_only: no code of the file is run."""

from __future__ import annotations

import argparse
import collections
import pickle
import re
from collections.abc import Mapping
from pathlib import Path, PosixPath

import numpy as np

from mnext_tf.errors import CheckpointError


def read_torch(path: Path) -> object:
    """What the file holds, with its tensors as NumPy arrays (half precision as float32)."""
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
        # PyTorch has no error type of its own for a damaged file
        except (RuntimeError, EOFError, ValueError, KeyError, AttributeError, AssertionError, OSError, TypeError) as e:
            raise CheckpointError(
                f"{path} is cut short or damaged ({_first_line(e)}). Download or copy it again."
            ) from e
    return _arrays(torch, path, content)


def _harmless() -> list:
    """Types that training scripts save beside the weights; none of them does anything when it is made."""
    return [
        argparse.Namespace,
        collections.OrderedDict,
        collections.defaultdict,
        PosixPath,
        np.dtype,
        np.ndarray,
        np.zeros(1).__reduce__()[0],  # makes an empty array to fill
        (np.float64(0).__reduce__()[0], "numpy.core.multiarray.scalar"),
        (np.float64(0).__reduce__()[0], "numpy._core.multiarray.scalar"),
        *{type(np.dtype(t)) for t in ("f2", "f4", "f8", "i4", "i8", "?")},
    ]


def _refusal(path: Path, text: str) -> CheckpointError:
    """In a user's words what weights_only refused."""
    if match := re.search(r"GLOBAL ([\w.]+)", text):
        name = match[1]
        whole = name.startswith("__main__.") or ".nn." in name or "models." in name
        mend = (
            "It is a whole pickled model. In the program that wrote it: torch.save(model.state_dict(), 'weights.pth')."
            if whole
            else "A file of weights needs no such call; do not load this one with weights_only=False."
        )
        return CheckpointError(f"{path} wants to run code: unpickling it would call {name}. Nothing was run. {mend}")
    return CheckpointError(f"{path} is cut short or damaged ({_first_line(text)}). Download or copy it again.")


def _arrays(torch, path: Path, value: object, name: str = "") -> object:
    """Mappings with their tensors as arrays; everything else as it is."""
    if isinstance(value, Mapping):
        return {k: _arrays(torch, path, v, str(k)) for k, v in value.items()}
    if not isinstance(value, torch.Tensor):
        return value
    if value.is_quantized or value.layout != torch.strided:
        kind = "quantized" if value.is_quantized else "sparse"
        raise CheckpointError(f"{path}: {name} is {kind}; take the float checkpoint of the same network.")
    if value.dtype in (torch.float16, torch.bfloat16):
        value = value.float()
    return value.detach().numpy()


def _first_line(error: object) -> str:
    return str(error).strip().partition("\n")[0][:200]
