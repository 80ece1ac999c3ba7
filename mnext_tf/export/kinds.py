"""The kinds of TFLite file and what they may lose; importable without TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from mnext_tf.errors import ConfigError

QUANTIZE = ("float32", "float16", "dynamic", "int8")
IO_TYPES = ("int8", "uint8", "float32")
OUTPUTS = ("logits", "probabilities")
_TITLES = {
    "mnext": "MobileNeXt",
    "mnext_s": "MobileNeXt S",
    "mnext_l": "MobileNeXt L",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v2_mnext": "MobileNetV2 (authors' form)",
    "keras_mobilenet_v2": "Keras MobileNetV2",
}


def network_name(name: str, width: float, identity_tensor_multiplier: float, input_size: int) -> str:
    """For files and folders: mnext_1.0_224, mnext_1.0_id0.5_224."""
    part = "" if identity_tensor_multiplier == 1 else f"_id{identity_tensor_multiplier:g}"
    return f"{name}_{float(width)}{part}_{input_size}"


def network_title(name: str, width: float, identity_tensor_multiplier: float = 1.0) -> str:
    """As papers write it: MobileNeXt 1.0, MobileNeXt 1.0 (shortcuts of 1/2)."""
    part = "" if identity_tensor_multiplier == 1 else f" (shortcuts of 1/{round(1 / identity_tensor_multiplier)})"
    return f"{_TITLES.get(name, name)} {float(width)}{part}"


def stage_name(quantize: str, io_type: str = "int8", output: str = "logits") -> str:
    """The stage's folder: `tflite_float32`, `tflite_int8`, `tflite_int8_uint8`, `tflite_int8_probabilities`."""
    if output == "probabilities":
        return f"tflite_{quantize}_probabilities"
    return f"tflite_{quantize}" + (f"_{io_type}" if quantize == "int8" and io_type != "int8" else "")


@dataclass(frozen=True)
class Tolerance:
    """What a quantized network may lose.

    Of an untrained network only `max_untrained_difference` is asked: sixty random layers amplify the
    rounding of each, so that it only tells this network from another one.
    """

    max_accuracy_drop: float = 1.0  # percentage points
    min_agreement: float = 0.9  # share of images with the same top-1
    max_untrained_difference: float = 0.5  # largest difference over the largest logit

    def __post_init__(self):
        if not 0 <= self.max_accuracy_drop <= 100:
            raise ConfigError(
                f"max_accuracy_drop must be 0 to 100 percentage points; received {self.max_accuracy_drop}."
            )
        if not 0 <= self.min_agreement <= 1:
            raise ConfigError(f"min_agreement must be a share from 0 to 1; received {self.min_agreement}.")
