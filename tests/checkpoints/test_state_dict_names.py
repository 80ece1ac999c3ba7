"""PyTorch state dicts under each naming; the names follow from rules written down here."""

import functools

import numpy as np
import pytest

from mnext_tf import create_model
from mnext_tf.checkpoints import load_pytorch_state_dict
from mnext_tf.errors import CheckpointError

NARROW = {"width": 0.1, "input_size": 32, "num_classes": 6}

# (model, naming) -> the parts of a block in order -> where their convolution and batch norm stand in `conv`
SEQUENTIAL = {  # every ReLU6 takes a number of its own
    "mnext": {
        "depthwise1 reduce expand depthwise2": "0,1 3,4 5,6 8,9",
        "reduce expand depthwise2": "0,1 2,3 5,6",
        "reduce expand": "0,1 2,3",
    },
    "mobilenet_v2": {"expand depthwise project": "0,1 3,4 6,7", "depthwise project": "0,1 3,4"},
    "mobilenet_v2_mnext": {
        "depthwise1 expand project depthwise2": "0,1 3,4 6,7 8,9",
        "depthwise1 depthwise2 project": "0,1 2,3 5,6",
    },
}
NESTED = {"expand depthwise project": "0.0,0.1 1.0,1.1 2,3", "depthwise project": "0.0,0.1 1,2"}
# naming: model, rules, name of the last convolution, name of the dense layer, number of blocks
NAMINGS = {
    "authors": ("mnext", SEQUENTIAL["mnext"], None, "classifier.1", 20),
    "torchvision": ("mobilenet_v2", NESTED, "features.18", "classifier.1", 17),
    "tonylins": ("mobilenet_v2", SEQUENTIAL["mobilenet_v2"], "conv", "classifier", 17),
    "tonylins of the authors": ("mobilenet_v2_mnext", SEQUENTIAL["mobilenet_v2_mnext"], "conv", "classifier", 17),
}


def names_of(model, naming) -> dict[str, str]:
    """Our convolution -> "their convolution,their batch norm"."""
    _, rules, head, _, blocks = NAMINGS[naming]
    layers = [layer.name for layer in model.layers]
    names = {"stem": "features.0.0,features.0.1"}
    for k in range(1, blocks + 1):
        parts = [n[8:] for n in layers if n.startswith(f"block{k:02d}_") and f"{n}_bn" in layers]
        for part, numbers in zip(parts, rules[" ".join(parts)].split(), strict=True):
            conv, bn = numbers.split(",")
            names[f"block{k:02d}_{part}"] = f"features.{k}.conv.{conv},features.{k}.conv.{bn}"
    if head:
        names["head"] = f"{head}.0,{head}.1"
    return names


@functools.cache
def state_dict_of(naming):
    """(a model, the state dict of random tensors that fits it, our weights that must come of it)."""
    model = create_model(NAMINGS[naming][0], **NARROW)
    rng = np.random.default_rng(0)
    tensors, expected = {}, {}

    def draw(shape):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)

    for ours, theirs in names_of(model, naming).items():
        conv, bn = theirs.split(",")
        kernel = model.get_layer(ours).get_weights()[0]
        h, w, inputs, outputs = kernel.shape
        depthwise = "depthwise" in ours
        tensors[f"{conv}.weight"] = draw((inputs, 1, h, w) if depthwise else (outputs, inputs, h, w))
        # out, in, h, w -> h, w, in, out; a depthwise kernel's channels are its outputs there, its inputs here
        expected[ours] = [np.einsum("oihw->hwoi" if depthwise else "oihw->hwio", tensors[f"{conv}.weight"])]
        expected[f"{ours}_bn"] = []
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{bn}.{name}"] = draw((inputs if depthwise else outputs,))
            expected[f"{ours}_bn"].append(tensors[f"{bn}.{name}"])
        tensors[f"{bn}.num_batches_tracked"] = np.array(0)
    dense = NAMINGS[naming][3]
    tensors[f"{dense}.weight"] = draw(model.get_layer("logits").get_weights()[0].shape[::-1])
    tensors[f"{dense}.bias"] = draw((6,))
    expected["logits"] = [tensors[f"{dense}.weight"].T, tensors[f"{dense}.bias"]]
    return model, tensors, expected


