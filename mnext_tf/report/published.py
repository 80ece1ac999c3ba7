"""What others published: never mixed with what was measured here."""

from __future__ import annotations

from collections.abc import Iterable

from mnext_tf.naming import network_title

OURS = "mnext"

ORDER = {"mobilenet_v2": 0, OURS: 2}  # as the published table has them; others between

# (network, CPU ms, GPU ms) on a Pixel 4 with TF Lite: the MobileNeXt authors' repository.
LATENCY = (("MobileNetV2", "44-47", "15-17"), ("MobileNeXt", "48-51", "16-17"))

MNEXT_SOURCE = "the MobileNeXt authors' repository"

SLIM_SOURCE = "TensorFlow's models repository, research/slim"

MNEXT_LINK = f"[{MNEXT_SOURCE}](https://github.com/zhoudaquan/rethinking_bottleneck_design)"

V3_SOURCE = "arXiv 1905.02244"

EFFICIENTNET_SOURCE = "arXiv 1905.11946"

SLIM_LINK = f"[{SLIM_SOURCE}](https://github.com/tensorflow/models/tree/master/research/slim)"

_LINKS = {MNEXT_SOURCE: MNEXT_LINK, SLIM_SOURCE: SLIM_LINK}

# ImageNet top-1 in percent of the float networks at 224 pixels: (model, width, share of the shortcuts) -> (%, source)
TOP1 = {
    **{
        ("mnext", width, share): (top1, MNEXT_SOURCE)
        for width, share, top1 in (
            (1.4, 1.0, 76.1),
            (1.0, 1.0, 74.02),
            (1.0, 0.5, 74.09),
            (0.75, 1.0, 72.0),
            (0.5, 1.0, 67.7),
            (0.35, 1.0, 64.7),
        )
    },
    ("mnext_s", 1.0, 1.0): (76.05, MNEXT_SOURCE),
    ("mnext_l", 1.0, 1.0): (76.6, MNEXT_SOURCE),
    **{
        ("mobilenet_v2", width, 1.0): (top1, SLIM_SOURCE)
        for width, top1 in ((1.4, 75.0), (1.3, 74.4), (1.0, 71.8), (0.75, 69.8), (0.5, 65.4), (0.35, 60.3))
    },
    **{
        ("mobilenet_v1", width, 1.0): (top1, SLIM_SOURCE)
        for width, top1 in ((1.0, 70.9), (0.75, 68.4), (0.5, 63.3), (0.25, 49.8))
    },
    ("keras:MobileNetV3Large", 1.0, 1.0): (75.2, V3_SOURCE),
    ("keras:MobileNetV3Small", 1.0, 1.0): (67.4, V3_SOURCE),
    ("keras:EfficientNetB0", 1.0, 1.0): (77.1, EFFICIENTNET_SOURCE),
}

# The best top-1 of the same network, at 224 pixels, by later training recipes, where it is above that of its authors.
BEST_TOP1 = {
    ("mobilenet_v2", 1.4, 1.0): (76.5, "timm, mobilenetv2_140"),
    ("mobilenet_v2", 1.0, 1.0): (73.4, "arXiv 2404.10518, which retrained it"),
    ("mobilenet_v2", 0.5, 1.0): (65.9, "timm, mobilenetv2_050"),
}

_SAME = {"keras:MobileNetV2": "mobilenet_v2", "keras:MobileNet": "mobilenet_v1"}

INPUT_SIZE = 224


def top1(model: str, width: float, share: float, input_size: int) -> float | None:
    """Published top-1 in percent; None where none is known for that network at that size."""
    known = TOP1.get(_key(model, width, share))
    return known[0] if known and input_size == INPUT_SIZE else None


def best_top1(model: str, width: float, share: float) -> float | None:
    """Of `BEST_TOP1`, in percent; None where none is known to be above `TOP1`."""
    return BEST_TOP1.get(_key(model, width, share), (None,))[0]


def sources(models: Iterable[str]) -> str:
    """Where the top-1 of these networks was published, for a sentence."""
    known: dict[str, list[str]] = {}
    for model in sorted(models, key=lambda m: (ORDER.get(m, 1) != ORDER[OURS], m)):
        figures = [source for (name, *_), (_, source) in TOP1.items() if name == _SAME.get(model, model)]
        known.setdefault(_LINKS.get(figures[0], figures[0]), []).append(network_title(model, 1.0).removesuffix(" 1.0"))
    words = [f"{' and '.join(names)} from {link}" for link, names in known.items()]
    best = [f"{width:g} {top1:g} % ({source})" for (name, width, _), (top1, source) in BEST_TOP1.items()]
    if {_SAME.get(model, model) for model in models} & {name for name, *_ in BEST_TOP1}:
        words.append(f"the best of later recipes for MobileNetV2, the upper edge of its band: {', '.join(best)}")
    return "; ".join(words)


def _key(model: str, width: float, share: float) -> tuple[str, float, float]:
    return _SAME.get(model, model), round(float(width), 4), round(float(share), 4)
