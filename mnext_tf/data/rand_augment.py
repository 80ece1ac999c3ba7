"""RandAugment as timm defines it, in TensorFlow."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mnext_tf.errors import ConfigError

_HIGHEST = 10  # magnitude
_ANY_MAGNITUDE = 100  # a deviation above this means: uniform from 0 to the magnitude


@dataclass(frozen=True)
class RandAugment:
    """Two or `operations` random changes, each made with a probability of one half.

    magnitude: 0 to 10, how strong they are. deviation: of the normal distribution around it that every change draws
    its own from; above 100, all from 0 to the magnitude are as likely. increasing: all changes grow with the magnitude;
    else, as in the first implementations, posterize and solarize shrink, and color, contrast, brightness and sharpness
    go from 0.1 to 1.9 times.
    """

    magnitude: int = _HIGHEST
    operations: int = 2
    deviation: float = 0.0
    increasing: bool = False


def parse_rand_augment(text: str) -> RandAugment | None:
    """What timm's text asks for: "rand" and any of -mM, -nN, -mstdD, -inc1; None for no text.

    Raises ConfigError for anything else; timm's weights (w) and other limits (mmax) are not implemented.
    """
    if not text:
        return None
    found: dict[str, str] = {}
    start, *parts = text.split("-")
    for part in parts:
        match = re.fullmatch(r"(mstd)(\d+(?:\.\d+)?)|(m)(10|\d)|(n)([1-9])|(inc)(1)", part)
        key, value = [group for group in match.groups() if group] if match else (part, "")
        if not match or key in found:
            start = ""
        found[key] = value
    if start != "rand":
        raise ConfigError(
            "rand_augment must be rand and any of -m0 to -m10 (magnitude), -n1 to -n9 (operations per image), "
            f"-mstd0.5 (its deviation) and -inc1 (stronger with magnitude), such as rand-m9-mstd0.5; received {text!r}."
        )
    return RandAugment(
        magnitude=int(found.get("m", _HIGHEST)),
        operations=int(found.get("n", 2)),
        deviation=float(found.get("mstd", 0)),
        increasing="inc" in found,
    )
