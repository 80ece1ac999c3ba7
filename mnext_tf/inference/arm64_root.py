"""The folder in which LiteRT's ARM64 kernels run on this machine; importable without TensorFlow."""

from __future__ import annotations

from pathlib import Path

from mnext_tf.errors import ExportError

MAKE = "`sh environments/arm64.sh FOLDER` makes one (`make environment-arm64`: .environments/arm64)"

QEMU = "qemu-aarch64-static"

_NEEDED = (
    QEMU,
    "usr/bin/python3",
    "site/numpy",
    "site/ai_edge_litert",
    "proc/cpuinfo",  # without these two XNNPACK is not used, or crashes
    "sys/devices/system/cpu/possible",
    "made_by",
)


def check_root(root: Path) -> Path:
    """The absolute path of a root made by environments/arm64.sh. Raises ExportError for anything else."""
    root = Path(root).absolute()
    if not root.is_dir():
        raise ExportError(f"{root} does not exist: no ARM64 root. {MAKE}.")
    if missing := [name for name in _NEEDED if not (root / name).exists()]:
        raise ExportError(f"{root} is no whole ARM64 root: it lacks {', '.join(missing)}. Name one that is; {MAKE}.")
    return root
