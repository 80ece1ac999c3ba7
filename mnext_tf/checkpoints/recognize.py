"""Recognizes the network in a checkpoint from tensor names and shapes, and finds its preprocessing."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field

import numpy as np

from mnext_tf.checkpoints import detectors
from mnext_tf.checkpoints.assign import Target, file_shape, mismatch
from mnext_tf.checkpoints.file_formats import Checkpoint
from mnext_tf.checkpoints.tensor_names import (
    has_our_names,
    keras_layers,
    keras_targets,
    pytorch_targets,
    unused_names,
)
from mnext_tf.checkpoints.variable_names import CLASSIFIER, SCOPES, slim_targets
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import sha256
from mnext_tf.models import list_models
from mnext_tf.models.config import ModelConfig

PUBLISHED_WIDTHS = (1.0, 1.4, 0.75, 0.5, 0.35, 1.3, 0.25)
WIDTHS = tuple(dict.fromkeys((*PUBLISHED_WIDTHS, *(i / 20 for i in range(1, 41)))))


@dataclass(frozen=True)
class Publisher:
    """Who chose the tensor names, and how they evaluate their networks."""

    title: str
    preprocess: Preprocess
    options: dict = field(default_factory=dict)


_BICUBIC, _BILINEAR = Preprocess(interpolation="bicubic"), Preprocess(interpolation="bilinear")
PUBLISHERS = {
    # they evaluate with a timm of 2020 and its defaults: 224 of 256 pixels, bicubic
    "authors": Publisher("the MobileNeXt authors", _BICUBIC),
    # Eval of ppcls/configs/ImageNet/MobileNeXt/MobileNeXt_x1_0.yaml: resize_short 256, bicubic, crop 224
    "paddleclas": Publisher("PaddleClas", _BICUBIC),
    # MobileNet_V2_Weights.IMAGENET1K_V1.transforms; Lornatang and tonylins use Resize(256) and CenterCrop(224)
    "torchvision": Publisher("torchvision (also used by Lornatang)", _BILINEAR),
    "flat": Publisher("tonylins and derived repositories", _BILINEAR),
    # pretrained_cfg of timm/mobilenetv2_100.ra_in1k: bicubic, crop_pct 0.875
    "timm": Publisher("timm", _BICUBIC),
    # preprocess_input is x / 127.5 - 1; Keras does not define resizing and cropping, so this is our choice
    "keras": Publisher("keras.applications", _BILINEAR, {"convention": "tensorflow"}),
    # its evaluation resizes the central 0.875 of either side, without keeping the aspect ratio, to [-1, 1], bilinearly
    "slim": Publisher("TF-slim", _BILINEAR, {"convention": "tensorflow"}),
    "mnext_tf": Publisher("this project", _BICUBIC),
}
# torchvision's file names end in the first digits of the SHA-256. IMAGENET1K_V2 is evaluated at 224 of 232 pixels.
_TORCHVISION_V2 = "7ebf99e0"


@dataclass(frozen=True)
class Recognized:
    """The network in a checkpoint. `preprocess` is the publisher's; its mean and std follow from `options`."""

    model: str
    publisher: str  # a key of PUBLISHERS
    width: float
    num_classes: int
    options: dict
    preprocess: Preprocess
    notes: tuple[str, ...]
    priors: str = ""  # of a detector


