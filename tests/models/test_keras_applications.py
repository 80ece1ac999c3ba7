"""`mobilenet_v2` in TensorFlow's convention is the network of keras.applications, weight for weight."""

import numpy as np

from mnext_tf import create_model


def test_weights_of_keras_applications_give_the_same_logits(randomise):
    import tensorflow as tf

    theirs = tf.keras.applications.MobileNetV2(
        input_shape=(96, 96, 3), alpha=0.35, weights=None, classes=11, classifier_activation=None
    )
    # The published rule makes the last convolution 1280 wide below width 1, in both.
    ours = create_model("mobilenet_v2", width=0.35, input_size=96, num_classes=11, convention="tensorflow")
    values = randomise(theirs).get_weights()
    assert [w.shape for w in ours.get_weights()] == [v.shape for v in values]
    ours.set_weights(values)

    images = np.random.default_rng(0).uniform(0, 255, (2, 96, 96, 3)).astype(np.float32)
    expected = theirs(tf.keras.applications.mobilenet_v2.preprocess_input(images.copy()), training=False).numpy()
    got = ours(images, training=False).numpy()
    assert np.abs(expected).max() > 1e-3
    assert np.abs(got - expected).max() <= 1e-5 * np.abs(expected).max()
