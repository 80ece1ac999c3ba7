"""Which network a checkpoint is of, by names and shapes, and the preprocessing that goes with it."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from mnext_tf.checkpoints.assign import Target, assign, fits
from mnext_tf.checkpoints.naming import has_our_names, keras_layers, keras_targets, pytorch_targets, unused_names
from mnext_tf.checkpoints.read import Checkpoint
from mnext_tf.data.preprocess import Preprocess
from mnext_tf.errors import CheckpointError, ConfigError
from mnext_tf.files import sha256
from mnext_tf.models import list_models

PUBLISHED_WIDTHS = (1.0, 1.4, 0.75, 0.5, 0.35, 1.3, 0.25)
WIDTHS = tuple(dict.fromkeys((*PUBLISHED_WIDTHS, *(i / 20 for i in range(1, 41)))))


@dataclass(frozen=True)
class Naming:
    """Whose names these are, and how its owners test their networks."""

    title: str
    preprocess: Preprocess
    options: dict = field(default_factory=dict)


_BICUBIC, _BILINEAR = Preprocess(interpolation="bicubic"), Preprocess(interpolation="bilinear")
NAMINGS = {
    # their timm of 2020 tests without a configuration of the network: its defaults, 224 of 256 pixels, bicubic
    "authors": Naming("the MobileNeXt authors", _BICUBIC),
    # Eval of ppcls/configs/ImageNet/MobileNeXt/MobileNeXt_x1_0.yaml: resize_short 256, bicubic, crop 224
    "paddleclas": Naming("PaddleClas", _BICUBIC),
    # MobileNet_V2_Weights.IMAGENET1K_V1.transforms; Resize(256) and CenterCrop(224) in Lornatang's and tonylins'
    "torchvision": Naming("torchvision (Lornatang's repository has the same names)", _BILINEAR),
    "flat": Naming("tonylins' repository and its descendants", _BILINEAR),
    # pretrained_cfg of timm/mobilenetv2_100.ra_in1k: bicubic, crop_pct 0.875
    "timm": Naming("timm", _BICUBIC),
    # preprocess_input is x / 127.5 - 1; how to resize and crop, Keras leaves open: this is our choice
    "keras": Naming("keras.applications", _BILINEAR, {"convention": "tensorflow"}),
    "mnext_tf": Naming("this project", _BICUBIC),
}
# torchvision ends file names in the first digits of their SHA-256. IMAGENET1K_V2 is tested at 224 of 232 pixels.
_TORCHVISION_V2 = "7ebf99e0"


@dataclass(frozen=True)
class Recognized:
    """What a checkpoint is. `preprocess` is the checkpoint's own; its mean and std are those of `options`."""

    model: str
    naming: str
    width: float
    num_classes: int
    options: dict
    preprocess: Preprocess
    notes: tuple[str, ...]

    @property
    def title(self) -> str:
        return NAMINGS[self.naming].title


def recognize(checkpoint: Checkpoint, *, model: str | None = None, width: float | None = None) -> Recognized:
    """Find network and width whose every shape is the checkpoint's.

    Args:
      model, width: what the user says they are; None leaves it to the shapes.

    Raises CheckpointError where it is no network of ours, ConfigError where it is another than was said.
    """
    naming, candidates, notes = _family(checkpoint)
    if model is not None and model not in candidates:
        raise ConfigError(
            f"model={model} was given, but {checkpoint.path} has the tensors of {' or '.join(candidates)} under the "
            f"names of {NAMINGS[naming].title}. Leave --model out."
        )
    tensors = checkpoint.tensors
    num_classes = tensors[_classifier(checkpoint)[0]].shape[_classifier(checkpoint)[2]]
    found = _search(checkpoint, [model] if model else candidates, WIDTHS if width is None else (width,), num_classes)
    if found is None:
        said = [f"{flag}={value}" for flag, value in (("model", model), ("width", width)) if value is not None]
        if said and (other := _search(checkpoint, candidates, WIDTHS, num_classes)):
            raise ConfigError(
                f"{' and '.join(said)} was given, but the tensors of {checkpoint.path} are those of {other[0]} at "
                f"width {other[1]:g}. Leave --{' and --'.join(s.partition('=')[0] for s in said)} out."
            )
        raise _fits_nothing(checkpoint, naming, model or candidates[0], width, num_classes)
    name, found_width = found
    if name == "mnext":
        notes.append(
            "the share of channels that its shortcuts carry cannot be seen in weights: 1 is taken, "
            "--identity_tensor_multiplier gives another (0.5 for the authors' checkpoint of 74.09 %)"
        )
    if unused := unused_names(tensors):
        notes.append(
            f"left out {len(unused)} tensors that the network does not use: {', '.join(sorted(unused)[:3])} ..."
        )
    preprocess, said = _preprocess(checkpoint, naming)
    options = NAMINGS[naming].options if name in ("mobilenet_v2", "mobilenet_v2_mnext") else {}
    return Recognized(name, naming, found_width, num_classes, dict(options), preprocess, (*notes, *said))