def recognize(checkpoint: Checkpoint, *, model: str | None = None, width: float | None = None) -> Recognized:
    """Find the network and width that match every shape of the checkpoint.

    Args:
      model, width: what the user expects; None determines them from the shapes.

    Raises CheckpointError if no supported network matches, ConfigError if another than the expected one does.
    """
    publisher, candidates, notes = _family(checkpoint)
    if model is not None and model not in candidates:
        raise ConfigError(
            f"model={model} was given, but {checkpoint.path} contains {' or '.join(candidates)} with the tensor names "
            f"of {PUBLISHERS[publisher].title}. Remove --model."
        )
    tensors = checkpoint.tensors
    detector = detectors.detector_shape(checkpoint) if detectors.is_detector(checkpoint) else None
    num_classes = detector.num_classes if detector else _count_classes(checkpoint)
    found = _search(checkpoint, [model] if model else candidates, WIDTHS if width is None else (width,), num_classes)
    if found is None:
        expected = {flag: value for flag, value in (("model", model), ("width", width)) if value is not None}
        if expected and (other := _search(checkpoint, candidates, WIDTHS, num_classes)):
            raise ConfigError(
                f"{' and '.join(f'{k}={v}' for k, v in expected.items())} was given, but {checkpoint.path} contains "
                f"{other[0]} at width {other[1]:g}. Remove --{' and --'.join(expected)}."
            )
        raise _no_match(checkpoint, publisher, model or candidates[0], width, num_classes)
    name, found_width = found
    if name == "mnext":
        notes.append(
            "weights do not show which share of the channels the shortcuts carry: 1 is assumed; "
            "--identity_tensor_multiplier sets another (0.5 for the authors' checkpoint with 74.09 % top-1)"
        )
    if unused := unused_names(tensors):
        notes.append(
            f"ignored {len(unused)} tensors that the network does not use: {', '.join(sorted(unused)[:3])} ..."
        )
    preprocess, more = _preprocess(checkpoint, publisher)
    options = PUBLISHERS[publisher].options if name in ("mobilenet_v2", "mobilenet_v2_mnext") else {}
    if detector:
        preprocess, more = detectors.PREPROCESS, []
    priors = detector.priors if detector else ""
    return Recognized(name, publisher, found_width, num_classes, dict(options), preprocess, (*notes, *more), priors)


def targets_of(network, checkpoint: Checkpoint) -> dict[str, Target]:
    """Tensor name in the checkpoint -> Target in `network`, a Keras network or an outline."""
    if checkpoint.by_layers:
        return keras_targets(network, checkpoint.tensors)
    if checkpoint.format == "TensorFlow":
        return slim_targets(network)
    return pytorch_targets(network, checkpoint.tensors)


