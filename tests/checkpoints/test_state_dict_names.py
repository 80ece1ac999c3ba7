"""State dicts under each naming into a network: every tensor at its place, or nothing changed and an error."""

import json
import re

import numpy as np
import pytest

from mnext_tf import create_detector, create_model
from mnext_tf.checkpoints import load_pytorch_state_dict
from mnext_tf.errors import CheckpointError

NAMINGS = (
    "authors",
    "paddleclas",
    "authors, S",
    "authors' MobileNetV2",
    "torchvision",
    "flat, tonylins",
    "flat, d-li14",
    "timm",
)


@pytest.fixture(scope="module", params=NAMINGS)
def case(request, state_dict_of):
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
    return [names[0], names[5], names[len(names) // 2], *names[-7:]]


def test_every_tensor_arrives_at_its_place(case):
    model, tensors, before, expected = case
    assert load_pytorch_state_dict(model, tensors) is model
    # dropout has weights too: the state of its random numbers
    with_weights = {w.name: w.get_weights() for w in model.layers if w.weights and "drop" not in w.name}
    assert with_weights.keys() == expected.keys()
    for name, arrays in expected.items():
        for got, wanted in zip(with_weights[name], arrays, strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=name)
    model.set_weights(before)


def test_other_number_types_are_cast(case):
    model, tensors, before, expected = case
    floats = {n: t if n.endswith("num_batches_tracked") else np.asarray(t, np.float64) for n, t in tensors.items()}
    load_pytorch_state_dict(model, floats)
    np.testing.assert_array_equal(model.get_layer("stem").get_weights()[0], expected["stem"][0])
    model.set_weights(before)


def test_a_missing_tensor_is_named(case):
    for name in names_worth_losing(case[1]):
        text = refused(case, {n: t for n, t in case[1].items() if n != name})
        assert f"1 missing: {name}. " in text, name
        assert "unexpected" not in text


def test_an_extra_tensor_is_named(case):
    text = refused(case, {**case[1], "features.99.conv.0.weight": np.zeros(3, np.float32)})
    assert "1 unexpected: features.99.conv.0.weight" in text
    assert "missing" not in text


def test_many_missing_tensors_are_counted(case):
    lost = [n for n in case[1] if not n.endswith("num_batches_tracked")][20:30]
    text = refused(case, {n: t for n, t in case[1].items() if n not in lost})
    assert "10 missing: " in text
    assert "and 5 more" in text


def test_a_misshapen_tensor_is_named_with_both_shapes(case):
    for name in names_worth_losing(case[1]):
        tensor = case[1][name]
        wrong = np.zeros((tensor.shape[0] + 1, *tensor.shape[1:]), np.float32)
        text = refused(case, {**case[1], name: wrong})
        assert f"{name} has shape {wrong.shape}" in text
        assert f"needs {tensor.shape}" in text


def test_a_tensor_that_is_no_number_is_named(case):
    name = names_worth_losing(case[1])[2]
    bad = case[1][name].copy()
    bad.flat[0] = np.nan
    assert f"{name} contains NaN or infinite values: 1 of {bad.size}" in refused(case, {**case[1], name: bad})
    bad.flat[0] = -np.inf
    assert f"{name} contains NaN or infinite values: 1 of {bad.size}" in refused(case, {**case[1], name: bad})
    assert f"{name} contains int32 values" in refused(case, {**case[1], name: np.ones(bad.shape, np.int32)})


def test_another_number_of_classes_is_a_misshapen_classifier(state_dict_of):
    tensors = state_dict_of("torchvision")[1]
    model = create_model("mobilenet_v2", width=0.1, input_size=32, num_classes=9)
    with pytest.raises(CheckpointError, match=r"classifier\.1\.weight has shape \(6, 1280\).*needs \(9, 1280\)"):
        load_pytorch_state_dict(model, tensors)


def test_the_authors_mobilenet_v2_is_recognized(state_dict_of):
    tensors = state_dict_of("authors' MobileNetV2")[1]
    with pytest.raises(CheckpointError, match=r"use create_model\('mobilenet_v2_mnext'\)"):
        load_pytorch_state_dict(create_model("mobilenet_v2", width=0.1, input_size=32, num_classes=6), tensors)


def test_the_batch_norm_that_mnext_s_never_uses_may_be_there_or_not(state_dict_of):
    model, tensors, _ = state_dict_of("authors, S")
    unused = {f"_bn1.{n}": np.full(3, np.nan) for n in ("weight", "bias", "running_mean", "running_var")}
    load_pytorch_state_dict(model, {**tensors, **unused})


def coco_detector(golden, golden_tensor) -> dict:
    """The golden VOC detector's tensors with the heads of the authors' COCO detectors: 81 columns, 4 priors at last."""
    record = json.loads((golden / "ssdlite_mnext_voc.json").read_text())["state_dict"]
    tensors = {}
    for name, shape in record.items():
        cell = 4 if ".5." in name else 6
        if re.search(r"cls_headers\.\d\.(conv\.3\.)?(weight|bias)$", name):
            shape = [81 * cell, *shape[1:]]
        elif re.search(r"reg_headers\.5\.", name):
            shape = [4 * cell, *shape[1:]]
        tensors[name] = golden_tensor(name, shape)
    return tensors


@pytest.mark.shared
@pytest.mark.parametrize(("level", "cell", "at"), [(1, 6, "0.conv.3"), (6, 4, "5")])
def test_column_0_of_the_authors_coco_detectors_is_the_first_class(golden, golden_tensor, level, cell, at):
    """Their focal loss has no background; their last column is unused."""
    tensors = coco_detector(golden, golden_tensor)
    model = load_pytorch_state_dict(create_detector("mnext", 80, priors="coco", include_preprocessing=False), tensors)
    kernel, bias = model.get_layer(f"head{level}_class_pointwise").get_weights()
    theirs = tensors[f"box_head.predictor.cls_headers.{at}.weight"][:, :, 0, 0].T.reshape(-1, cell, 81)
    ours = kernel[0, 0].reshape(-1, cell, 81)
    np.testing.assert_array_equal(ours[..., 1:], theirs[..., :80])
    np.testing.assert_array_equal(ours[..., 0], theirs[..., 80])
    biases = tensors[f"box_head.predictor.cls_headers.{at}.bias"].reshape(cell, 81)
    np.testing.assert_array_equal(bias.reshape(cell, 81), np.roll(biases, 1, axis=1))


@pytest.mark.parametrize("name", ["features.1.conv.0.weight", "blocks.0.0.conv_pwl.weight", "_blocks.0.features.0.w"])
def test_a_classifier_does_not_load_into_a_detector(name):
    detector = create_detector("mnext", 3, width=0.1, input_size=32)
    with pytest.raises(CheckpointError, match="does not match"):
        load_pytorch_state_dict(detector, {name: np.ones((1, 1, 1, 1), np.float32)})
