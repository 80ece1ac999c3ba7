"""What may be exported: no batch norm left over, no float in a full-integer file, a sparse file only of many zeros."""

from __future__ import annotations

from collections.abc import Collection

from mnext_tf.compression.keep_float import kept_operators
from mnext_tf.errors import ConfigError, ExportError
from mnext_tf.tasks import Classification
from mnext_tf.tflite.operators import Operator
from mnext_tf.tflite.zeros import NEEDED


def check_operators(ops: list[Operator], task: Classification) -> None:
    """Raise ExportError for an operator that the task does not allow: what is left of a batch norm."""
    stray = [op for op in ops if not task.allows(op.kind, op.name)]
    if stray:
        raise ExportError(
            f"{len(stray)} batch norms were not folded into their convolutions: "
            + ", ".join(f"{op.kind} {op.name}" for op in stray[:5])
            + ". Allowed are those of the pixel normalization, of shortcuts, of swish, and of squeeze-and-excitation."
        )


def check_full_integer(ops: list[Operator], activations: str = "int8", kept: Collection[str] = ()) -> None:
    """Raise ExportError where an operator computes in float; only the first, and those of the outputs, may convert.

    activations: "int16" refuses operators that give fewer bits, too. kept: layers that `keep_float` left in float.
    """
    allowed = kept_operators(ops, kept)
    stray = [
        op
        for i, op in enumerate(ops)
        if i not in allowed
        and "float32" in op.input_types + op.output_types
        and not (op.kind == "QUANTIZE" and i == 0)
        and not (op.kind == "DEQUANTIZE" and all(later.kind == "DEQUANTIZE" for later in ops[i:]))
    ]
    if stray:
        raise ExportError(
            f"{len(stray)} operators stayed in float in a full-integer file: "
            + ", ".join(f"{op.kind} {op.name}" for op in stray[:5])
        )
    narrow = [op for op in ops if activations == "int16" and "int8" in (*op.input_types[:1], *op.output_types)]
    if narrow:
        raise ExportError(
            f"{len(narrow)} operators take or give int8 in a file with int16 activations: "
            + ", ".join(f"{op.kind} {op.name}" for op in narrow[:5])
        )


def check_enough_zeros(model) -> None:
    """Raise ConfigError where so few weights of a Keras network are zero that a sparse file would bring nothing."""
    from mnext_tf.compression.pruning import pruned_layers, zero_share

    share = zero_share([layer.kernel for layer in pruned_layers(model)])
    if share < NEEDED:
        raise ConfigError(
            f"A sparse file needs zeros in two thirds of the weights of the 1x1 convolutions, or XNNPACK computes it "
            f"like any other; here {share:.1%} are zero. Prune the network with `python -m pipelines.train --init=RUN "
            "--sparsity=0.8`, or export it without --sparse."
        )
