"""State dicts of random tensors under other programs' names, which follow from rules written down here."""

from __future__ import annotations

import functools
import math
import zlib

import numpy as np
import pytest

# parts of a block in order -> where their convolution and batch norm stand; every activation takes a number
SANDGLASS = {
    "depthwise1 reduce expand depthwise2": "0,1 3,4 5,6 8,9",
    "reduce expand depthwise2": "0,1 2,3 5,6",
    "reduce expand": "0,1 2,3",
}
INVERTED = {"expand depthwise project": "0,1 3,4 6,7", "depthwise project": "0,1 3,4"}
NESTED = {"expand depthwise project": "0.0,0.1 1.0,1.1 2,3", "depthwise project": "0.0,0.1 1,2"}
NARROW_DEPTHWISE = {
    "depthwise1 expand project depthwise2": "0,1 3,4 6,7 8,9",
    "depthwise1 depthwise2 project": "0,1 2,3 5,6",
}
TIMM = {
    "expand depthwise project": "conv_pw,bn1 conv_dw,bn2 conv_pwl,bn3",
    "depthwise project": "conv_dw,bn1 conv_pw,bn2",
}
TIMM_STAGES = (1, 2, 3, 4, 3, 3, 1)  # blocks in each
PLACES = [f"blocks.{s}.{i}." for s, n in enumerate(TIMM_STAGES) for i in range(n)]

# naming: model, rules, prefix of block k (from 1), names of stem and last convolution, name of the dense layer
NAMINGS = {
    "authors": ("mnext", SANDGLASS, "features.{k}.conv.", "features.0.0,features.0.1", None, "classifier.1"),
    "paddleclas": ("mnext", SANDGLASS, "features.{k}.conv.", "features.0.0,features.0.1", None, "classifier.1"),
    "authors, S": ("mnext_s", SANDGLASS, "_blocks.{k-1}.features.", "_conv_stem,_bn0", None, "_fc"),
    "authors, L": ("mnext_l", SANDGLASS, "_blocks.{k-1}.features.", "_conv_stem,_bn0", None, "_fc"),
    "authors' MobileNetV2": (
        "mobilenet_v2_mnext",
        NARROW_DEPTHWISE,
        "features.{k}.conv.",
        "features.0.0,features.0.1",
        "conv.0,conv.1",
        "classifier",
    ),
    "torchvision": (
        "mobilenet_v2",
        NESTED,
        "features.{k}.conv.",
        "features.0.0,features.0.1",
        "features.18.0,features.18.1",
        "classifier.1",
    ),
    "flat, tonylins": (
        "mobilenet_v2",
        INVERTED,
        "features.{k}.conv.",
        "features.0.0,features.0.1",
        "features.18.0,features.18.1",
        "classifier",
    ),
    "flat, d-li14": (
        "mobilenet_v2",
        INVERTED,
        "features.{k}.conv.",
        "features.0.0,features.0.1",
        "conv.0,conv.1",
        "classifier",
    ),
    "timm": ("mobilenet_v2", TIMM, "{PLACES[k-1]}", "conv_stem,bn1", "conv_head,bn2", "classifier"),
}


def names_of(model, naming: str) -> dict[str, str]:
    """Our convolution -> "their convolution,their batch norm"; "their convolution" alone where it has a bias."""
    _, rules, prefix, stem, head, _ = NAMINGS[naming]
    layers = [layer.name for layer in model.layers]
    names = {"stem": stem}
    for k in range(1, 99):
        parts = [n[8:] for n in layers if n.startswith(f"block{k:02d}_") and f"{n}_bn" in layers]
        if not parts:
            break
        p = prefix.replace("{k}", str(k)).replace("{k-1}", str(k - 1))
        p = p.replace("{PLACES[k-1]}", PLACES[k - 1] if k <= len(PLACES) else "")
        for part, numbers in zip(parts, rules[" ".join(parts)].split(), strict=True):
            conv, bn = numbers.split(",")
            names[f"block{k:02d}_{part}"] = f"{p}{conv},{p}{bn}"
        for part in ("se_reduce", "se_expand"):
            if f"block{k:02d}_{part}" in layers:
                names[f"block{k:02d}_{part}"] = f"_blocks.{k - 1}._{part}"
    if head:
        names["head"] = head
    return names


