"""Parameters and multiply-adds at 224 pixels and 1,000 classes, as published or counted on the PyTorch networks."""

import time

import pytest

from mnext_tf import create_model, list_models
from mnext_tf.models.config import ModelConfig
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


@pytest.mark.parametrize("name", list_models())
@pytest.mark.parametrize(("width", "input_size"), [(0.1, 33), (0.35, 96), (0.75, 97), (1.0, 224), (1.4, 161)])
def test_the_outline_has_the_layers_and_costs_of_the_keras_network(name, width, input_size):
    config = ModelConfig(name, width=width, input_size=input_size, num_classes=11)
    outline = layer_costs(config.outline())
    keras = layer_costs(config.create())
    assert {c.name: c for c in outline} == {c.name: c for c in keras}
    assert [c for c in outline if c.multiply_adds] == [c for c in keras if c.multiply_adds]


@pytest.mark.parametrize(
    "arguments",
    [
        {"name": "mobilenet_v2", "options": {"convention": "tensorflow"}},
        {"name": "mobilenet_v2_mnext", "options": {"convention": "tensorflow"}},
        {"name": "mnext", "identity_tensor_multiplier": 0.5},
        {"name": "mnext", "identity_tensor_multiplier": 1 / 1000},
    ],
)
def test_the_outline_of_other_options(arguments):
    config = ModelConfig(width=0.25, input_size=63, num_classes=3, **arguments)
    assert {c.name: c for c in layer_costs(config.outline())} == {c.name: c for c in layer_costs(config.create())}


@pytest.mark.parametrize("name", list_models())
def test_the_outline_has_the_weights_of_the_keras_network(name):
    """Without the random state that dropout keeps in Keras 3."""
    config = ModelConfig(name, width=0.25, input_size=64, num_classes=3)
    outline, keras = config.outline(), config.create()
    shapes = [
        {layer.name: [tuple(w.shape) for w in layer.weights] for layer in model.layers if "drop" not in layer.name}
        for model in (outline, keras)
    ]
    assert shapes[0] == shapes[1]
    stem = keras.get_layer("stem_bn")
    outlined = next(layer for layer in outline.layers if layer.name == "stem_bn").weights
    assert all(getattr(stem, w.name) is weight for w, weight in zip(outlined, stem.weights, strict=True))


def test_the_summary_is_made_without_tensorflow_and_fast(python):
    code = (
        "import sys, runpy\n"
        "sys.argv = ['summary', '--layers']\n"
        "try: runpy.run_module('pipelines.summary', run_name='__main__')\n"
        "finally: print('tensorflow' in sys.modules, file=sys.stderr)"
    )
    started = time.monotonic()
    done = python("-c", code)
    assert time.monotonic() - started < 5
    assert (done.returncode, done.stderr.strip()) == (0, "False")
    table = [line for line in done.stdout.splitlines() if line.startswith(tuple(list_models()))]
    assert len(table) == 5 * len(list_models())
    assert "mnext                 1.00    3,535,416        311.3 M" in table
