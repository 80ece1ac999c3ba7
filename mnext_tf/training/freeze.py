"""Layers that a training leaves as they are."""

from __future__ import annotations

from mnext_tf.errors import ConfigError
from mnext_tf.training.transfer import in_head

_BATCH_NORM = "_bn"  # ends the name of every batch norm


def freeze(model, names: str) -> int:
    """Freeze layers, the statistics of their batch norms included; returns how many layers with weights.

    Args:
      names: "backbone" (all but the head), "batch_norm", or the starts of layer names, separated by commas.

    Raises ConfigError for a name that no layer has, or where nothing is left to train.
    """
    layers = [layer for layer in model.layers if layer.weights]
    chosen = set()
    for name in filter(None, (name.strip() for name in names.split(","))):
        if name == "backbone":
            found = [layer for layer in layers if not in_head(layer.name)]
        elif name == "batch_norm":
            found = [layer for layer in layers if layer.name.endswith(_BATCH_NORM)]
        else:
            found = [layer for layer in layers if layer.name.startswith(name)]
        if not found:
            raise ConfigError(
                f"freeze={name!r} fits no layer of {model.name}. Use backbone, batch_norm, or the start of layer names "
                f"such as {layers[0].name}; `python -m pipelines.summary` lists them."
            )
        chosen |= {layer.name for layer in found}
    for layer in layers:
        if layer.name in chosen:
            layer.trainable = False
    if not model.trainable_variables:
        raise ConfigError(f"freeze={names!r} leaves nothing to train. Name fewer layers.")
    return len(chosen)
