"""Parameters and multiply-adds at 224 pixels and 1,000 classes, as published or counted on the PyTorch networks."""

import pytest

from mnext_tf import create_model
from mnext_tf.models.summary import count_multiply_adds, count_parameters, layer_costs

COSTS = [
    ("mnext", 1.4, 6_126_168, 588_319_256),
    ("mnext", 1.0, 3_535_416, 311_342_592),
    ("mnext", 0.75, 2_766_168, None),
    ("mnext", 0.5, 2_152_304, 103_256_448),
    ("mnext", 0.35, 1_913_976, 75_141_032),
    ("mnext_s", 1.0, 3_937_011 - 2_560, 330_182_144),  # the checkpoints hold a batch norm that nothing uses
    ("mnext_l", 1.0, 4_287_498 - 2_560, 415_057_856),
    ("mobilenet_v1", 1.0, 4_231_976, 568_740_352),
    ("mobilenet_v2", 1.0, 3_504_872, 300_774_272),
    ("mobilenet_v2_mnext", 1.0, 3_456_472, 295_637_504),
    ("mobilenet_v2_mnext", 1.4, 6_040_752, 575_288_000),
]


@pytest.mark.parametrize(("name", "width", "parameters", "multiply_adds"), COSTS)
def test_costs(name, width, parameters, multiply_adds):
    model = create_model(name, width=width)
    assert count_parameters(model) == parameters
    if multiply_adds is not None:
        assert count_multiply_adds(model) == multiply_adds


def test_costs_of_single_layers():
    """mobilenet_v2 0.1 at 32 pixels and 10 classes: channels 8 throughout the first block."""
    costs = {c.name: c for c in layer_costs(create_model("mobilenet_v2", width=0.1, input_size=32, num_classes=10))}
    stem, depthwise, dense = costs["stem"], costs["block01_depthwise"], costs["logits"]
    assert (stem.kind, stem.output_shape, stem.parameters, stem.multiply_adds) == (
        "Conv2D",
        (16, 16, 8),
        3 * 3 * 3 * 8,
        16 * 16 * 3 * 3 * 3 * 8,
    )
    assert (depthwise.parameters, depthwise.multiply_adds) == (3 * 3 * 8, 16 * 16 * 3 * 3 * 8)
    assert (dense.parameters, dense.multiply_adds) == (1280 * 10 + 10, 1280 * 10)
    assert (costs["stem_bn"].parameters, costs["stem_bn"].multiply_adds) == (2 * 8, 0)  # trainable ones only