def targets_of(network, checkpoint: Checkpoint) -> dict[str, Target]:
    """The checkpoint's tensor names -> the variables of `network` that they are."""
    if checkpoint.format == "Keras":
        return keras_targets(network, checkpoint.tensors)
    return pytorch_targets(network, checkpoint.tensors)


def without_background(checkpoint: Checkpoint) -> Checkpoint:
    """The same checkpoint less class 0 of its 1001. ConfigError where it has not that many."""
    kernel, bias, axis = _classifier(checkpoint)
    tensors = dict(checkpoint.tensors)
    if len(tensors[bias]) != 1001:
        raise ConfigError(
            f"--drop_background leaves out class 0 of 1001; {checkpoint.path} has {len(tensors[bias])} classes. "
            "Leave the flag out."
        )
    tensors[kernel] = np.delete(tensors[kernel], 0, axis)
    tensors[bias] = tensors[bias][1:]
    return dataclasses.replace(checkpoint, tensors=tensors, notes=(*checkpoint.notes, "left out class 0, background"))


def _family(checkpoint: Checkpoint) -> tuple[str, list[str], list[str]]:
    """(naming, networks that have such names, notes)."""
    names, notes = set(checkpoint.tensors), list(checkpoint.notes)
    if checkpoint.format == "Keras":
        if has_our_names(checkpoint.tensors):
            if (checkpoint.path.parent.parent / "config.json").exists():
                run = checkpoint.path.parent.parent
                raise ConfigError(f"{run} is a run of this project already; every stage takes it: --run={run}")
            notes.append("padding and normalisation cannot be seen in weights: those of create_model's default")
            return "mnext_tf", list_models(), notes
        return "keras", ["mobilenet_v2", "mobilenet_v1"], notes
    if any(n.startswith("_blocks.") and ".features." in n for n in names):
        return "authors", ["mnext_l" if any(n.startswith("_blocks.20.") for n in names) else "mnext_s"], notes
    if any(n.startswith("blocks.") and n.endswith(".conv_pwl.weight") for n in names):
        return "timm", ["mobilenet_v2"], notes
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
            f"{checkpoint.path} is PaddleClas's MobileNetV1, which has ReLU where mobilenet_v1 has ReLU6: another "
            "network. keras.applications.MobileNet publishes weights of mobilenet_v1."
        )
    shown = ", ".join(list(checkpoint.tensors)[:4])
    raise CheckpointError(
        f"{checkpoint.path} is a checkpoint of a network that is not known here; its tensors begin with {shown}. "
        "Known are MobileNeXt (S and L too), MobileNetV2 and MobileNetV1 under the names of "
        + ", ".join(n.title for n in NAMINGS.values())
        + "."
    )


def _expands_first(checkpoint: Checkpoint) -> CheckpointError:
    return CheckpointError(
        f"{checkpoint.path} is a MobileNetV2 whose first block, too, has a 1x1 convolution before the depthwise one "
        "(3,505,960 parameters, as in PaddleClas and the first release of tonylins): another network than the "
        "published one. Take torchvision's, timm's or Keras's weights of mobilenet_v2."
    )