@functools.cache
def _state_dict_of(naming: str, width: float, num_classes: int):
    from mnext_tf import create_model

    model = create_model(NAMINGS[naming][0], width=width, input_size=32, num_classes=num_classes)
    rng = np.random.default_rng(0)
    tensors, expected = {}, {}
    paddle = naming == "paddleclas"

    def draw(shape):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    norms = ("weight", "bias", "_mean", "_variance") if paddle else ("weight", "bias", "running_mean", "running_var")
    for ours, theirs in names_of(model, naming).items():
        conv, _, bn = theirs.partition(",")
        h, w, inputs, outputs = model.get_layer(ours).get_weights()[0].shape
        depthwise = "depthwise" in ours
        tensors[f"{conv}.weight"] = draw((inputs, 1, h, w) if depthwise else (outputs, inputs, h, w))
        # out, in, h, w -> h, w, in, out; a depthwise kernel's channels are its outputs there, its inputs here
        expected[ours] = [np.einsum("oihw->hwoi" if depthwise else "oihw->hwio", tensors[f"{conv}.weight"])]
        if not bn:
            tensors[f"{conv}.bias"] = draw((outputs,))
            expected[ours].append(tensors[f"{conv}.bias"])
            continue
        expected[f"{ours}_bn"] = []
        for name in norms:
            tensors[f"{bn}.{name}"] = draw((inputs if depthwise else outputs,))
            expected[f"{ours}_bn"].append(tensors[f"{bn}.{name}"])
        if not paddle:
            tensors[f"{bn}.num_batches_tracked"] = np.array(0)
    dense = NAMINGS[naming][5]
    features = model.get_layer("logits").get_weights()[0].shape[0]
    tensors[f"{dense}.weight"] = draw((features, num_classes) if paddle else (num_classes, features))
    tensors[f"{dense}.bias"] = draw((num_classes,))
    weight = tensors[f"{dense}.weight"]
    expected["logits"] = [weight if paddle else weight.T, tensors[f"{dense}.bias"]]
    return model, tensors, expected


@pytest.fixture(scope="session")
def state_dict_of():
    """`state_dict_of(naming, width=0.1, num_classes=6)`: (a model, a state dict that fits it, our weights of it)."""

    def state_dict_of(naming: str, width: float = 0.1, num_classes: int = 6):
        model, tensors, expected = _state_dict_of(naming, width, num_classes)
        return model, dict(tensors), expected

    return state_dict_of


@pytest.fixture(scope="session")
def golden_tensor():
    """`golden_tensor(name, shape)`: the rule in the README of the golden logits."""

    def golden_tensor(name: str, shape: list[int]) -> np.ndarray:
        rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
        if name.endswith(".num_batches_tracked"):
            value = np.zeros(shape)
        elif name.endswith(".running_var") or (name.endswith(".weight") and len(shape) == 1):
            value = rng.uniform(0.5, 1.5, shape)
        elif name.endswith((".running_mean", ".bias")):
            value = 0.1 * rng.standard_normal(shape)
        else:
            value = rng.standard_normal(shape) * math.sqrt(1.5 / math.prod(shape[1:]))
        return value.astype(np.float32)

    return golden_tensor


@pytest.fixture(scope="session")
def unlabelled(tmp_path_factory):
    """A data set of 12 photographs' worth of noise, 40 x 40, without labels."""
    from PIL import Image

    from mnext_tf.data import open_dataset

    folder = tmp_path_factory.mktemp("unlabelled") / "noise"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return open_dataset(folder, folder.parent / "cache")