def without_background(checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint without class 0 of its 1001. ConfigError for another number of classes."""
    kernel, bias, axis = _classifier(checkpoint)
    tensors = dict(checkpoint.tensors)
    if len(tensors[bias]) != 1001:
        raise ConfigError(
            f"--drop_background removes class 0 of 1001; {checkpoint.path} has {len(tensors[bias])} classes. "
            "Remove the flag."
        )
    tensors[kernel] = np.delete(tensors[kernel], 0, axis)
    tensors[bias] = tensors[bias][1:]
    return dataclasses.replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, "removed class 0, background"))


def _family(checkpoint: Checkpoint) -> tuple[str, list[str], list[str]]:
    """(publisher, networks with these tensor names, notes)."""
    names, notes = set(checkpoint.tensors), list(checkpoint.notes)
    if checkpoint.by_layers:
        if has_our_names(checkpoint.tensors):
            if (checkpoint.path.parent.parent / "config.json").exists():
                run = checkpoint.path.parent.parent
                raise ConfigError(f"{run} is already a run of this project; use it directly: --run={run}")
            if detectors.is_own_detector(checkpoint):
                raise CheckpointError(
                    f"{checkpoint.path} has the weights of a detector of this project; how its boxes are decoded is in "
                    "the config.json of its run folder. Use that folder: --run or --init."
                )
            notes.append("weights do not show padding and normalization: the defaults of create_model are assumed")
            return "mnext_tf", list_models(), notes
        return "keras", ["mobilenet_v2", "mobilenet_v1"], notes
    if checkpoint.format == "TensorFlow":
        return "slim", [_slim_model(checkpoint)], notes
    if any(n.startswith("_blocks.") and ".features." in n for n in names):
        return "authors", ["mnext_l" if any(n.startswith("_blocks.20.") for n in names) else "mnext_s"], notes
    if any(n.startswith("blocks.") and n.endswith(".conv_pwl.weight") for n in names):
        return "timm", ["mobilenet_v2"], notes
    if detectors.is_detector(checkpoint):
        deep = any(n.startswith("backbone.features.20.") for n in names)
        return "authors", ["mnext" if deep else "mobilenet_v2"], notes
    blocks = {int(m[1]) for n in names if (m := re.match(r"features\.(\d+)\.conv\.", n))}
    if blocks and max(blocks) == 20:
        return "paddleclas" if any(n.endswith("._mean") for n in names) else "authors", ["mnext"], notes
    if blocks and max(blocks) == 17:
        first = checkpoint.tensors.get("features.1.conv.6.weight", checkpoint.tensors.get("features.1.conv.2.0.weight"))
        if first is not None and first.ndim == 4:
            raise _expands_first(checkpoint)
        if "features.2.conv.8.weight" in names:
            return "authors", ["mobilenet_v2_mnext"], notes
        nested = any(re.match(r"features\.\d+\.conv\.\d+\.\d+\.", n) for n in names)
        return "torchvision" if nested else "flat", ["mobilenet_v2"], notes
    if "conv2._first_block._expand_conv._conv.weight" in names:
        raise _expands_first(checkpoint)
    if "conv2_1._depthwise_conv._conv.weight" in names:
        raise CheckpointError(
            f"{checkpoint.path} is PaddleClas's MobileNetV1, a different network: it has ReLU where mobilenet_v1 has "
            "ReLU6. keras.applications.MobileNet publishes weights of mobilenet_v1."
        )
    shown = ", ".join(list(checkpoint.tensors)[:4])
    raise CheckpointError(
        f"{checkpoint.path} contains an unsupported network; its tensors begin with {shown}. Supported are MobileNeXt "
        "(including S and L), MobileNetV2, and MobileNetV1 with the tensor names of "
        + ", ".join(n.title for n in PUBLISHERS.values())
        + "."
    )


def _slim_model(checkpoint: Checkpoint) -> str:
    """The network with TF-slim's tensor names. CheckpointError for one that differs in what names do not show."""
    names = list(checkpoint.tensors)
    if any(n.startswith("MobilenetV2/i2rnet_conv") for n in names):
        raise CheckpointError(
            f"{checkpoint.path} is the network whose latency the MobileNeXt authors measured with TensorFlow, which is "
            "not mnext: it has ReLU instead of ReLU6, one more after the last depthwise convolution of each block, "
            "and a narrower last block. Use the authors' PyTorch weights."
        )
    if not any(n.endswith("/BatchNorm/moving_variance") for n in names):
        raise CheckpointError(
            f"{checkpoint.path} has no batch norms: they are folded into the convolutions. Use the checkpoint that "
            "this graph was made of, or its frozen graph before it was optimized."
        )
    return SCOPES[names[0].partition("/")[0]]


def _expands_first(checkpoint: Checkpoint) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.path} is a MobileNetV2 whose first block also has a 1x1 convolution before the depthwise one "
        "(3,505,960 parameters, as in PaddleClas and the first release of tonylins), unlike the published network. "
        "Use torchvision's, timm's, or Keras's weights of mobilenet_v2."
    )


def _count_classes(checkpoint: Checkpoint) -> int:
    kernel, _, axis = _classifier(checkpoint)
    return checkpoint.tensors[kernel].shape[axis]


