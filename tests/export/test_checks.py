"""The checks of graphs and of numbers, on hand-made input."""

import numpy as np
import pytest

from mnext_tf.compression.calibration import spanning
from mnext_tf.errors import ConfigError, ExportError, VerificationError
from mnext_tf.evaluation.equivalence import refuse, rounding_noise, worst_layer
from mnext_tf.export.checks import check_full_integer, check_operators
from mnext_tf.tasks import Classification
from mnext_tf.tasks.tolerance import Tolerance
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


def measured(accuracy=0.98, agreement=1.0, relative=0.0, largest=0.0, images=100_000):
    """As `Comparison` gives it, with a reference that is right on 98 % of the images."""
    lost = round((0.98 - accuracy) * images)
    return {
        "images": images,
        "lost": max(lost, 0),
        "gained": max(-lost, 0),
        "accuracy": accuracy,
        "top1_agreement": agreement,
        "max_abs_difference": largest,
        "max_relative_difference": relative,
    }


@pytest.mark.parametrize(
    ("kind", "numbers", "trained", "said"),
    [
        ("float32", measured(relative=9e-5), True, None),
        ("float32", measured(relative=2e-4), True, "differ by 2.00e-04"),
        ("float16", measured(relative=0.04), True, None),
        ("float16", measured(relative=0.06), False, "differ by 6.00e-02"),
        ("float16", measured(0.96, relative=0.01), True, "2.00 points below"),
        ("float16", measured(0.5, 0.1, 0.01), False, None),
        ("int8", measured(0.9701), True, None),
        (
            "int8",
            measured(0.968),
            True,
            r"1.20 points below 98.00 % \(95 % interval .*\), allowed 1 \(max_accuracy_drop\)",
        ),
        ("int8", measured(agreement=0.89), True, r"agrees on 89.0 % .* 90 % is required \(min_agreement\)"),
        ("dynamic", measured(0.5), True, "48.00 points below"),
        ("int8", measured(0.0, 0.1, 0.3), False, None),
        ("int8", measured(0.0, 0.1, 0.6), False, "0.60 of the largest logit"),
        ("int8", measured(largest=float("nan")), True, "not numbers"),
    ],
)
def test_bars(kind, numbers, trained, said):
    found = TASK.failures(kind, numbers, measured(), Tolerance(), trained=trained)
    if said is None:
        assert found == []
        refuse("x", found)
    else:
        with pytest.raises(VerificationError, match=said):
            refuse("x", found)


@pytest.mark.parametrize("images", [9, 90])
def test_a_drop_that_few_images_cannot_show_is_no_failure(images):
    """One image of 9 is 11 points and 3 of 90 are 3.3: both within the noise of a paired comparison."""
    one_lost = measured(0.98 - (1 if images == 9 else 3) / images, 0.85, images=images)
    assert TASK.failures("int8", one_lost, measured(images=images), Tolerance(), trained=True) == []


def test_a_collapse_fails_on_few_images_too():
    found = TASK.failures("int8", measured(0.98 - 7 / 9, 0.2, images=9), measured(images=9), Tolerance(), trained=True)
    assert len(found) == 2
    with pytest.raises(VerificationError, match="undertrained or badly calibrated") as error:
        refuse("x", found)
    assert "--" not in str(error.value)  # commands that do not have a flag raise it too


def test_better_than_the_reference_is_no_drop():
    assert TASK.failures("int8", measured(0.99), measured(0.98), Tolerance(max_accuracy_drop=0.0), trained=True) == []


def test_worst_layer_is_where_the_error_grows_most():
    rows = [
        {"layer": "stem", "operator": "CONV_2D", "relative_error": 0.01},
        {"layer": "block01_expand", "operator": "CONV_2D", "relative_error": 0.5},
        {"layer": "logits", "operator": "FULLY_CONNECTED", "relative_error": 0.6},
    ]
    assert worst_layer(rows).startswith("the error grows most at layer block01_expand (CONV_2D)")


def test_tolerance_ranges():
    with pytest.raises(ConfigError, match="at least 0 and at most 100"):
        Tolerance(max_accuracy_drop=-1)
    with pytest.raises(ConfigError, match="at least 0 and at most 1"):
        Tolerance(min_agreement=90)


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
