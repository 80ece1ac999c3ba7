"""What may be inside an exported file: no batch norm left over, no float operator in a full-integer file."""

from __future__ import annotations

import re

from mnext_tf.errors import ExportError
from mnext_tf.tflite.operators import Operator

# Layers that multiply or add: operator -> how the names of those end, before the operator's own
_ARITHMETIC = {
    kind: re.compile(rf"({layers})(_\d+)?(/|;|$)")
    for kind, layers in (
        ("MUL", "normalize|_identity_mask|_swish|_se_scale"),
        ("ADD", "normalize|_add|_partial_sum"),
        ("SUB", "normalize"),
    )
}


def check_batch_norms_folded(ops: list[Operator]) -> None:
    """Raise ExportError for a MUL, ADD or SUB that is none of what our networks compute beside batch norms."""
    stray = [op for op in ops if op.kind in _ARITHMETIC and not _ARITHMETIC[op.kind].search(op.name)]
    if stray:
        raise ExportError(
            f"{len(stray)} batch norms were not folded into their convolutions: "
            + ", ".join(f"{op.kind} {op.name}" for op in stray[:5])
            + ". Allowed are those of the pixel normalisation, of shortcuts, of swish and of squeeze-excite."
        )


def check_full_integer(ops: list[Operator]) -> None:
    """Raise ExportError where an operator computes in float; at the ends (de)quantization may stand."""
    stray = [
        op
        for i, op in enumerate(ops)
        if "float32" in op.input_types + op.output_types
        and not (op.kind == "QUANTIZE" and i == 0)
        and not (op.kind == "DEQUANTIZE" and i == len(ops) - 1)
    ]
    if stray:
        raise ExportError(
            f"{len(stray)} operators stayed float in a full-integer file: "
            + ", ".join(f"{op.kind} {op.name}" for op in stray[:5])
        )