def _classifier(checkpoint: Checkpoint) -> tuple[str, str, int]:
    """(name of the kernel, name of the bias, class axis of the kernel)."""
    tensors = checkpoint.tensors
    if checkpoint.format == "TensorFlow" and not checkpoint.by_layers:
        prefix = f"{next(iter(tensors)).partition('/')[0]}/{CLASSIFIER}"
        if {f"{prefix}/weights", f"{prefix}/biases"} <= tensors.keys() and tensors[f"{prefix}/weights"].ndim == 4:
            return f"{prefix}/weights", f"{prefix}/biases", 3
    elif not checkpoint.by_layers:
        for prefix in ("classifier.1", "classifier", "_fc"):
            if {f"{prefix}.weight", f"{prefix}.bias"} <= tensors.keys() and tensors[f"{prefix}.weight"].ndim == 2:
                in_out = any(n.endswith("._mean") for n in tensors)  # Paddle's Linear is (in, out)
                return f"{prefix}.weight", f"{prefix}.bias", 1 if in_out else 0
    elif has_our_names(tensors):
        return "logits/0", "logits/1", 1
    else:
        layers = keras_layers(tensors)
        last = (layers["dense"] or layers["conv"] or [[]])[-1]
        if len(last) == 2:
            return last[0], last[1], tensors[last[0]].ndim - 1
    advice = "without _no_top, or include_top=True" if checkpoint.by_layers else "for classification"
    raise CheckpointError(
        f"{checkpoint.path} has no classifier, only feature layers. Use the complete checkpoint ({advice})."
    )


def _search(checkpoint: Checkpoint, models: list[str], widths, num_classes: int) -> tuple[str, float] | None:
    """The first (model, width) whose every shape matches."""
    for model in models:
        for width in widths:
            if not _mismatch(checkpoint, _config(checkpoint, model, width, num_classes)):
                return model, width
    return None


def _config(checkpoint: Checkpoint, model: str, width: float, num_classes: int) -> ModelConfig:
    if detectors.is_detector(checkpoint):
        about = {"priors": detectors.detector_shape(checkpoint).priors, "input_size": detectors.PREPROCESS.input_size}
        return ModelConfig(model, width=width, num_classes=num_classes, **about)
    return ModelConfig(model, width=width, num_classes=num_classes)


def _mismatch(checkpoint: Checkpoint, config: ModelConfig) -> str:
    outline, tensors = config.outline(), checkpoint.tensors
    return mismatch(config.name, tensors, targets_of(outline, checkpoint), unused_names(tensors))


def _no_match(checkpoint: Checkpoint, publisher: str, model: str, width: float | None, num_classes: int):
    """The error that describes the mismatch with the nearest network."""

    def matching(config: ModelConfig) -> int:
        targets = targets_of(config.outline(), checkpoint)
        found = {name: t.shape for name, t in checkpoint.tensors.items()}
        return sum(found.get(n) == file_shape(t.variable.shape, t.layout) for n, t in targets.items())

    widths = WIDTHS if width is None else (width,)
    nearest = max((_config(checkpoint, model, w, num_classes) for w in widths), key=matching)
    return CheckpointError(
        f"{checkpoint.path} has the tensor names of {PUBLISHERS[publisher].title}, but no supported network has its "
        f"shapes; the nearest is {model} at width {nearest.width:g}: {_mismatch(checkpoint, nearest)}"
    )


def _preprocess(checkpoint: Checkpoint, publisher: str) -> tuple[Preprocess, list[str]]:
    """(the publisher's preprocessing, notes)."""
    preprocess = PUBLISHERS[publisher].preprocess
    if publisher == "torchvision" and sha256(checkpoint.path).startswith(_TORCHVISION_V2):
        return dataclasses.replace(preprocess, crop_fraction=224 / 232), ["torchvision's IMAGENET1K_V2 weights"]
    size = checkpoint.input_size
    if size is None and checkpoint.format in ("Keras", "TensorFlow"):
        # mobilenet_1_0_128_tf.h5, mobilenet_v1_0.5_128.ckpt: both publish weights per input size
        match = re.match(r"mobilenet.*_(96|128|160|192|224)[_.]", checkpoint.path.name)
        size = match and int(match[1])
    if size is None:
        return preprocess, [f"the file does not contain its input size: {preprocess.input_size} is assumed"]
    return dataclasses.replace(preprocess, input_size=size), []