def _classifier(checkpoint: Checkpoint) -> tuple[str, str, int]:
    """(name of the kernel, of the bias, the kernel's axis of classes)."""
    tensors = checkpoint.tensors
    if checkpoint.format != "Keras":
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
    advice = "its name without _no_top, or include_top=True" if checkpoint.format == "Keras" else "a classification one"
    raise CheckpointError(
        f"{checkpoint.path} has no classifier: it is the features of a network only. Take the whole checkpoint "
        f"({advice})."
    )


def _search(checkpoint: Checkpoint, models: list[str], widths, num_classes: int) -> tuple[str, float] | None:
    """The first (model, width) that every shape fits. Only those whose stage widths appear are built."""
    sizes = _vector_sizes(checkpoint.tensors)
    for model in models:
        for width in widths:
            if not _stage_channels(model, width) <= sizes:
                continue
            targets = targets_of(_built(model, width, num_classes), checkpoint)
            if fits(checkpoint.tensors, targets, unused_names(checkpoint.tensors)):
                return model, width
    return None


@functools.lru_cache(maxsize=2)  # building takes a second, and a flag that contradicts the file asks twice
def _built(model: str, width: float, num_classes: int):
    """The network, for its shapes only."""
    from mnext_tf.models import create_model

    return create_model(model, width=width, num_classes=num_classes)


def _vector_sizes(tensors: Mapping[str, np.ndarray]) -> set[int]:
    return {len(t) for t in tensors.values() if t.ndim == 1}


def _stage_channels(model: str, width: float) -> set[int]:
    """Channel counts that a network has at this width, without building it; the last one may be fixed."""
    from mnext_tf.models.blocks import make_divisible
    from mnext_tf.models.mobilenet_v1 import BLOCKS

    if model == "mobilenet_v1":
        return {max(1, int(c * width)) for c in (32, *(c for c, _ in BLOCKS))}
    if model in ("mnext_s", "mnext_l") and width != 1:
        return {-1}  # published at width 1 only
    module = "mobilenet_v2" if model.startswith("mobilenet_v2") else "mnext"
    stages = importlib.import_module(f"mnext_tf.models.{module}").STAGES
    return {make_divisible(c * width, 8) for c in (32, *(c for _, c, _, _ in stages)) if c != 1280}


def _fits_nothing(checkpoint: Checkpoint, naming: str, model: str, width: float | None, num_classes: int):
    """What misfits in the nearest network, as an error."""
    sizes = _vector_sizes(checkpoint.tensors)
    if width is None:
        width = max(WIDTHS, key=lambda w: len(_stage_channels(model, w) & sizes))
    network = _built(model, width, num_classes)
    try:
        assign(network, checkpoint.tensors, targets_of(network, checkpoint), unused=unused_names(checkpoint.tensors))
    except CheckpointError as e:
        return CheckpointError(
            f"{checkpoint.path} has the names of {NAMINGS[naming].title}, but no network of ours has its shapes; "
            f"the nearest is {model} at width {width:g}: {e}"
        )
    raise AssertionError(f"{checkpoint.path} fits {model} at width {width:g} after all")


def _preprocess(checkpoint: Checkpoint, naming: str) -> tuple[Preprocess, list[str]]:
    """(the checkpoint's own preprocessing, notes)."""
    preprocess = NAMINGS[naming].preprocess
    if naming == "torchvision" and sha256(checkpoint.path).startswith(_TORCHVISION_V2):
        return dataclasses.replace(preprocess, crop_fraction=224 / 232), ["torchvision's IMAGENET1K_V2 weights"]
    size = checkpoint.input_size
    if size is None and checkpoint.format == "Keras":
        # mobilenet_1_0_128_tf.h5: Keras publishes weights by input size, and says it in the name only
        match = re.match(r"mobilenet.*_(96|128|160|192|224)[_.]", checkpoint.path.name)
        size = match and int(match[1])
    if size is None:
        return preprocess, [f"the file does not say its input size: {preprocess.input_size} is taken"]
    return dataclasses.replace(preprocess, input_size=size), []
