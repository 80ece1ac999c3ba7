"""Networks of keras.applications, weight for weight: odd and even sizes, since the two pad differently there."""

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.errors import ConfigError


@pytest.fixture(params=[96, 97], ids=["even", "odd"])
def size(request):
    return request.param


def difference(ours, theirs, randomise, preprocess) -> float:
    """Of the logits over the largest, after `theirs` has got random weights and `ours` the same."""
    values = randomise(theirs).get_weights()
    ours.set_weights([v.reshape(w.shape) for v, w in zip(values, ours.get_weights(), strict=True)])
    side = ours.input_shape[1]
    images = np.random.default_rng(0).uniform(0, 255, (2, side, side, 3)).astype(np.float32)
    expected = theirs(preprocess(images.copy()), training=False).numpy()
    assert np.abs(expected).max() > 1e-3
    return float(np.abs(ours(images, training=False) - expected).max() / np.abs(expected).max())


def test_mobilenet_v2_in_tensorflow_s_convention(randomise, size):
    """The published rule makes the last convolution 1280 wide below width 1, in both."""
    import tensorflow as tf

    theirs = tf.keras.applications.MobileNetV2(
        input_shape=(size, size, 3), alpha=0.35, weights=None, classes=11, classifier_activation=None
    )
    ours = create_model("mobilenet_v2", width=0.35, input_size=size, num_classes=11, convention="tensorflow")
    assert difference(ours, theirs, randomise, tf.keras.applications.mobilenet_v2.preprocess_input) <= 1e-5


def test_mobilenet_v1(randomise, size):
    """Its classifier is a 1 x 1 convolution in Keras, and a dense layer here."""
    import tensorflow as tf

    theirs = tf.keras.applications.MobileNet(
        input_shape=(size, size, 3), alpha=0.25, weights=None, classes=11, classifier_activation=None
    )
    ours = create_model("mobilenet_v1", width=0.25, input_size=size, num_classes=11)
    assert difference(ours, theirs, randomise, tf.keras.applications.mobilenet.preprocess_input) <= 1e-5


def test_mobilenet_v1_has_one_convention():
    with pytest.raises(ConfigError, match="convention=pytorch does not fit model 'mobilenet_v1'"):
        create_model("mobilenet_v1", convention="pytorch")
