"""The function that is exported: what a network computes outside training."""

from __future__ import annotations

import itertools

import tensorflow as tf


def inference_function(model):
    """A function from images to logits with the values of `model(images, training=False)`.

    Networks whose shortcuts carry a part of the channels are computed in another form; see below.
    """
    if any(type(layer).__name__ == "ChannelMask" for layer in model.layers):
        return SplitIdentity(model)
    return lambda images: model(images, training=False)


class SplitIdentity:
    """MobileNeXt with an identity tensor multiplier below 1, without masks, slices or concatenations.

    The wide tensor is kept in two parts, that which the shortcuts carry and the rest. Depthwise
    convolutions work on each part, a reducing 1x1 convolution sums what its kernel's two halves give,
    and the shortcut adds the first part only. On a host, over the full shortcut, at 1/2: this form
    0.98, masking 1.02, slicing and concatenating 1.03.
    """

    def __init__(self, model):
        self._layers = {layer.name: layer for layer in model.layers}
        self._blocks = sorted({n[:7] for n in self._layers if n.startswith("block")})

    def __call__(self, images):
        x = self._layers["normalize"](images) if "normalize" in self._layers else images
        parts = self._conv([x], "stem")
        for i, block in enumerate(self._blocks):
            mask = self._layers.get(f"{block}_identity_mask")
            following = self._blocks[i + 1] if i + 1 < len(self._blocks) else None
            carries = mask or self._layers.get(f"{following}_identity_mask")
            identity = parts
            if f"{block}_depthwise1" in self._layers:
                parts = self._depthwise(parts, f"{block}_depthwise1")
            parts = self._conv(parts, f"{block}_reduce")
            parts = self._conv(parts, f"{block}_expand", cut=carries.kept if carries else None)
            if f"{block}_depthwise2" in self._layers:
                parts = self._depthwise(parts, f"{block}_depthwise2")
            if mask:
                with tf.name_scope(f"{block}_add"):
                    parts = [parts[0] + identity[0], parts[1]]
        with tf.name_scope("pool"):
            pooled = [tf.reduce_mean(p, (1, 2)) for p in parts]
        return self._layers["logits"](tf.concat(pooled, -1) if len(pooled) > 1 else pooled[0])

    def _conv(self, parts: list, name: str, cut: int | None = None) -> list:
        """Sum over the input parts; `cut` gives the output in two parts."""
        kernel, bias = self._folded(name)
        strides = self._layers[name].strides
        bounds = [0, kernel.shape[-1]] if cut is None else [0, cut, kernel.shape[-1]]
        outputs = []
        for low, high in itertools.pairwise(bounds):
            total, start = None, 0
            for part in parts:
                part, padding = self._padded(part, name)
                stop = start + part.shape[-1]
                with tf.name_scope(name):
                    y = tf.nn.conv2d(part, kernel[:, :, start:stop, low:high], strides, padding)
                    y = y + bias[low:high] if total is None else y
                with tf.name_scope(f"{name}_partial_sum"):
                    total = y if total is None else total + y
                start = stop
            outputs.append(self._activated(total, name))
        return outputs

    def _depthwise(self, parts: list, name: str) -> list:
        kernel, bias = self._folded(name)
        outputs, start = [], 0
        for part in parts:
            part, padding = self._padded(part, name)
            stop = start + part.shape[-1]
            with tf.name_scope(name):
                strides = (1, *self._layers[name].strides, 1)
                y = tf.nn.depthwise_conv2d(part, kernel[:, :, start:stop], strides, padding)
                y = y + bias[start:stop]  # BiasAdd here trips Grappler, which complains loudly
            outputs.append(self._activated(y, name))
            start = stop
        return outputs

    def _folded(self, name: str):
        """Kernel and bias of a convolution with its batch norm folded in."""
        kernel = tf.convert_to_tensor(self._layers[name].weights[0])
        norm = self._layers[f"{name}_bn"]
        scale = norm.gamma * tf.math.rsqrt(norm.moving_variance + norm.epsilon)
        depthwise = type(self._layers[name]).__name__ == "DepthwiseConv2D"
        return kernel * (scale[:, None] if depthwise else scale), norm.beta - norm.moving_mean * scale

    def _padded(self, x, name: str):
        pad = self._layers.get(f"{name}_pad")
        return (pad(x), "VALID") if pad else (x, "SAME")

    def _activated(self, x, name: str):
        if f"{name}_relu6" not in self._layers:
            return x
        with tf.name_scope(name):
            return tf.nn.relu6(x)
