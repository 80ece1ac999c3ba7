"""The checks of graphs and of numbers, on hand-made input."""

import numpy as np
import pytest

from mnext_tf.compression.calibration import spanning
from mnext_tf.errors import ExportError, VerificationError
from mnext_tf.evaluation.equivalence import refuse, rounding_noise, worst_layer
from mnext_tf.export.checks import check_full_integer, check_operators
from mnext_tf.tasks import Classification
from mnext_tf.tflite.operators import Operator, layer_of

TASK = Classification()


def op(kind, name, inputs=("int8",), outputs=("int8",)):
    return Operator(kind, name, inputs, outputs, (0,))


def test_stray_batch_norm_is_named():
    check_operators(
        [
            op("MUL", "call/mnext_1/normalize_1/mul"),
            op("ADD", "mnext/block04_add/add"),
            op("MUL", "mnext/block04_identity_mask_1/mul"),
            op("ADD", "block04_reduce_partial_sum_1/add"),
            op("CONV_2D", "mnext/block02_reduce_bn/batchnorm/add_1"),
        ],
        TASK,
    )
    check_operators(
        [
            op("MUL", "mnext_s_1/block01_depthwise1_swish_1/mul_1"),
            op("MUL", "mnext_s_1/block01_se_reduce_swish_1/mul_1"),
            op("MUL", "mnext_s_1/block01_se_scale_1/Mul"),
        ],
        TASK,
    )
    for kind, name in (("ADD", "block01_se_scale_1/Mul"), ("MUL", "block04_add/add"), ("MUL", "block01_se_expand/x")):
        with pytest.raises(ExportError, match=f"{kind} {name}"):
            check_operators([op(kind, name)], TASK)
    with pytest.raises(ExportError, match="MUL mnext_1/block02_reduce_bn_1/batchnorm/mul_1"):
        check_operators([op("MUL", "mnext_1/block02_reduce_bn_1/batchnorm/mul_1")], TASK)


def test_an_operator_with_int8_activations_is_named_where_all_should_be_int16():
    ends = [
        op("QUANTIZE", "q", ("float32",), ("int16",)),
        op("CONV_2D", "stem", ("int16", "int8", "int64"), ("int16",)),
        op("DEQUANTIZE", "d", ("int16",), ("float32",)),
    ]
    check_full_integer(ends, "int16")
    ways = [op("QUANTIZE", "to", ("int16",), ("int8",)), op("QUANTIZE", "from", outputs=("int16",))]
    narrow = [ways[0], op("MEAN", "pool"), ways[1]]
    with pytest.raises(ExportError, match=r"3 operators take or give int8 .*: QUANTIZE to, MEAN pool, QUANTIZE from"):
        check_full_integer([*ends[:2], *narrow, ends[2]], "int16")
    check_full_integer([*ends[:2], *narrow, ends[2]])


def test_float_operator_is_named_and_ends_may_convert():
    ends = [
        op("QUANTIZE", "q", ("float32",)),
        op("CONV_2D", "stem"),
        op("DEQUANTIZE", "d", ("int8",), ("float32",)),
    ]
    check_full_integer(ends)
    with pytest.raises(ExportError, match=r"1 operators stayed in float .*: CONV_2D stem"):
        check_full_integer([ends[0], op("CONV_2D", "stem", ("float32",), ("float32",)), ends[2]])
    with pytest.raises(ExportError, match="DEQUANTIZE middle"):
        check_full_integer([op("DEQUANTIZE", "middle", ("int8",), ("float32",)), ends[1]])


def test_layer_of_takes_the_last_layer_and_whole_names_only():
    layers = ["stem", "block01_depthwise1", "block01_reduce", "block01"]
    assert layer_of("mnext_1/stem_relu6_1/Relu6;mnext_1/stem_1/convolution", layers) == "stem"
    assert layer_of("bn_1/batchnorm/mul_1;mnext/block01_depthwise1_1/depthwise1", layers[:3]) == "block01_depthwise1"
    assert layer_of("mnext/system/x", layers) is None
    assert layer_of("a/block01_depthwise1/x;a/block01_reduce/y", layers[:3]) == "block01_reduce"


def test_the_reasons_name_no_flag():
    """Commands that do not have a flag raise these, too."""
    with pytest.raises(VerificationError, match="undertrained or badly calibrated") as error:
        refuse("x", ["its accuracy is 50 % (max_accuracy_drop)"])
    assert "--" not in str(error.value)


def test_worst_layer_is_where_the_error_grows_most():
    rows = [
        {"layer": "stem", "operator": "CONV_2D", "relative_error": 0.01},
        {"layer": "block01_expand", "operator": "CONV_2D", "relative_error": 0.5},
        {"layer": "logits", "operator": "FULLY_CONNECTED", "relative_error": 0.6},
    ]
    assert worst_layer(rows).startswith("the error grows most at layer block01_expand (CONV_2D)")


def test_a_network_that_rounding_moves_is_named_as_the_reason():
    with pytest.raises(VerificationError, match=r"Keras' own logits move by 5e-04 .* train it longer\."):
        refuse("frozen", ["its logits differ"], noise=5e-4)
    with pytest.raises(VerificationError, match=r"its logits differ\.$"):
        refuse("frozen", ["its logits differ"], noise=5e-6)


def test_rounding_noise_is_amplified_by_cancellation_and_leaves_the_weights():
    import tensorflow as tf

    model = tf.keras.Sequential([tf.keras.Input((4,)), tf.keras.layers.Dense(1, use_bias=False)])
    images = np.ones((1, 4), np.float32)
    for kernel, low, high in (([1, 1, 1, 1], 0, 3e-7), ([1000, -999, 500, -500], 3e-5, 1e-3)):
        weights = [np.array(kernel, np.float32)[:, None]]
        model.set_weights(weights)
        assert low <= rounding_noise(model, images) <= high
        np.testing.assert_array_equal(model.get_weights()[0], weights[0])


def test_calibration_spans_all_pixel_values():
    """Dim photographs would give the input another scale than 1; only then are two pixels changed."""
    dim = [np.full((4, 4, 3), 20.0, np.float32), np.full((4, 4, 3), 200.0, np.float32)]
    spread = spanning(dim)
    assert (spread[0].min(), spread[0].max()) == (0, 255)
    assert (spread[0] != dim[0]).any(axis=-1).sum() == 2
    assert spread[1] is dim[1]
    assert dim[0].max() == 20
    full = [np.array([[[0.0, 100.0, 255.0]]], np.float32), dim[0]]
    assert all(a is b for a, b in zip(spanning(full), full, strict=True))