@pytest.fixture(scope="module", params=NAMINGS)
def case(request):
    """(a model, a fitting state dict, the model's weights before any loading, our weights by layer after it)."""
    model, tensors, expected = state_dict_of(request.param)
    return model, tensors, model.get_weights(), expected


def refused(case, tensors) -> str:
    """The error's text; nothing may have changed in the model."""
    model, _, before, _ = case
    with pytest.raises(CheckpointError) as error:
        load_pytorch_state_dict(model, tensors)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)
    return str(error.value)


def names_worth_losing(tensors):
    """First convolution, one of the first block, a batch norm in the middle, the last convolution, the classifier."""
    names = [n for n in tensors if not n.endswith("num_batches_tracked")]
    return [names[0], names[5], next(n for n in names if "features.9." in n and "running_var" in n), *names[-7:]]


def test_every_tensor_arrives_at_its_place(case):
    model, tensors, before, expected = case
    assert load_pytorch_state_dict(model, tensors) is model
    with_weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    with_weights.pop("dropout", None)  # its random state
    assert with_weights.keys() == expected.keys()
    for name, arrays in expected.items():
        for got, wanted in zip(with_weights[name], arrays, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=name)
    model.set_weights(before)


def test_other_number_types_are_cast(case):
    model, tensors, before, _ = case
    load_pytorch_state_dict(model, {n: np.asarray(t, np.float64) for n, t in tensors.items()})
    np.testing.assert_array_equal(
        model.get_layer("stem").get_weights()[0][0, 0, 0, 0], tensors["features.0.0.weight"][0, 0, 0, 0]
    )
    model.set_weights(before)


def test_a_missing_tensor_is_named(case):
    for name in names_worth_losing(case[1]):
        text = refused(case, {n: t for n, t in case[1].items() if n != name})
        assert f"1 missing: {name}. " in text, name
        assert "extra" not in text


def test_an_extra_tensor_is_named(case):
    text = refused(case, {**case[1], "features.99.conv.0.weight": np.zeros(3, np.float32)})
    assert "1 extra: features.99.conv.0.weight" in text
    assert "missing" not in text


def test_many_missing_tensors_are_counted(case):
    kept = dict(list(case[1].items())[12:])
    missing = [n for n in case[1] if n not in kept and not n.endswith("num_batches_tracked")]
    assert f"{len(missing)} missing: {missing[0]}, {missing[1]}" in refused(case, kept)
    assert f"and {len(missing) - 5} more" in refused(case, kept)


def test_a_misshapen_tensor_is_named_with_both_shapes(case):
    for name in names_worth_losing(case[1]):
        tensor = case[1][name]
        wrong = np.zeros((tensor.shape[0] + 1, *tensor.shape[1:]), np.float32)
        text = refused(case, {**case[1], name: wrong})
        assert f"{name} has shape {wrong.shape}" in text
        assert f"takes {tensor.shape}" in text


def test_another_number_of_classes_is_a_misshapen_classifier():
    _, tensors, _ = state_dict_of("torchvision")
    with pytest.raises(CheckpointError, match=r"classifier\.1\.weight has shape \(6, 1280\).*takes \(9, 1280\)"):
        load_pytorch_state_dict(create_model("mobilenet_v2", **{**NARROW, "num_classes": 9}), tensors)


def test_the_authors_mobilenet_v2_is_recognised():
    _, tensors, _ = state_dict_of("tonylins of the authors")
    with pytest.raises(CheckpointError, match=r"use create_model\('mobilenet_v2_mnext'\)"):
        load_pytorch_state_dict(create_model("mobilenet_v2", **NARROW), tensors)
