"""What a file's name says about the network in it: mnext_1.0_id0.5_224_int8.tflite."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mnext_tf.export.kinds import QUANTIZE, network_title

_NAME = re.compile(
    r"(?P<model>[a-z][a-z0-9_]*?)_(?P<width>\d{1,2}\.\d{1,4})(?:_id(?P<share>\d(?:\.\d{1,6})?))?"
    r"_(?P<input_size>\d{1,5})_(?P<kind>[a-z]+\d*)(?:_(?P<rest>[a-z0-9_]+))?"
)


@dataclass(frozen=True)
class Network:
    model: str
    width: float
    share: float  # of the channels that shortcuts carry
    input_size: int
    quantize: str  # float32, float16, dynamic, int8
    rest: str  # uint8, probabilities ... or ""

    @property
    def title(self) -> str:
        return network_title(self.model, self.width, self.share)

    @property
    def kind(self) -> str:
        return f"{self.quantize} {self.rest}".strip()


def network_of(name: str) -> Network | None:
    """From a file's name without its ending; None where it is not one of our names."""
    found = _NAME.fullmatch(name)
    if not found or found["kind"] not in QUANTIZE:
        return None
    share = float(found["share"] or 1)
    if not 0 < share <= 1:
        return None
    width, size = float(found["width"]), int(found["input_size"])
    return Network(found["model"], width, share, size, found["kind"], found["rest"] or "")
