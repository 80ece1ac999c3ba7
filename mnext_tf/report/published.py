"""What others published: never mixed with what was measured here."""

from __future__ import annotations

OURS = "mnext"

ORDER = {"mobilenet_v2": 0, OURS: 2}  # as the published table has them; others between

# (network, CPU ms, GPU ms) on a Pixel 4 with TF Lite: the MobileNeXt authors' repository.
LATENCY = (("MobileNetV2", "44-47", "15-17"), ("MobileNeXt", "48-51", "16-17"))

MNEXT_SOURCE = "the MobileNeXt authors' repository"

SLIM_SOURCE = "TensorFlow's models repository, research/slim"

MNEXT_LINK = f"[{MNEXT_SOURCE}](https://github.com/zhoudaquan/rethinking_bottleneck_design)"

SLIM_LINK = f"[{SLIM_SOURCE}](https://github.com/tensorflow/models/tree/master/research/slim)"

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
}

INPUT_SIZE = 224


def top1(model: str, width: float, share: float, input_size: int) -> float | None:
    """Published top-1 in percent; None where none is known for that network at that size."""
    known = TOP1.get((model.removeprefix("keras_"), round(float(width), 4), round(float(share), 4)))
    return known[0] if known and input_size == INPUT_SIZE else None
