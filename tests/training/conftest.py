import pytest

from mnext_tf.models.config import ModelConfig


@pytest.fixture
def two_layers(monkeypatch):
    """Every network is replaced by a convolution, a batch norm, dropout and a dense layer."""
    import tensorflow as tf

    def create(config, **changes):
        layers = tf.keras.layers
        image = tf.keras.Input((config.input_size, config.input_size, 3))
        x = layers.Rescaling(1 / 128, -1)(image)
        x = layers.BatchNormalization(name="bn")(layers.Conv2D(4, 3, 4, name="conv")(x))
        x = layers.Dropout(config.dropout, name="dropout")(layers.GlobalAveragePooling2D()(layers.ReLU()(x)))
        return tf.keras.Model(image, layers.Dense(config.num_classes, name="logits")(x))

    monkeypatch.setattr(ModelConfig, "create", create)
