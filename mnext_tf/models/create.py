"""Creating networks, and saving their weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mnext_tf.errors import one_of
from mnext_tf.files import reserve_space
from mnext_tf.models.config import ModelConfig
from mnext_tf.models.priors import PRIORS

_HDF5_BYTES = 4096  # overhead per tensor; up to 1.6 kB was observed


def create_model(
    name: str,
    *,
    width: float = 1.0,
    num_classes: int = 1000,
    input_size: int = 224,
    identity_tensor_multiplier: float = 1.0,
    include_preprocessing: bool = True,
    dropout: float = 0.2,
    drop_connect: float = 0.0,
    output_stride: int = 32,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options,
):
    """Build a network as a functional `tf.keras.Model`.

    Args:
      name: one of `list_models()`.
      width: multiplier of the channel counts (`mnext_s` and `mnext_l` were published at 1 only).
      num_classes: size of the last dense layer.
      input_size: side of the square input, in pixels.
      identity_tensor_multiplier: 1/k; the share of channels that a shortcut carries (`mnext` only).
      include_preprocessing: True normalizes pixels inside the network, which then takes RGB in [0, 255]; False uses
        the input as it is.
      dropout: rate before the last dense layer.
      drop_connect: rate at which training leaves out a block for an image: 0 in the first one, growing linearly (see
        `Layers.shortcut`). Not for `mobilenet_v1`, which has no shortcuts.
      output_stride: 8, 16 or 32; the side of the image over that of the last feature map. Below 32, for small images,
        the last strided convolution has stride 1, at 8 the stem, too. Names and weights are those of 32.
      mean, std: replace the network's pixel normalization; three numbers each, for red, green, and blue in units of
        [0, 255] (see `ModelConfig.normalization`).
      **options: `convention="pytorch" | "tensorflow"` for the MobileNetV2s: padding of strided convolutions,
        batch-norm constants, and pixel normalization. The other networks have a fixed convention: `mnext` PyTorch's,
        `mobilenet_v1` that of keras.applications, `mnext_s` and `mnext_l` EfficientNet's.

    Returns:
      A model from float images (batch, input_size, input_size, 3) to logits (batch, num_classes).

    Raises:
      ConfigError (a ValueError): an argument is out of range; the text says what is allowed.
    """
    config = ModelConfig(
        name,
        num_classes=num_classes,
        width=width,
        input_size=input_size,
        identity_tensor_multiplier=identity_tensor_multiplier,
        dropout=dropout,
        drop_connect=drop_connect,
        output_stride=output_stride,
        options=options,
        mean=mean,
        std=std,
    )
    return config.create(include_preprocessing)


def create_detector(
    backbone: str,
    num_classes: int,
    *,
    input_size: int = 320,
    width: float = 1.0,
    priors: str = "voc",
    identity_tensor_multiplier: float = 1.0,
    drop_connect: float = 0.0,
    include_preprocessing: bool = True,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    **options,
):
    """Build an SSDLite detector as a functional `tf.keras.Model`; see `mnext_tf.models.ssdlite`.

    Args:
      backbone: "mnext", "mobilenet_v2", or "mobilenet_v1".
      num_classes: classes of objects, without the background.
      input_size: side of the square input, in pixels; the whole image is squashed to it.
      priors: "voc" or "coco", the boxes that `mnext_tf.models.priors.make_priors` gives.
      identity_tensor_multiplier: 1; detectors have whole shortcuts.
      width, drop_connect, include_preprocessing, mean, std, **options: see `create_model`; mean and std default to
        those of the MobileNeXt authors' detectors.

    Returns:
      A model from float images (batch, input_size, input_size, 3) to [class_logits (batch, priors, num_classes + 1),
      box_regression (batch, priors, 4)]. Column 0 of the logits is the background.

    Raises:
      ConfigError (a ValueError): an argument is out of range; the text says what is allowed.
    """
    one_of("priors", priors, PRIORS)
    config = ModelConfig(
        backbone,
        num_classes=num_classes,
        width=width,
        input_size=input_size,
        identity_tensor_multiplier=identity_tensor_multiplier,
        drop_connect=drop_connect,
        options=options,
        mean=mean,
        std=std,
        priors=priors,
    )
    return config.create(include_preprocessing)


def save_weights(model, path: Path) -> None:
    """Write `path` (.weights.h5). OSError if the disk is full: HDF5 would end the process instead."""
    reserve_space(path, sum(w.numpy().nbytes for w in model.weights) + _HDF5_BYTES * len(model.weights))
    model.save_weights(path)
