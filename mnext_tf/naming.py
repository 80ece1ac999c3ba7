"""Names of networks, files, stages, and commands; a file's name says what is in it: mnext_1.0_id0.5_224_int8.tflite."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PRECISIONS = ("float32", "float16", "dynamic", "weight_int8", "int8", "int16x8")

CALIBRATED = ("int8", "int16x8")  # full integer: their ranges come from images

IO_TYPES = ("int8", "uint8", "float32")

OUTPUTS = ("logits", "probabilities", "anchors", "detections")  # the last two of detectors

EFFORTS = ("fast", "good", "best", "trained")  # for the accuracy of an int8 file

KERAS = "keras:"  # before the name of a network of keras.applications; a file's name has keras_ instead

_NAME = re.compile(
    r"(?P<model>keras_[A-Z][A-Za-z0-9]*|[a-z][a-z0-9_]*?)_(?P<width>\d{1,2}\.\d{1,4})(?:_id(?P<share>\d(?:\.\d{1,6})?))?"
    rf"_(?P<input_size>\d{{1,5}})_(?P<precision>{'|'.join(PRECISIONS)})(?:_(?P<variant>[a-z0-9_]+))?"
)

SSDLITE = "_ssdlite"  # after a backbone's name: the detector on it

_TITLES = {
    "mnext": "MobileNeXt",
    "mnext_s": "MobileNeXt S",
    "mnext_l": "MobileNeXt L",
    "mobilenet_v1": "MobileNetV1",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v2_mnext": "MobileNetV2 (authors' form)",
}


@dataclass(frozen=True)
class Network:
    model: str
    width: float
    share: float  # of the channels that shortcuts carry
    input_size: int
    precision: str  # one of PRECISIONS
    variant: str = ""  # uint8, probabilities ... or ""

    @property
    def title(self) -> str:
        return network_title(self.model, self.width, self.share)

    @property
    def precision_text(self) -> str:
        return f"{self.precision} {self.variant}".strip()


def network_of(name: str) -> Network | None:
    """From a file's name without its ending; None where it is not one of our names."""
    found = _NAME.fullmatch(name)
    if not found:
        return None
    share = float(found["share"] or 1)
    if not 0 < share <= 1:
        return None
    width, size = float(found["width"]), int(found["input_size"])
    model = re.sub(r"^keras_(?=[A-Z])", KERAS, found["model"])
    return Network(model, width, share, size, found["precision"], found["variant"] or "")


def full_name_of(model) -> str:
    """What files, tables, and titles call the network of a `ModelConfig`: mnext, or mnext_ssdlite."""
    return model.name + (SSDLITE if model.priors else "")


def network_name(name: str, width: float, identity_tensor_multiplier: float, input_size: int) -> str:
    """For files and folders: mnext_1.0_224, mnext_1.0_id0.5_224, keras_MobileNetV2_1.0_224."""
    part = "" if identity_tensor_multiplier == 1 else f"_id{identity_tensor_multiplier:g}"
    return f"{name.replace(KERAS, 'keras_')}_{float(width)}{part}_{input_size}"


def network_title(name: str, width: float, identity_tensor_multiplier: float = 1.0) -> str:
    """As papers write it: MobileNeXt 1.0, MobileNeXt 1.0 (shortcuts of 1/2)."""
    part = "" if identity_tensor_multiplier == 1 else f" (shortcuts of 1/{round(1 / identity_tensor_multiplier)})"
    title = _TITLES.get(name.removesuffix(SSDLITE), name.removesuffix(SSDLITE).replace(KERAS, "Keras "))
    return f"{title}{' SSDLite' if name.endswith(SSDLITE) else ''} {float(width)}{part}"


def stage_name(precision: str, io_type: str = "int8", output: str = "logits") -> str:
    """The stage's folder: `tflite_float32`, `tflite_int8`, `tflite_int8_uint8`, `tflite_int8_probabilities`."""
    if output != "logits":
        return f"tflite_{precision}_{output}"
    return f"tflite_{precision}" + (f"_{io_type}" if precision == "int8" and io_type != "int8" else "")


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The name of each folder, or its path where another has the same name."""
    names = [Path(folder).resolve().name for folder in folders]
    counts = Counter(names)
    return [name if counts[name] == 1 else str(folder) for name, folder in zip(names, folders, strict=True)]


def command_line(command: str, flags: Mapping[str, object]) -> str:
    """`python -m pipelines.COMMAND --flag=value ...`, quoted for a shell; sequences are joined by commas."""
    values = {k: ",".join(map(str, v)) if isinstance(v, tuple | list) else v for k, v in flags.items()}
    return " ".join([f"python -m pipelines.{command}", *(shlex.quote(f"--{k}={v}") for k, v in values.items())])


def precision_of(stage: str) -> tuple[str, str]:
    """(precision, variant) of a TFLite stage: ("int8", "uint8") of tflite_int8_uint8."""
    name = stage.removeprefix("tflite_")
    known = (precision for precision in PRECISIONS if f"{name}_".startswith(f"{precision}_"))
    precision = next(known, name.split("_")[0])  # another release may have had more of them
    return precision, name[len(precision) + 1 :]
