"""Logits of the PyTorch networks, computed in float64, at the weights that a rule makes of the tensors' names."""

import json
import math

import numpy as np
import pytest

from mnext_tf import create_detector, create_model
from mnext_tf.checkpoints import load_pytorch_state_dict
from mnext_tf.models.priors import make_priors
from mnext_tf.models.summary import count_multiply_adds, count_parameters

pytestmark = pytest.mark.shared

NETWORKS = {
    "mnext_w1.4_id1-1": ("mnext", {"width": 1.4}),
    "mnext_w1_id1-1": ("mnext", {}),
    "mnext_w0.5_id1-1": ("mnext", {"width": 0.5}),
    "mnext_w0.35_id1-1": ("mnext", {"width": 0.35}),
    "mnext_w1_id1-2": ("mnext", {"identity_tensor_multiplier": 0.5}),
    "mnext_s": ("mnext_s", {}),
    "mnext_l": ("mnext_l", {}),
    "mbv2_w1_torchvision_keys": ("mobilenet_v2", {}),
    "mbv2_w1_tonylins_keys": ("mobilenet_v2_mnext", {}),
    "mbv2_w1.4_tonylins_keys": ("mobilenet_v2_mnext", {"width": 1.4}),
}


@pytest.mark.parametrize("tag", NETWORKS)
def test_golden_logits(tag, golden, golden_tensor):
    record = json.loads((golden / f"{tag}.json").read_text())
    expected = np.load(golden / f"{tag}.logits.npy")
    size = record["input_size"]
    name, arguments = NETWORKS[tag]
    model = create_model(name, input_size=size, include_preprocessing=False, **arguments)
    unused = sum(math.prod(shape) for n, shape in record["state_dict"].items() if n in ("_bn1.weight", "_bn1.bias"))
    assert count_parameters(model) == record["trainable_parameters"] - unused
    assert count_multiply_adds(model) == record["multiply_adds"]

    load_pytorch_state_dict(model, {n: golden_tensor(n, shape) for n, shape in record["state_dict"].items()})
    images = np.random.Generator(np.random.PCG64(0)).standard_normal((2, size, size, 3)).astype(np.float32)
    assert relative_difference(model(images, training=False), expected) <= 1e-4

    if tag == "mnext_w1_id1-2":  # exported in another form, without masks
        from mnext_tf.export.serving import SplitIdentity, inference_function

        exported = inference_function(model)
        assert isinstance(exported, SplitIdentity)
        assert relative_difference(exported(images), expected) <= 1e-4


@pytest.mark.parametrize(("tag", "backbone"), [("ssdlite_mnext_voc", "mnext"), ("ssdlite_mbv2_voc", "mobilenet_v2")])
def test_golden_detections(tag, backbone, golden, golden_tensor):
    record, expected = json.loads((golden / f"{tag}.json").read_text()), np.load(golden / f"{tag}.npz")
    model = create_detector(backbone, 20, include_preprocessing=False)
    assert count_parameters(model) == record["trainable_parameters"]
    assert count_multiply_adds(model) == record["multiply_adds"]
    load_pytorch_state_dict(model, {n: golden_tensor(n, shape) for n, shape in record["state_dict"].items()})
    images = np.random.Generator(np.random.PCG64(0)).standard_normal((1, 320, 320, 3)).astype(np.float32)
    found = dict(zip(model.output_names, model(images, training=False), strict=True))
    for name, values in found.items():
        kept = np.asarray(values)[0, ::7].reshape(expected[name].shape)
        assert relative_difference(kept, expected[name]) <= 1e-4
    priors = make_priors("voc", 320)
    np.testing.assert_allclose(
        priors[::7] if len(expected["priors_cxcywh"]) < len(priors) else priors, expected["priors_cxcywh"], atol=1e-6
    )


def relative_difference(logits, expected: np.ndarray) -> float:
    return float(np.abs(np.asarray(logits) - expected).max() / np.abs(expected).max())
