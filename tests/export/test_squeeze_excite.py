"""What the larger MobileNeXt add, on a network of two blocks: squeeze-excite, swish and grouped convolutions."""

import numpy as np
import pytest

from mnext_tf.evaluation.equivalence import layer_differences, worst_layer
from mnext_tf.export.checks import check_full_integer, check_operators
from mnext_tf.tasks import Classification
from mnext_tf.tflite.operators import delegation, open_interpreter, read_operators


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """(the Keras network, its frozen graph, images)."""
    import tensorflow as tf

    from mnext_tf.export.frozen import write_frozen
    from mnext_tf.export.saved_model import write_saved_model
    from mnext_tf.models import keras_layers
    from mnext_tf.models.blocks import Layers
    from mnext_tf.models.conventions import CONVENTIONS
    from mnext_tf.models.mnext_large import sandglass

    tf.keras.utils.set_random_seed(0)
    net = Layers(keras_layers, CONVENTIONS["efficientnet"])
    image, x = net.image(33)
    x = net.conv(x, 16, 3, "stem", stride=2, activation="swish")
    x = sandglass(net, x, 24, 2, 6, 5, groups=2, name="block01", depth=0.0)
    x = sandglass(net, x, 24, 1, 6, 5, groups=2, name="block02", depth=0.5)
    model = keras_layers.Model(image, net.classifier(x, 3, 0.2), name="two_blocks")
    folder = tmp_path_factory.mktemp("two_blocks")
    write_saved_model(model, list("abc"), folder / "saved_model")
    write_frozen(folder / "saved_model", folder / "frozen.pb")
    images = np.random.default_rng(0).uniform(0, 255, (8, 33, 33, 3)).astype(np.float32)
    return model, folder / "frozen.pb", images


@pytest.mark.parametrize(
    ("quantize", "largest_error"),
    [("float32", 1e-5), ("float16", 0.01), ("int8", 0.2), ("weight_int8", 0.02), ("int16x8", 0.05)],
)
def test_every_node_is_delegated_and_every_layer_found(network, tmp_path, quantize, largest_error):
    from mnext_tf.export.tflite import convert

    model, frozen, images = network
    path = tmp_path / "network.tflite"
    path.write_bytes(convert(frozen, quantize, calibration=list(images), progress=False))
    found = delegation(path)
    assert found.nodes_total > 30
    assert found.nodes_delegated == (0 if quantize == "int16x8" else found.nodes_total)
    signatures = open_interpreter(path).get_signature_list()
    assert signatures == {"serving_default": {"inputs": ["image"], "outputs": ["logits"]}}
    check_operators(read_operators(path), Classification())
    if quantize in ("int8", "int16x8"):
        check_full_integer(read_operators(path), quantize.removesuffix("x8"))

    rows = {row["layer"]: row for row in layer_differences(model, path, images[:2])}
    body = ["depthwise1", "reduce", "expand", "depthwise2", "se_pool", "se_reduce", "se_expand", "se_scale", "add"]
    assert {f"block02_{part}" for part in body} <= set(rows)
    assert rows["block02_reduce"]["operator"] == "CONV_2D"  # grouped, and neither split nor nameless
    assert rows["block02_expand"]["operator"] == rows["block02_se_scale"]["operator"] == "MUL"
    assert rows["block02_se_expand"]["operator"] == "LOGISTIC"
    assert max(row["relative_error"] for row in rows.values()) < largest_error


def test_frozen_graph_calls_no_functions(network):
    import tensorflow as tf

    graph = tf.compat.v1.GraphDef()
    graph.ParseFromString(network[1].read_bytes())
    assert not graph.library.function
    assert not [node.name for node in graph.node if "Call" in node.op]


def test_the_error_of_the_body_is_not_put_down_to_squeeze_excite():
    """The branch starts from means and ends in a sigmoid, so that little is left of an error there."""
    errors = {
        "stem": 0.01,
        "block01_depthwise2": 0.5,
        "block01_se_pool": 0.02,
        "block01_se_reduce": 0.01,
        "block01_se_expand": 0.001,
        "block01_se_scale": 0.51,
    }
    rows = [{"layer": layer, "operator": "X", "relative_error": error} for layer, error in errors.items()]
    assert "error grows most at layer block01_depthwise2" in worst_layer(rows)
    rows[4]["relative_error"] = 0.9
    rows[5]["relative_error"] = 0.95
    assert "error grows most at layer block01_se_expand" in worst_layer(rows)
